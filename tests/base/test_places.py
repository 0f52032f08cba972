"""Where nothing can be written that is told before minutes of work; where a run was started its paths are found."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

import tlx
from tests.conftest import digits_file
from tlx import Run, TlxError
from tlx.base.errors import ConfigError
from tlx.base.places import place_mistakes, refuse_little_room, why_not_writable
from tlx.cli import main
from tlx.config import check_command_line
from tlx.config.naming import run_name

SMALL = ["dataset=digits", "backbone=small_cnn"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stopped(arguments, capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("verb", [["train", *SMALL], ["train", "-m", *SMALL, "seed=0,1"], ["demo"]], ids=" ".join)
def test_an_output_dir_that_is_a_file(here, capsys, verb):
    """Guards against a traceback, and against a sweep whose jobs all fail, where a file is called `outputs`."""
    (here / "outputs").touch()
    assert "output_dir: expected a writable folder, got 'outputs" in stopped(verb, capsys)
    assert [path.name for path in here.iterdir()] == ["outputs"]


def test_why_a_folder_cannot_be_written(here, monkeypatch):
    """Guards against a run that ends at its first file, or after its first epoch."""
    assert why_not_writable(here / "a" / "b") is None
    assert place_mistakes("x" * 300, "a/b") == []  # not where this run goes
    assert "at most 255 bytes" in str(place_mistakes("a", "a/" + "é" * 128)[0])
    (here / "link").symlink_to(here / "gone")
    assert "a broken link" in (why_not_writable(here / "link" / "x") or "")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert "this user may not write to" in (why_not_writable(here / "a") or "")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert str(place_mistakes("runs", "runs/a")[0]).endswith("got 'runs' (the disk is full)")
    refuse_little_room(here, 1000)
    with pytest.raises(TlxError, match=r"expected room for 5\.0 MB of checkpoints, got 0\.0 MB"):
        refuse_little_room(here, 5_000_000)


def test_predictions_are_written_over_nothing_of_others(tiny_run, here, capsys, monkeypatch):
    """Guards against `predict -o` that destroys a table of somebody's, or finds after an hour that it cannot write."""
    Image.new("L", (8, 8)).save("one.png")
    for _ in range(2):  # what it wrote itself it may write again
        main(["predict", str(tiny_run.directory), "one.png", "-o", "mine.csv", "--overwrite"])
    (here / "old.csv").write_text("image,prediction,probability,a\n")
    main(["predict", str(tiny_run.directory), "one.png", "-o", "old.csv", "--overwrite"])
    assert (here / "old.csv").read_text().startswith("image,predicted,confidence,distance,unknown,0,")
    monkeypatch.setattr(Run, "predict", lambda *_: pytest.fail("it predicts before it looks"))
    (here / "predictions.csv").write_text("patient,age\n")
    (here / "link.csv").symlink_to(here / "mine.csv")
    (here / "file").touch()
    for name, told in {
        "predictions.csv": "got 'predictions.csv', which is neither; remove it, or name another file",
        "link.csv": f"got 'link.csv', a link; type where it leads: {here / 'mine.csv'}",
        "file/x.csv": "expected a writable folder, got 'file/x.csv'",
        ".": "expected a file, got the folder '.'",
        "mine.csv": f"to replace them: tlx predict {tiny_run.directory} one.png -o mine.csv --overwrite",
    }.items():
        assert told in stopped(["predict", str(tiny_run.directory), "one.png", "-o", name], capsys)
    assert (here / "predictions.csv").read_text() == "patient,age\n"
    if (shared := Path("/dev/shm")).is_dir():  # there lie streams, and files like elsewhere
        with tempfile.NamedTemporaryFile("w", dir=shared) as other:
            other.write("patient,age\n")
            other.flush()
            told = f"got '{other.name}', which is neither"
            assert told in stopped(["predict", str(tiny_run.directory), "one.png", "-o", other.name], capsys)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 0}))
    assert "the disk is full" in stopped(["predict", str(tiny_run.directory), "one.png", "-o", "new.csv"], capsys)
    assert not (here / "new.csv").exists()


def test_a_person_is_asked_before_earlier_predictions_are_replaced(tiny_run, here, capsys, monkeypatch):
    """Guards against predictions that are gone after a command that was meant for other images."""
    Image.new("L", (8, 8)).save("one.png")
    command = ["predict", str(tiny_run.directory), "one.png", "-o", "new/mine.csv"]
    main(command)
    before = (here / "new" / "mine.csv").stat().st_mtime_ns
    answers = iter(["", "n", "yes"])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    for _ in range(2):
        assert "'new/mine.csv' stays as it is" in stopped(command, capsys)
    assert (here / "new" / "mine.csv").stat().st_mtime_ns == before
    main(command)
    assert (here / "new" / "mine.csv").stat().st_mtime_ns > before


@pytest.fixture
def homeless(monkeypatch):
    """A user without HOME and without an entry in passwd."""

    def nobody(number):
        raise KeyError(number)

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)


def test_no_home_is_needed_where_no_tilde_is_typed(homeless, here, capsys):
    """Guards against RuntimeError in a container; and against settings from a folder `~` of somebody else's."""
    (here / "~" / ".config" / "tlx").mkdir(parents=True)
    (here / "~" / ".config" / "tlx" / "settings.yaml").write_text("allow_targets: [os]\n")
    assert check_command_line(SMALL, None, multirun=False) == []
    assert check_command_line([*SMALL, "optimizer._target_=os.mkdir"], None, multirun=False)
    main(["plan", *SMALL])
    assert "head" in capsys.readouterr().out
    assert "expected a home directory for ~" in stopped(["test", "~/run"], capsys)


def test_a_run_is_tested_from_another_folder(here, monkeypatch):
    """Guards against `tlx test` that looks for a relative path where the command is typed, and not where it was."""
    digits_file(here / "digits.npz", [30, 20])
    overrides = [
        "dataset=arrays", "dataset.path=digits.npz", "dataset.channels=1", "dataset.image_size=16",
        "backbone=small_cnn", "backbone.width=4", "strategy=scratch", "trainer.stage_epochs=1",
        "logger=none", f"run_dir={here / 'run'}",
    ]  # fmt: skip
    run = tlx.train(tlx.compose(overrides))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    tested = run.test()
    assert tested["test/accuracy"] == run.metrics["test/accuracy"]
    with pytest.raises(TlxError, match=r"dataset\.path"):  # what is typed is meant from here
        run.test(["dataset.path=digits.npz"])


def test_a_long_name_is_cut(here):
    """Guards against OSError 36 for a set whose name is too long for a folder; names that fit stay as they are."""
    with pytest.raises(ConfigError, match="1 to 200 characters"):
        tlx.compose([*SMALL, f'dataset.name="{"é" * 300}"'])
    long, other, short = (
        tlx.compose([*SMALL, f'dataset.name="{name}"']) for name in ("é" * 199, "é" * 199 + "a", "pets/of mine")
    )
    names = [run_name(_root_=config) for config in (long, other, short)]
    assert [len(os.fsencode(name)) <= 255 for name in names] == [True] * 3
    assert names[0] != names[1]
    assert names[2].startswith("pets_of_mine-small_cnn-full-s0-")
    controlled = tlx.compose(["dataset=digits"])
    controlled.dataset.name = "a\tb"  # from Python, past the check
    assert run_name(_root_=controlled).startswith("a_b-")
