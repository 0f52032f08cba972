"""Real processes, killed wherever a file is written and at random moments: they go on to the very same weights."""

from __future__ import annotations

import csv
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.resume import kill_points
from tests.resume.conftest import Nursery
from tlx.callbacks.checkpoint_reading import progress, read_weights
from tlx.runs.run import Run

pytestmark = pytest.mark.slow
PARTS = 16  # of the places where a run is killed; the suite tries one of them, the others take minutes
# Everything that could remember: augmentation, dropout, momentum, a stage that starts from the best of the one before.
SETTING = [
    "backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.channels=1", "dataset.augment=light",
    "dataset.labels_per_class=60", "dataset.batch_size=16", "dataset.num_workers=0", "task.dropout=0.3",
    "optimizer.lr=1e-2", "strategy=gradual", "trainer.log_every_n_steps=1",
    *(f"strategy.stages.{stage}.epochs=16" for stage in range(3)), "strategy.stages.2.start_from=best",
    "trainer.patience=100", "trainer.checkpoint_seconds=0",
]  # fmt: skip


def prepare(directory: Path, *more: str) -> Run:
    directory.mkdir()
    (directory / "overrides").write_text("\n".join([*SETTING, *more, f"run_dir={directory / 'run'}"]))
    return Run(directory / "run")


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nobody interrupts."""
    directory = tmp_path_factory.mktemp("reference") / "undisturbed"
    run = prepare(directory)
    nursery.start(directory)
    assert nursery.end() == 0, (directory / "output.txt").read_text()
    return run


def rows(run: Run) -> list[dict[str, str]]:
    path = run.directory / "metrics.csv"
    return list(csv.DictReader(path.open(newline=""))) if path.is_file() else []


def differences(one: object, other: object, path: str = "") -> Iterator[str]:
    """Where two checkpoints are not the same, bit by bit."""
    if isinstance(one, torch.Tensor):
        if not (isinstance(other, torch.Tensor) and torch.equal(one, other)):
            yield path
    elif isinstance(one, dict):
        assert list(one) == list(other), path
        for key in one:
            yield from differences(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, f"{path}[{i}]")
    elif one != other:
        yield path


def scalars(run: Run) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run.directory), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_equal(run: Run, reference: Run) -> None:
    """Weights, optimizer, stage figures, tables and curves: all that a run leaves behind, but for seconds and paths."""
    for name in ("best.ckpt", "last.ckpt"):
        mine, theirs = (torch.load(r.checkpoints / name, weights_only=True) for r in (run, reference))
        for held in (mine, theirs):
            held["tlx"]["config"] = None
            held.get("callbacks", {}).get("Checkpoints", {}).pop("seconds", None)
        assert list(differences(mine["state_dict"], theirs["state_dict"])) == [], name
        loops = mine.pop("loops"), theirs.pop("loops")
        assert list(differences(mine, theirs)) == [], name
        assert loops[0]["fit_loop"]["epoch_progress"]["current"] == loops[1]["fit_loop"]["epoch_progress"]["current"]
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert rows(run) == rows(reference)
    figures = [{k: v for k, v in r.metrics.items() if k != "train/seconds"} for r in (run, reference)]
    assert figures[0] == figures[1]
    mine, theirs = scalars(run), scalars(reference)
    assert set(mine) == set(theirs)
    for tag in theirs:
        assert mine[tag] == theirs[tag], tag


def saved_last(run: Run) -> int:
    """When the last checkpoint was written."""
    last = run.checkpoints / "last.ckpt"
    return last.stat().st_mtime_ns if last.is_file() else 0


def let_it_run(run: Run, saved: int, dice: random.Random) -> None:
    """Return at a random moment: soon after the next epoch, however long that takes; one time in four before it."""
    until = time.monotonic() + (dice.uniform(0.05, 1.0) if dice.random() < 0.25 else 60)
    while time.monotonic() < until and saved_last(run) == saved and not run.finished:
        time.sleep(0.005)
    time.sleep(dice.uniform(0, 0.06))


SHOWN = {"*.png", "*.tsv", "sprite.jpg", "review.md", "projector_config.pbtxt"}  # written anew from what is kept


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.nightly) for part in range(1, PARTS))])
def test_a_run_killed_around_every_write_ends_with_the_very_same_weights(nursery, tmp_path, part):
    """Guards against two files that are written one after the other and are of different moments in between: weights
    and rows of the table, best and last weights, figures and the word that a run has finished."""

    def begin(name: str) -> Run:  # with an empty cache: it is written, too
        epochs = [f"strategy.stages.{stage}.epochs=3" for stage in range(3)]
        few = "dataset.labels_per_class=20"
        return prepare(tmp_path / name, *epochs, few, f"cache.dir={tmp_path / name / 'cache'}")

    undisturbed = begin("undisturbed")
    nursery.start(undisturbed.directory.parent)
    assert nursery.end() == 0, (undisturbed.directory.parent / "output.txt").read_text()
    reached = Counter(kill_points.points(undisturbed.directory.parent))
    files = {"last.ckpt", "best.ckpt", "metrics.csv", "status.json", "metrics.json", "*.rows", "config.yaml"}
    assert {f"{when} {name}" for when in ("before", "after") for name in files} <= set(reached)
    # What is written in every epoch: also a later one of a process, when half of the state is from before it.
    points = {point: count for point, count in reached.items() if point.partition(" ")[2] not in SHOWN}
    targets = [(point, turn) for point, count in points.items() for turn in ((1, 2) if count > 5 else (1,))]
    targets = [*targets, ("before *.png", 1)][part::PARTS]
    run, directories, missed = begin("0"), 1, []
    for point, turn in targets:
        directory = run.directory.parent
        (directory / kill_points.TARGET).write_text(f"{point} {turn}")
        nursery.start(directory)
        code = nursery.end()
        assert code in (0, -signal.SIGKILL), (directory / "output.txt").read_text()
        missed += [(point, turn)] * (code == 0)
        if run.finished:  # by that, or just before the kill
            assert_equal(run, undisturbed)
            run = begin(str(directories))
            directories += 1
    (run.directory.parent / kill_points.TARGET).unlink(missing_ok=True)
    nursery.start(run.directory.parent)
    assert nursery.end() == 0, (run.directory.parent / "output.txt").read_text()
    assert_equal(run, undisturbed)
    assert len(missed) <= max(2, len(targets) / 4), f"reached no more, since the run had come further: {missed}"


@pytest.mark.nightly
def test_a_run_killed_twenty_times_ends_with_the_very_same_weights(nursery, undisturbed, tmp_path):
    """Guards against all that a kill can tear: half a checkpoint, best weights of an epoch that does not count, an
    order or augmentation or dropout that goes on elsewhere, rates of another step, a stage entered twice, rows and
    points that are doubled or lost; and against losing more than the epoch that ran."""
    run = prepare(tmp_path / "killed")
    dice = random.Random(0)
    kills: Counter[str] = Counter()
    while True:
        epochs_before = progress(run.checkpoints / "last.ckpt")["epochs"] if rows(run) else 0
        saved_at = saved_last(run)
        pid = nursery.start(tmp_path / "killed")
        let_it_run(run, saved_at, dice)
        nursery.signal(pid, signal.SIGKILL)
        code = nursery.end()
        if code == 0 or run.finished:  # the kill may come after the last word of the run
            break
        assert code == -signal.SIGKILL, (tmp_path / "killed/output.txt").read_text()
        table = rows(run)
        assert run.status.get("state") in (None, "running")
        last = run.checkpoints / "last.ckpt"
        saved = progress(last)["epochs"] if last.is_file() else 0
        assert saved >= max(epochs_before, len(table) - 1)  # the row comes a moment before the checkpoint
        kills[table[-1]["stage"] if table else "before the first epoch's end"] += 1
        assert sum(kills.values()) < 300
    print(dict(kills))
    assert run.finished
    assert_equal(run, undisturbed)
    assert sum(kills.values()) >= 20, kills
    assert {"dense", "conv", "full"} <= set(kills), kills


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_step_and_the_run_goes_on_from_there(nursery, undisturbed, tmp_path, number, code):
    """Guards against a run that loses the epoch when it is asked to stop, that calls itself failed, that leaves with an
    exit code nobody knows, or that goes on with the wrong batch of the epoch."""
    run = prepare(tmp_path / "stopped")
    dice = random.Random(int(number))
    stops = in_the_middle = before = 0
    span = 1.4
    while True:
        pid = nursery.start(tmp_path / "stopped")
        time.sleep(dice.uniform(0.4, span))
        nursery.signal(pid, number)
        ended = nursery.end()
        if ended == 0:
            break
        assert ended == code, (tmp_path / "stopped/output.txt").read_text()
        assert run.status["state"] == "interrupted"
        assert run.status["reason"] == f"stopped by {signal.Signals(number).name}"
        stops += 1
        last = run.checkpoints / "last.ckpt"
        step = progress(last)["global_step"] if last.is_file() else 0
        in_the_middle += step % 37 != 0
        assert step >= max((int(row["step"]) for row in rows(run)), default=0)
        span = 1.4 if step > before else span + 0.5  # a slow machine: let it come further
        before = step
        assert stops < 100
    assert_equal(run, undisturbed)
    assert stops >= 5
    assert in_the_middle >= 3


@pytest.mark.nightly
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)])
def test_folds_that_are_killed_or_stopped_end_with_the_same_predictions(nursery, tmp_path, number, code):
    """Guards against a fold that is left out, trained on another fold's images, or goes on from other weights."""
    setting = ("validation=kfold", "validation.folds=3", "strategy=lp_ft", "logger=none")
    whole, torn = (prepare_folds(tmp_path / name, setting) for name in ("whole", "torn"))
    nursery.start(tmp_path / "whole")
    assert nursery.end() == 0, (tmp_path / "whole/output.txt").read_text()
    dice, stops, begun = random.Random(1), 0, set[int]()
    while not torn.finished:
        pid = nursery.start(tmp_path / "torn")
        time.sleep(dice.uniform(0.5, 1.5 + 0.1 * stops))
        nursery.signal(pid, number)
        ended = nursery.end()
        if ended == 0:
            break
        assert ended == code, (tmp_path / "torn/output.txt").read_text()
        stops += 1
        begun.add(len(torn.fold_directories))
        assert stops < 100
    assert stops >= 3
    assert len(begun) > 1, begun
    assert torn.out_of_fold().csv() == whole.out_of_fold().csv()
    for one, other in zip(whole.folds, torn.folds, strict=True):
        weights = (read_weights(run.checkpoints / "best.ckpt") for run in (one, other))
        assert not list(differences(*weights))


def prepare_folds(directory: Path, setting: Sequence[str]) -> Run:
    """Write what a training of folds has, without the stages of the other trainings here."""
    directory.mkdir()
    own = [text for text in SETTING if not text.startswith(("strategy", "trainer.patience"))]
    (directory / "overrides").write_text("\n".join([*own, *setting, f"run_dir={directory / 'run'}"]))
    return Run(directory / "run")
