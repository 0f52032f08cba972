"""Whatever a run directory holds, a verb ends well or in one message: never in a traceback, never not at all."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random

import pytest
import torch
from PIL import Image

import tlx
import tlx.callbacks.checkpoints
import tlx.callbacks.stages
import tlx.train
from tests.hostile.forked import Forks
from tests.hostile.mutations import copied, mutate, verbs
from tlx import Run
from tlx.base.errors import Interrupted
from tlx.cli import main

AGAIN = [
    "backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.classes=[0,1,2]", "dataset.channels=1",
    "dataset.image_size=16", "dataset.num_workers=0", "strategy=last_layers", "trainer.stage_epochs=1",
    "dataset.labels_per_class=20", "logger=none",
]  # fmt: skip
LONGEST = 120  # seconds that a case may take


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory) -> Path:
    """A run that was stopped after its first epoch."""
    place = tmp_path_factory.mktemp("damaged") / "run"
    enter = tlx.callbacks.stages.Stages.on_train_epoch_start

    def entering(self, trainer, module):
        enter(self, trainer, module)
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    config = tlx.compose([*AGAIN, f"run_dir={place}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tlx.callbacks.stages.Stages, "on_train_epoch_start", entering)
        with pytest.raises(Interrupted):
            tlx.train(config)
    return place


@pytest.fixture(scope="module")
def forks(tmp_path_factory) -> Iterator[Forks]:
    started = Forks(tmp_path_factory.mktemp("said") / "said", LONGEST)
    yield started
    started.close()


@pytest.fixture
def image(tmp_path) -> Path:
    Image.new("L", (8, 8), 100).save(tmp_path / "one.png")
    return tmp_path / "one.png"


def ended(arguments: list[str]) -> tuple[int, str]:
    """Return the exit code of a verb that runs in this process, and what it said; an exception is one of the verb's."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as error:
            return int(error.code or 0), said.getvalue()
    return 0, said.getvalue()


def a_case(number: int, unfinished: Path, finished: Path, image: Path, tmp_path: Path) -> tuple[str, list[str]]:
    """Return what is wrong with the directory of a case, and the command that it is given to."""
    rng = Random(number)
    run = copied(rng.choice([unfinished, finished]), tmp_path / "case")
    wrong = mutate(run, rng)
    name, arguments = rng.choice(list(verbs(run, image, tmp_path, AGAIN).items()))
    return f"case {number}: {name}, {wrong}", arguments


class Watch:
    """Ends a case that waits, or computes for too long; one that is slow because others use the cores continues."""

    def __init__(self):
        self.began = 0.0

    def start(self):
        self.began = time.process_time()
        signal.alarm(LONGEST)

    def look(self, signum, frame):
        computed = time.process_time() - self.began
        if not 0.01 * LONGEST < computed < LONGEST:
            raise TimeoutError(f"{computed:.1f} s of computation in {LONGEST} s or more")
        signal.alarm(LONGEST)


@pytest.mark.nightly
def test_a_damaged_run_ends_in_a_message(unfinished, tiny_run, image, tmp_path, monkeypatch):
    """Guards against a traceback of Python's, YAML's, torch's or Lightning's, and against a pipe that is waited for."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    wrong, codes = [], set()
    watch = Watch()
    before = signal.signal(signal.SIGALRM, watch.look)
    try:
        for number in range(40):
            told, arguments = a_case(number, unfinished, tiny_run.directory, image, tmp_path)
            watch.start()
            try:
                code, said = ended(arguments)
            except Exception as error:
                wrong.append(f"{told}: {type(error).__name__}: {str(error)[:200]}")
                continue
            finally:
                signal.alarm(0)  # or it would end the preparation of the next case
            codes.add(code)
            if code not in (0, 2) or "Traceback" in said or (code == 2 and not said.strip()):
                wrong.append(f"{told}: exit code {code}: {said[-300:]}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not wrong, "\n".join(wrong)
    assert codes == {0, 2}  # some are still good, some are refused


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 1300, 30))
def test_damaged_runs_as_real_commands(unfinished, tiny_run, image, tmp_path, forks, first):
    """Guards against what shows only in a process of its own: exit codes, output at exit, a process that stays."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CONFIG_HOME": str(tmp_path / "settings")}
    wrong, codes = [], set()
    for number in range(first, first + 30):
        told, arguments = a_case(number, unfinished, tiny_run.directory, image, tmp_path)
        done = forks.run(arguments, tmp_path, environment)
        codes.add(done.code)
        if done.fault:
            wrong.append(f"{told}: {done.fault}")
        shutil.rmtree(tmp_path / "next", ignore_errors=True)
    assert not wrong, "\n".join(wrong)
    assert codes == {0, 2}


def elsewhere(held):
    held["callbacks"]["Stages"] |= {"directory": "/tmp", "plan": []}  # what a callback is made of is not its state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "good"),
    [
        (elsewhere, True),
        (lambda held: held["callbacks"]["Stages"].update(index=7), False),
        (lambda held: held["callbacks"]["Checkpoints"].update(best="high"), False),
        (lambda held: held["loops"]["fit_loop"]["epoch_progress"]["total"].update(ready="x"), False),
        (lambda held: held["optimizer_states"][0]["param_groups"][0].pop("betas"), False),
        (lambda held: held["optimizer_states"][0]["param_groups"].pop(), False),
        (lambda held: held.update(state_dict={}), False),
        (lambda held: held.pop("global_step"), False),
    ],
    ids=["attributes", "stage", "best", "counts", "optimizer", "groups", "weights", "step"],
)
def test_a_checkpoint_that_does_not_fit_is_named(unfinished, tmp_path, change, good):
    """Guards against errors of Lightning's and of the optimizer's, in the middle of the first step, and against a
    checkpoint that sets whatever it likes on a callback."""
    run = Run(copied(unfinished, tmp_path / "case"))
    path = run.checkpoints / "last.ckpt"
    held = torch.load(path, weights_only=True)
    change(held)
    torch.save(held, path)
    code, said = ended(["train", f"resume={run.directory}"])
    assert (code, "Traceback" in said) == (0 if good else 2, False)
    assert good or f"{path}: expected " in said, said


def test_a_message_names_the_file_and_what_to_do(tiny_run, tmp_path):
    """Guards against "expecting value: line 1 column 1" of which nobody knows where."""
    run = Run(copied(tiny_run.directory, tmp_path / "case"))
    for name in ("status.json", "metrics.json", "config.yaml", "model.json", "environment.json"):
        (run.directory / name).write_text('{"a": ')
        verb = ["train", f"resume={run.directory}"] if "environment" in name else ["lineage", str(run.directory)]
        code, said = ended(verb)
        assert code == 2
        assert f"{name}: expected" in said
        readers = {"status": "status", "metrics": "metrics", "config": "config", "model": "description"}
        with pytest.raises(tlx.TlxError, match=rf"{name}: expected .*, got .*; restore the run directory from a copy"):
            getattr(run, readers.get(name.partition(".")[0], "environment"))
        shutil.copy(tiny_run.directory / name, run.directory / name)
