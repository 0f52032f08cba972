"""`tlx demo` as a newcomer sees it, on fewer images and epochs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tlx.demo
from tlx import Run
from tlx.base.errors import TlxError
from tlx.cli import main

pytestmark = pytest.mark.run
SHORT = ("trainer.limit_batches=2", "trainer.stage_epochs=1", "dataset.image_size=32", "logger=none")


def test_every_training_is_shown_and_stands_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against a minute without a word, a transfer that starts from another seed's source, figures of other runs
    than those of the table, and a second call that trains everything again."""
    monkeypatch.setattr(tlx.demo, "SEEDS", (0, 1))
    told = tlx.demo.demo(str(tmp_path / "demo"), *SHORT)
    shown = capsys.readouterr().out
    for what in ("source", "transfer", "scratch"):
        for seed in range(2):
            assert re.search(rf"\[\d/8\] run={what} seed={seed}  started\n", shown)
            assert re.search(rf"\[\d/8\] run={what} seed={seed}  val/accuracy [\d.]+  test/accuracy [\d.]+", shown)
    runs = [Run(line.strip()) for line in told.partition("runs:\n")[2].partition("\n\n")[0].splitlines()]
    assert len(runs) == 8
    assert [run.config.task.name for run in runs[6:]] == ["segmentation", "detection"]
    assert re.search(r"`segment_digits` in small +test miou 0\.\d{3} +\d+\.\d\n", told)
    assert re.search(r"`detect_digits` in small +test map_50 0\.\d{3} +\d+\.\d\n", told)
    sources, transfers = runs[:2], runs[2:4]
    for source, transfer in zip(sources, transfers, strict=True):
        assert transfer.config.backbone.run == str(source.directory)
    scores = [run.metrics["test/accuracy"] for run in transfers]
    row = next(line for line in told.splitlines() if line.startswith("digits 5-9, 10 labels per class, transfer"))
    assert float(row.split()[-3]) == pytest.approx(sum(scores) / 2, abs=6e-4)
    written = [run.status["time"] for run in runs]
    tlx.demo.demo(str(tmp_path / "demo"), *SHORT)
    assert "finished already" in capsys.readouterr().out
    assert [run.status["time"] for run in runs] == written


def test_a_training_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a traceback of a missing figure where the cause is that a run did not end."""
    monkeypatch.setattr(tlx.demo, "SEEDS", (0,))
    with pytest.raises(TlxError, match=r"run=scratch seed=0: .*job\.log has more"):
        tlx.demo.demo(str(tmp_path / "demo"), *SHORT, "dataset.labels_per_class=5000", "dataset.labels_exact=true")


def test_an_output_directory_that_is_something_else_is_refused(tmp_path: Path) -> None:
    """Guards against a demo that writes among somebody's files."""
    place = tmp_path / "sweeps" / "demo"
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--output-dir", str(tmp_path)])
    assert stop.value.code == 2
    assert [path.name for path in place.iterdir()] == ["thesis.txt"]
