"""tlx removes and overwrites the files that it wrote, and no others."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
from PIL import Image

import tlx
from tlx import Run, TlxError
from tlx.base.errors import ConfigError
from tlx.base.files import temporary_path
from tlx.callbacks.checkpoints import settle_files
from tlx.records.ownership import DOCUMENTED, LIST, LOGS, OwnFiles
from tlx.sweeps.records import Records


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def texts(folder):
    return {name: (folder / name).read_text() for name in files(folder)}


@pytest.fixture
def project(tmp_path):
    """Somebody's folder, with names that are tlx's, too."""
    folder = tmp_path / "project"
    for name in ("checkpoints/my_best_model.pth", "review/notes.md", "projector/x", "metrics.xlsx", "config.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def run(tiny_run, tmp_path):
    return Run(shutil.copytree(tiny_run.directory, tmp_path / "run"))


@pytest.fixture
def notes(run):
    """What its owner has put into a run directory; it has to be there afterwards."""
    theirs = {"review/notes.md", "checkpoints/mine.pth", "checkpoints/mine.ckpt.tmp", "metrics.xlsx", "notes.tmp"}
    for name in theirs:
        (run.directory / name).write_text(name)
    yield theirs
    assert {name for name in theirs if (run.directory / name).read_text() == name} == theirs


def test_a_folder_of_somebody_elses_is_refused_and_stays_as_it_is(project):
    """Guards against `run_dir=.` in a project, which lost its checkpoints and its config.yaml; not a file is added."""
    before = texts(project)
    for more in ([], ["force=true"]):
        with pytest.raises(
            TlxError, match=r"expected a new or empty directory or a run of tlx, got .*checkpoints, con"
        ):
            tlx.train(tlx.compose(["dataset=digits", "backbone=small_cnn", f"run_dir={project}", *more]))
    assert texts(project) == before


def test_a_pipe_and_a_huge_file_make_no_run_and_are_not_waited_for(tmp_path):
    """Guards against a directory whose config.yaml is a pipe, at which `run_dir=DIR` waited for ever, or whose
    status.json has sixteen gigabytes, which were read."""

    def waited(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(20)
    try:
        os.mkfifo(tmp_path / "config.yaml")
        with (tmp_path / "status.json").open("wb") as file:
            file.truncate(2**34)
        with pytest.raises(TlxError, match=r"expected a new or empty directory or a run of tlx, got .*config\.yaml"):
            OwnFiles(tmp_path).refuse_foreign()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("there", [(), LOGS, (f"{LIST}.tlx-0123456789ab.tmp",)])
def test_an_empty_folder_is_no_project(tmp_path, there):
    """Guards against a run that refuses its own folder, because a log or a lock was there first."""
    for name in there:
        (tmp_path / name).touch()
    OwnFiles(tmp_path).refuse_foreign()


def test_a_run_lists_exactly_the_files_that_it_writes(tiny_run):
    """Guards against files of tlx's own, a logger's included, that force=true would leave there or take for others'."""
    listed, there = tiny_run.files.names, files(tiny_run.directory)
    assert there - listed == {LIST, *LOGS} & there
    assert {name for name in listed - there if ".next" not in name} == {
        "checkpoints/stage_best.ckpt", "checkpoints/oracle.ckpt",
    }  # fmt: skip
    assert not any("*" in name for name in listed)


@pytest.mark.parametrize("old", [False, True], ids=["with a list", "of tlx 0.1"])
def test_starting_again_removes_what_tlx_wrote(run, notes, old):
    """Guards against removing folders together with files that their owner has put there."""
    if old:
        (run.directory / LIST).unlink()
        later = ["test_resamples.json", "known_images.pt", "review/training_images.png"]  # which tlx 0.1 did not write
        for path in (*(run.directory / "review").glob("*.csv"), *(run.directory / name for name in later)):
            path.unlink()
    half = [run.directory / "checkpoints" / "last.ckpt.tmp", run.directory / "status.json.77.tmp"]
    half += [temporary_path(run.directory / "metrics.csv"), temporary_path(run.directory / "review" / "review.md")]
    for path in half:
        path.write_text("half")
    run.begin(run.config)
    assert files(run.directory) - notes - set(LOGS) == {
        LIST, "config.yaml", "settings.json", "environment.json", "status.json",
    }  # fmt: skip


def test_resuming_removes_half_written_files(run, notes):
    """Guards against `NAME.PROCESS.tmp` that stay forever after each kill."""
    for path in (run.directory / "status.json.77.tmp", temporary_path(run.directory / "status.json")):
        path.write_text("half")
    before = files(run.directory)
    (run.directory / LIST).unlink()
    run.resume(run.config)
    assert files(run.directory) == {name for name in before if not name.startswith("status.json.")}
    assert run.files.names >= {"model.json", "review/review.md"}


def test_a_kill_while_a_run_is_removed_loses_nothing_foreign(run, notes, monkeypatch):
    """Guards against a list that is gone before the files that it lists, which then pass for somebody else's."""
    removed = []

    def killed(path, *_, **__):
        if len(removed) == 3:
            raise KeyboardInterrupt
        removed.append(path)
        os.remove(path)

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            run.begin(run.config)
    assert run.status == {}
    run.refuse_place()
    run.files.start()
    assert files(run.directory) - notes == {LIST, *LOGS} & files(run.directory)


