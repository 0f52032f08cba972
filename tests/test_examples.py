"""The examples in the docstrings of the main entry points run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import io
import logging
from pathlib import Path

import pytest

MAIN = (  # in the order of use: `train` makes the run that `Run` opens
    "tlx.config.compose.compose",
    "tlx.procedures.plan_table",
    "tlx.train.train",
    "tlx.runs.run.Run",
    "tlx.data.ImageDataModule",
    "tlx.data.folder",
    "tlx.strategies.selectors.select",
    "tlx.strategies.plan.plan_stages",
    "tlx.backbones.Backbone",
    "tlx.features.extract",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder that all examples share."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.run
@pytest.mark.parametrize("name", MAIN)
def test_the_example_of_an_entry_point_runs(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against an example that a change has made wrong, and against an entry point without one."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("TLX_CACHE", str(place / "cache"))
    monkeypatch.setattr(logging.getLogger("tlx"), "disabled", True)  # examples leave out what is logged
    module, _, entry = name.rpartition(".")
    documented = getattr(importlib.import_module(module), entry)
    (example,) = doctest.DocTestFinder(recurse=False).find(documented, name, globs={})
    assert len(example.examples) >= 2
    assert "+ELLIPSIS" not in (example.docstring or "")
    report = io.StringIO()
    assert doctest.DocTestRunner(verbose=False).run(example, out=report.write).failed == 0, report.getvalue()
