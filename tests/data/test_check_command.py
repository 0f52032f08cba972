"""`tlx check`: what it prints, how it exits, and that it needs no torch for files."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tlx.cli import main

pytestmark = pytest.mark.run


def run(*arguments: str, cwd=None) -> tuple[int, str]:
    code = "import sys; from tlx.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_clean_set(make_tree):
    """Guards against seconds of importing torch before a file is looked at."""
    root = make_tree({"train/a": 20, "train/b": 12, "test/a": 3, "test/b": 4})
    code, told = run("check", "dataset=folder", f"dataset.root={root}", "dataset.image_size=16")
    assert code == 0, told
    assert "  39 files opened, 0 of them broken\n" in told
    assert "test        7 images" in told
    assert told.rstrip().endswith("False")


def test_broken_files_and_findings(make_tree, capsys):
    """Guards against a check that a script takes for passed, and one that names some of the broken files only."""
    root = make_tree({"a": 60, "b": 12})
    for i in range(25):
        (root / "a" / f"{i}.png").write_bytes(b"no image")
    for on_bad in ("stop", "skip"):
        with pytest.raises(SystemExit) as stop:
            main(["check", "dataset=folder", f"dataset.root={root}", f"dataset.on_bad={on_bad}", "backbone=resnet18"])
        assert stop.value.code == 1
        told = capsys.readouterr().out
        assert told.count("it is in no image format that tlx reads") == 25
        last = "left out in training" if on_bad == "skip" else "repair or remove them, or leave them out"
        assert told.splitlines()[-1] == f"  {last}: dataset.on_bad=skip"
        assert "47 of 47 images are far smaller than the input of 224 pixels" in told


def test_a_run_stops_at_broken_files_or_leaves_them_out(make_tree, tmp_path, capsys, monkeypatch):
    """Guards against a run that checks nothing, or that trains on something else than its log says."""
    monkeypatch.chdir(tmp_path)
    root = make_tree({"a": 20, "b": 20})
    (root / "a" / "3.png").write_bytes(b"no image")
    small = ["backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.num_workers=0"]
    short = ["dataset=folder", f"dataset.root={root}", "strategy=linear_probe", "trainer.stage_epochs=1"]
    monkeypatch.setattr(sys, "argv", ["tlx"])
    with pytest.raises(SystemExit) as stop:
        main(["train", *small, *short])
    streams = capsys.readouterr()
    assert stop.value.code not in (0, None)
    assert "1 broken file" in streams.out + streams.err
    main(["train", *small, *short, "dataset.on_bad=skip"])
    told = capsys.readouterr().out
    assert "left out: 1 broken file\n" in told
    assert f"{root}/a/3.png: it is in no image format" in told
    assert "test/accuracy" in told


def test_mistakes(make_tree, capsys):
    """Guards against a typing mistake that looks like broken files."""
    with pytest.raises(SystemExit) as stop:
        main(["check", "dataset=folder", f"dataset.root={make_tree({'a': 1})}x"])
    assert stop.value.code == 2
    assert "did you mean" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["check", "--help"])
    assert stop.value.code == 0
    assert "Exit code 0: every file can be read; 1: files are broken; 2: a mistake" in " ".join(
        capsys.readouterr().out.split()
    )


def test_a_set_in_memory(capsys):
    """Guards against a verb for folders only."""
    main(["check", "dataset=digits", "dataset.image_size=16"])
    assert "the images are in memory: there are no files to open" in capsys.readouterr().out


def test_a_set_without_a_readable_image(make_tree, capsys):
    """Guards against an exception where nothing is left to describe."""
    root = make_tree({"a": 3, "b": 3})
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(SystemExit) as stop:
        main(["check", "dataset=folder", f"dataset.root={root}"])
    assert stop.value.code == 1
    told = capsys.readouterr().out
    assert "no readable images" in told
    assert "6 files opened, 6 of them broken" in told


def test_masks_are_checked_without_naming_a_task(capsys):
    """Guards against a check of images that asks for the task which they will be used for."""
    main(["check", "dataset=scenes", "dataset.count=20"])
    assert "11 classes" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["check", "dataset=scenes", "dataset.count=20", "task=classification"])
    assert "type task=segmentation" in capsys.readouterr().err
