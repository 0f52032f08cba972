"""`tlx list runs`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tlx import Run
from tlx.base.errors import TlxError
from tlx.runs.run_list import run_lines


def test_runs_are_listed_with_their_states_whatever_lies_beside_them(
    tiny_run: Run, tmp_path: Path, monkeypatch
) -> None:
    """Guards against one damaged file, foreign folder or link for which no run is listed."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TlxError, match="expected a run in 'outputs', got none"):
        run_lines()
    for i, name in enumerate(("done", "demo/early", "broken", "list", "deep", "foreign", "killed")):
        run = Path(shutil.copytree(tiny_run.directory, tmp_path / "outputs" / name))
        os.utime(run, (i, i))
    (tmp_path / "outputs" / "broken" / "status.json").write_text('{"state": ')
    (tmp_path / "outputs" / "list" / "status.json").write_text("[1]")
    (tmp_path / "outputs" / "deep" / "metrics.json").write_text("[" * 100_000)
    (tmp_path / "outputs" / "foreign" / "status.json").unlink()
    (tmp_path / "outputs" / "killed" / "status.json").write_text(
        json.dumps({"state": "running", "pid": 1, "host": "x"})
    )
    (tmp_path / "outputs" / "loop").symlink_to(tmp_path / "outputs")
    lines = {Path(line.split()[0]).name: line.split()[1:] for line in run_lines()}
    figure = f"{tiny_run.metrics['test/accuracy']:.4f}"
    assert lines == {
        "done": ["finished", "test/accuracy", figure],
        "early": ["finished", "test/accuracy", figure],
        "broken": ["unreadable"],
        "list": ["unreadable"],
        "deep": ["unreadable"],
        "killed": ["killed"],
    }
    assert [Path(line.split()[0]).name for line in run_lines("e*")] == ["early"]
    assert len(run_lines("outputs/demo")) == 1
    with pytest.raises(TlxError, match=r"name matches 'x\*' in 'outputs'"):
        run_lines("x*")
