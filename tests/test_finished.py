"""The store of finished runs gives each test what it would have trained, and notices who writes into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.finished import FinishedRuns

pytestmark = pytest.mark.run
TINY = (
    "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "dataset.classes=[0,1]",
    "strategy=full", "trainer.stage_epochs=1", "trainer.limit_batches=1", "logger=none",
)  # fmt: skip


def test_a_configuration_is_trained_once_and_who_writes_is_named(tmp_path: Path) -> None:
    """Guards against a run that two tests train, two configurations that share one, and a test that changes another's
    run, which would show as a failure of the other."""
    first, second = FinishedRuns(tmp_path / "runs"), FinishedRuns(tmp_path / "runs")  # two workers
    run = first(*TINY)
    assert run.finished
    began = run.environment[0]
    assert second(*reversed(TINY), "seed=0").directory == run.directory  # the same, typed otherwise
    assert len(run.environment) == 1
    assert run.environment[0] == began
    other = first(*TINY, "seed=1")
    assert other.directory != run.directory
    run.test()
    assert first.written() == []

    first(*TINY)
    (run.directory / "mine.txt").write_text("a test was here")
    (run.directory / "metrics.json").write_text("{}")
    names = sorted(Path(name).name for name in first.written())
    assert names == ["metrics.json", "mine.txt"]
