"""Names that come from elsewhere do not control the terminal on which a verb answers."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from tlx import Run
from tlx.cli import main
from tlx.sweeps.progress import Progress
from tlx.sweeps.records import Record, Records

NAME = "x\x1b]0;y\x07"
SHOWN = r"x\x1b]0;y\x07"


def test_a_directory_and_options_of_somebody_else_are_shown_as_text(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards against escape sequences in the name of a run's directory, of an option and in its comment, and in what an
    entry of a cache says: they were printed as they are."""
    run = Run(shutil.copytree(tiny_run.directory, tmp_path / NAME))
    run.write_status("interrupted")
    option = tmp_path / "options" / "experiment" / f"{NAME}.yaml"
    option.parent.mkdir(parents=True)
    option.write_text(f"# {NAME}\nseed: 1\n")
    entry = tmp_path / "cache" / "features" / ("a" * 32)
    entry.mkdir(parents=True)
    (entry / ".tlx-entry").touch()
    (entry / "about.json").write_text(json.dumps({"backbone": NAME, "owners": {NAME: NAME}}))
    for words in (
        ["lineage", str(run.directory)],
        ["list", "runs", str(tmp_path)],
        ["list", "experiments", "--config-dir", str(tmp_path / "options")],
        ["cache", "--dir", str(tmp_path / "cache")],
    ):
        main(words)
        said = capsys.readouterr().out
        assert SHOWN in said, words
        assert "\x1b" not in said, words
    with pytest.raises(SystemExit):
        main(["test", str(run.directory)])
    said = capsys.readouterr().err
    assert SHOWN in said
    assert "\x1b" not in said


def test_the_records_of_a_sweep_are_shown_as_text(tmp_path: Path) -> None:
    """Guards against escape sequences in the values and notes of a sweep's jobs."""
    records, stream = Records(tmp_path), io.StringIO()
    progress = Progress(records, stream)
    records.write(Record(0, {"seed": NAME}, "", state="failed", note=NAME))
    progress.look()
    assert SHOWN in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_an_entry_whose_owners_are_no_mapping_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against a traceback of `tlx cache` for one damaged about.json."""
    entry = tmp_path / "features" / ("a" * 32)
    entry.mkdir(parents=True)
    (entry / ".tlx-entry").touch()
    for owners in ([], "x", {"run": {"a": 1}}, None):
        (entry / "about.json").write_text(json.dumps({"owners": owners}))
        main(["cache", "--dir", str(tmp_path)])
        assert "1 entry" in capsys.readouterr().out