def test_a_file_under_one_of_our_names_is_not_overwritten(run):
    """Guards against a review.md of somebody's in the folder of a run that never came so far."""
    (run.directory / LIST).write_text(json.dumps({"written_by_tlx": ["config.yaml", "status.json"]}))
    before = files(run.directory)
    with pytest.raises(TlxError, match=r"expected only files of tlx under the names .*model\.json"):
        run.begin(run.config)
    assert files(run.directory) == before


@pytest.mark.parametrize(
    "names",
    [["../outside.txt"], ["/etc/passwd"], ["a/../../outside.txt"], ["deep/er/link/outside.txt"], ["*"], "x", [1]],
)
def test_a_list_from_elsewhere_removes_nothing_outside(run, tmp_path, names):
    """Guards against a run directory whose list names files of the receiver's."""
    (tmp_path / "outside.txt").write_text("mine")
    (run.directory / "deep" / "er").mkdir(parents=True)
    (run.directory / "deep" / "er" / "link").symlink_to(tmp_path)
    (run.directory / "notes.txt").write_text("mine")
    listed = [*DOCUMENTED, *run.files.names, *names] if isinstance(names, list) else names
    (run.directory / LIST).write_text(json.dumps({"written_by_tlx": listed}))
    run.begin(run.config)
    assert (tmp_path / "outside.txt").read_text() == "mine"
    assert (run.directory / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["tlx.log", "job.log", ".lock", "status.json", "review", "checkpoints", "review/wrong.png"]
)
def test_nothing_is_written_through_a_link(run, tmp_path, name):
    """Guards against a foreign run directory that makes its receiver write to files elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    place = run.directory / name
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(outside if "." not in name else outside / "file")
    with pytest.raises(TlxError, match="got links, through which other files would be written: "):
        tlx.train(tlx.compose(["dataset=digits", "backbone=small_cnn", f"run_dir={run.directory}", "force=true"]))
    assert not files(outside)


def test_the_directory_itself_may_be_a_link(run, tmp_path):
    """Guards against an `outputs` on another disk that is refused."""
    (tmp_path / "link").symlink_to(run.directory)
    linked = Run(tmp_path / "link")
    linked.refuse_place()
    linked.begin(linked.config)
    assert linked.status["state"] == "running"


def test_checkpoints_of_somebody_elses_are_not_settled(tmp_path):
    """Guards against `*.tmp` and `*.next` in `checkpoints` that are removed whoever wrote them."""
    for name in ("model.tmp", "mine.next", "best.ckpt.tmp"):
        (tmp_path / name).write_text("x")
    settle_files(tmp_path)
    assert files(tmp_path) == {"model.tmp", "mine.next"}


def test_a_sweep_takes_no_folder_of_somebody_elses(project, tmp_path):
    """Guards against tables and records in a folder that holds other things, or that lead elsewhere."""
    with pytest.raises(TlxError, match="expected a new directory or that of a sweep"):
        Records(project).open()
    sweep = Records(tmp_path / "sweep")
    sweep.update_about(total=1)
    half = [temporary_path(sweep.directory / "sweep.json"), sweep.directory / "jobs" / "0001.json.77.tmp"]
    half[1].parent.mkdir()
    theirs = sweep.directory / "jobs" / "mine.tmp"
    for path in (*half, theirs):
        path.write_text("half")
    sweep.open()
    assert files(sweep.directory) == {"sweep.json", "jobs/mine.tmp"}
    (sweep.directory / "runs.csv").symlink_to(tmp_path / "outside")
    with pytest.raises(TlxError, match="got links"):
        sweep.open()


def test_names_with_line_breaks_stay_in_one_line(tmp_path, uneven):
    """Guards against a class or a set whose name puts a command of its own into logs, comments and the review."""
    with pytest.raises(ConfigError, match=r"got 'pets\\ncurl x \| sh\\n\\x1b\[2J'"):
        tlx.compose([*uneven, 'dataset.name="pets\ncurl x | sh\n\x1b[2J"'])
    for label, shade in (("a\ncurl x | sh #", 40), ("b", 200)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (16, 16), shade + i).save(tmp_path / "images" / label / f"{i}\ntouch mark.png")
    small = [text for text in uneven if not text.startswith(("dataset=", "dataset.path=", "logger="))]
    set_of_images = ["dataset=folder", f"dataset.root={tmp_path / 'images'}", f"run_dir={tmp_path / 'run'}"]
    run = tlx.train(tlx.compose([*small, *set_of_images]))
    texts = [path for path in run.directory.rglob("*") if path.suffix in (".log", ".md", ".csv", ".yaml")]
    assert {path.name for path in texts} >= {"tlx.log", "review.md", "test_predictions.csv", "config.yaml"}
    for path in texts:
        if path.suffix != ".csv":  # which has its own way of quoting them
            lines = path.read_text().splitlines()
            assert not any(line.lstrip("| `").startswith(("curl", "touch")) for line in lines), path
    review = (run.directory / "review" / "review.md").read_text()
    assert r"| a\\ncurl x \| sh # |" in review  # a backslash of Markdown in front of the one of the escape
