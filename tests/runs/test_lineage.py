"""Chains of runs: from weights of somebody's over one's own runs to the last one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import tlx
from tlx.cli import main
from tlx.runs.run import Run

pytestmark = pytest.mark.run
COMMON = ("dataset=digits", "dataset.channels=1", "dataset.image_size=16", "trainer.stage_epochs=1", "logger=none")


def train(directory: Path, *overrides: str) -> Run:
    return tlx.train(tlx.compose([*COMMON, f"run_dir={directory}", *overrides]))


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> list[Run]:
    folder = tmp_path_factory.mktemp("chain")
    first = train(
        folder / "first", "dataset.classes=[0,1,2]", "backbone=small_cnn", "backbone.width=4", "strategy=scratch"
    )
    runs = [first]
    for name, classes, strategy in (("second", "[2,1,5]", "full"), ("third", "[8,9]", "features")):
        runs.append(
            train(
                folder / name, f"dataset.classes={classes}", "backbone=run", f"backbone.run={runs[-1].directory}",
                f"strategy={strategy}",
            )
        )  # fmt: skip
    return runs


def test_a_chain_is_told_from_its_beginning(chain, capsys):
    """Guards against a chain that ends at the parent, and rows of the head that are carried over without a word."""
    main(["lineage", str(chain[2].directory)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "initial weights: random"
    told = [line.split() for line in lines[2:5]]
    assert [line[1] for line in told] == ["first", "second", "third"]
    tensors = len(chain[0].model.backbone.state_dict())
    assert told[0][6:] == ["0", "+", str(tensors), "-"]
    assert told[1][6:] == [str(tensors), "+", "0", "2,", "1"]
    assert told[2][4:6] == ["features", "(logreg)"]
    for run, line in zip(chain, lines[2:5], strict=True):
        assert f"{run.metrics['test/accuracy']:.4f}" in line


def test_the_chain_outlives_its_runs(chain, tmp_path):
    """Guards against a run that cannot tell where it comes from once its source is deleted."""
    copy = tmp_path / "third"
    shutil.copytree(chain[2].directory, copy)
    assert [one["run"] for one in Run(copy).description["lineage"]] == ["first", "second"]
    assert Run(copy).description["lineage"][0]["test/accuracy"] == chain[0].metrics["test/accuracy"]


def test_what_starts_afresh_has_no_ancestors(chain, tmp_path):
    """Guards against a chain that claims weights which `scratch` never loaded."""
    run = train(
        tmp_path / "run", "dataset.classes=[0,1]", "backbone=run", f"backbone.run={chain[0].directory}",
        "strategy=scratch",
    )  # fmt: skip
    assert run.description["lineage"] == []
    assert run.description["carried"]["loaded"] == 0


def test_no_run_is_told_as_such(tmp_path, capsys):
    """Guards against a traceback for a mistyped directory."""
    with pytest.raises(SystemExit) as left:
        main(["lineage", str(tmp_path / "nothing")])
    assert left.value.code == 2
    assert "expected a run directory" in capsys.readouterr().err


def test_weights_of_a_library_are_counted(tmp_path):
    """Guards against a first run that claims to have taken over nothing, or the head of the library's classes."""
    run = train(tmp_path / "run", "dataset.classes=[0,1]", "backbone=efficientnet_lite0", "dataset.channels=3")
    tensors = len(run.model.backbone.state_dict())
    carried = run.description["carried"]
    assert carried == {"from": "efficientnet_lite0, ImageNet", "loaded": tensors, "reinitialised": 0, "classes": []}
