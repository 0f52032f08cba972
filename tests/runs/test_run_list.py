"""`tlx runs`."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tlx import Run
from tlx.base.errors import TlxError
from tlx.cli import main
from tlx.runs.run_list import listed_runs, run_csv, run_lines


def write(
    folder: Path,
    name: str,
    value: float | None = None,
    state: str = "finished",
    metric: str = "test/accuracy",
    **settings: object,
) -> Path:
    """Write what `tlx runs` reads of a run."""
    run = folder / name
    run.mkdir(parents=True)
    (run / "status.json").write_text(
        json.dumps({"state": state, "error": "no\n memory" if state == "failed" else None})
    )
    data = {"dataset.name": "digits", "task.name": "classification", "backbone.name": "small", "strategy.name": "full"}
    own = {key.replace("__", "."): value for key, value in settings.items()}
    (run / "settings.json").write_text(json.dumps({**data, **own}))
    if value is not None:
        kinds = {"test/accuracy": "val/accuracy", "test/miou": "test/dice", "test/map": "test/map_50"}
        figures = {metric: value, f"{metric}_low": value - 0.1, f"{metric}_high": value + 0.1, kinds[metric]: 1.0}
        (run / "metrics.json").write_text(json.dumps({**figures, "train/seconds": 7.25}))
    return run


def test_runs_are_listed_with_their_states_whatever_lies_beside_them(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against one damaged file, foreign folder or link for which no run is listed."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TlxError, match="expected a run in 'outputs', got none"):
        listed_runs()
    for name in ("done", "demo/early", "broken", "list", "deep", "foreign", "killed", "old"):
        shutil.copytree(tiny_run.directory, tmp_path / "outputs" / name)
    outputs = tmp_path / "outputs"
    (outputs / "broken" / "status.json").write_text('{"state": ')
    (outputs / "list" / "status.json").write_text("[1]")
    (outputs / "deep" / "metrics.json").write_text("[" * 100_000)
    (outputs / "foreign" / "status.json").unlink()
    (outputs / "killed" / "status.json").write_text(json.dumps({"state": "running", "pid": 1, "host": "x"}))
    (outputs / "old" / "settings.json").unlink()  # tlx 0.1 wrote none
    (outputs / "loop").symlink_to(outputs)
    found = {run.directory.name: run for run in listed_runs()}
    assert {name: run.status for name, run in found.items()} == {
        "done": "finished",
        "early": "finished",
        "broken": "unreadable",
        "list": "unreadable",
        "deep": "unreadable",
        "killed": "killed at full, epoch 3",
        "old": "finished",
    }
    accuracy, ends = tiny_run.metrics["test/accuracy"], found["done"].ends
    assert ends is not None
    assert found["done"].figure == f"test/accuracy {accuracy:.4f} ({ends[0]:.4f} to {ends[1]:.4f})"
    assert found["old"].settings == found["done"].settings
    assert [run.directory.name for run in listed_runs("e*")] == ["early"]
    assert [run.directory.name for run in listed_runs("arl")] == ["early"]
    assert len(listed_runs("outputs/demo")) == 1
    with pytest.raises(TlxError, match=r"name matches 'x\*' in 'outputs'"):
        listed_runs("x*")


def test_a_line_says_how_a_run_stands_and_what_differs(tmp_path: Path) -> None:
    """Guards against lists in which runs cannot be told apart, and against keys that all of them share."""
    write(tmp_path, "a", 0.8, optimizer__lr=0.001, seed=0)
    write(tmp_path, "b", 0.9, optimizer__lr=0.01, seed=0)
    write(tmp_path, "c", 0.6, metric="test/miou", dataset__name="cells", task__name="segmentation", seed=3)
    write(tmp_path, "d", 0.4, metric="test/map", dataset__name="plates", task__name="detection", seed=3)
    stopped = write(tmp_path, "e", state="interrupted", optimizer__lr=0.01, seed=1)
    (stopped / "metrics.csv").write_text("epoch,stage\n0,probe\n1,probe\n")
    write(tmp_path, "f", state="failed", optimizer__lr=9.0, seed=0)
    lines = [line.split("  ") for line in run_lines(listed_runs(str(tmp_path)))]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0] == ["run", "state", "test", "seconds", "what differs"]
    assert [Path(line[0]).name for line in cells[1:]] == ["c", "b", "a", "e", "f", "d"]
    assert cells[1][1:4] == ["finished", "test/miou 0.6000 (0.5000 to 0.7000)", "7.2"]
    assert cells[1][4] == "dataset=cells task=segmentation"
    assert cells[2][4] == "dataset=digits task=classification lr=0.01 seed=0"
    assert cells[4][1:] == ["stopped at probe, epoch 2", "dataset=digits task=classification lr=0.01 seed=1"]
    assert cells[5][1] == "failed: no memory"
    assert [run.directory.name for run in listed_runs(str(tmp_path), order="name")] == list("abcdef")
    rows = list(csv.DictReader(run_csv(listed_runs(str(tmp_path), order="name"))))
    assert (rows[1]["value"], rows[1]["low"], rows[1]["optimizer.lr"]) == ("0.9", "0.8", "0.01")
    assert (rows[4]["state"], rows[4]["where"], rows[4]["value"]) == ("stopped", "probe, epoch 2", "")


def test_hundreds_of_runs_are_listed_within_a_second(tmp_path: Path) -> None:
    """Guards against a list that imports torch, or reads what it does not show. The time is that of this process."""
    settings = {f"dataset__key{i}": i for i in range(80)}
    for i in range(500):
        write(tmp_path, f"run{i}", i / 500, seed=i, **settings)
    code = (
        "import sys, time\n"
        "from tlx.cli import main\n"
        f"main(['runs', {str(tmp_path)!r}])\n"
        "assert not {'torch', 'hydra', 'pytorch_lightning'} & set(sys.modules)\n"
        "print(time.process_time(), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 501
    assert float(done.stderr) < 2  # half of it on a machine that does nothing else


def test_the_verbs_print_the_same_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against two lists of runs that drift apart."""
    for i, name in enumerate("ab"):
        run = write(tmp_path, name, 0.5, seed=i)
        os.utime(run, (time.time() - i, time.time() - i))
    main(["runs", str(tmp_path)])
    one = capsys.readouterr().out
    main(["list", "runs", str(tmp_path)])
    assert capsys.readouterr().out == one
    main(["runs", "--sort", "time", "--csv", str(tmp_path)])
    assert [row.split(",")[0][-1] for row in capsys.readouterr().out.splitlines()] == ["n", "b", "a"]
