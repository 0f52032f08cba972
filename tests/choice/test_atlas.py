"""`tlx atlas`: which layers transfer; what it prints, writes and refuses."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tlx
from tests.conftest import ROOT, digits_file
from tlx.choice.atlas_text import next_keys
from tlx.choice.request import place_for, requested
from tlx.cli import main
from tlx.features.prefix_cache import PrefixCache

pytestmark = pytest.mark.run
SMALL = ["backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.num_workers=0"]


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides for 24, 20 and 20 digits in a working directory of their own, with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tlx"])
    path = digits_file(tmp_path / "three.npz", [24, 20, 20])
    return [*SMALL, "dataset=arrays", f"dataset.path={path}", "dataset.channels=1", f"cache.dir={tmp_path / 'cache'}"]


def test_a_table_a_picture_and_a_page(digits, tmp_path, capsys, monkeypatch):
    """Guards against an atlas that computes features again, reads the test split, or replaces files of others."""
    asked: list[str] = []
    rows = PrefixCache.rows
    monkeypatch.setattr(PrefixCache, "rows", lambda *a: asked.append(a[2].split) or rows(*a))
    main(["atlas", *digits])
    told = capsys.readouterr().out
    assert {*asked} == {"train", "val"}
    assert "arrays: 51 images (train 38, val 13), 3 classes of 16 to 19 images; the test split is not read" in told
    assert "layer group  outputs" in told
    groups = [line.split()[0] for line in told.splitlines() if line.startswith("stage") and "(" in line]
    assert groups[:3] == ["stage1", "stage2", "stage3"]
    (folder,) = (tmp_path / "outputs" / "atlas").iterdir()
    assert {path.name for path in folder.iterdir()} == {"atlas.csv", "atlas.png", "atlas.md", "atlas.json"}
    with (folder / "atlas.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 5 * 3
    assert {row["figure"] for row in found} == {"accuracy"}
    assert all(0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1 for row in found)
    assert "![Figure over layer groups](atlas.png)" in (folder / "atlas.md").read_text()
    main(["atlas", *digits])  # the same again: from the cache
    again = capsys.readouterr().out
    assert "cache: train" in told
    assert "cache: train" not in again
    assert again.splitlines()[-1] == told.splitlines()[-1]
    main(
        ["train", *again.splitlines()[-1].split()[2:], "trainer.stage_epochs=1", "logger=none"]
    )  # what it says is next
    assert "run: outputs" in capsys.readouterr().out

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "atlas.csv").write_text("mine")
    for place, said in (("mine", "which holds atlas.csv; name another"), (str(folder), "with figures of an atlas")):
        with pytest.raises(SystemExit):
            main(["atlas", *digits, "-o", place])
        assert said in capsys.readouterr().err
    assert (tmp_path / "mine" / "atlas.csv").read_text() == "mine"


def test_backbones_side_by_side_without_the_cache_and_from_python(digits):
    """Guards against a comparison of networks on different images, and figures that depend on the cache."""
    one = tlx.compose(digits)
    other = tlx.compose([*digits, "backbone.width=6", "cache=off"])
    found = tlx.atlas(one, other)
    assert [(row.number, row.group) for row in found.whole][::5] == [(0, "stem"), (1, "stem")]
    assert found.at(found.whole[0], 0.5).images < found.whole[0].images
    assert found.difference(found.best, found.best).value == 0
    assert f"{found.best.backbone} {found.best.group}" in str(found)
    assert "<table>" in found._repr_html_()
    assert repr(found).startswith("<Atlas of arrays: best small_cnn")
    assert len(found.plot().axes) == 2
    alone = tlx.atlas(tlx.compose([*digits, "cache=off"]))
    assert [row.value for row in alone.table] == pytest.approx([row.value for row in found.table if row.number == 0])
    assert {str(place_for([one], "atlas")), str(place_for([one, other], "atlas"))} == {
        str(place_for([tlx.compose(digits)], "atlas")), str(place_for([one, other], "atlas"))
    }  # fmt: skip
    with pytest.raises(tlx.TlxError, match="with the same images, got different ones"):
        tlx.atlas(one, tlx.compose([*digits, "dataset.split_seed=1"]))


def test_images_of_a_group_copies_and_uneven_classes(digits, tmp_path):
    """Guards against an image that is recognised by its copy, and a figure that only the largest class decides."""
    with np.load(tmp_path / "three.npz") as held:
        images, labels = held["images"], held["labels"]
    kept = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:6]])
    np.savez(
        tmp_path / "three.npz", images=np.concatenate([images[kept]] * 2), labels=np.concatenate([labels[kept]] * 2)
    )
    found = tlx.atlas(tlx.compose(digits))
    assert found.figure == "balanced_accuracy"
    assert found.pool.units * 2 == len(found.pool)
    assert "copies or near duplicates are left out together" in str(found)


def test_what_is_next_names_the_backbone_as_it_was_typed(digits, capsys):
    """Guards against a next command for a run or a file of weights that calls these by a name nobody can type."""
    main(["atlas", *(text for text in digits if text != "backbone.width=4"), "backbone.width=4,6"])
    told = capsys.readouterr().out
    command = told.splitlines()[-1].split()
    assert ("backbone.width=4" in command) != ("backbone.width=6" in command)
    assert "small_cnn" in told
    assert "backbone=small_cnn" in command


def test_one_configuration_for_each_backbone():
    """Guards against a list of backbones that is taken for one name, and keys of others with several values."""
    typed = ["dataset=digits", "backbone=small_cnn,efficientnet_lite0"]
    assert [one.backbone.name for one in requested(typed, None, "atlas")] == ["small_cnn", "efficientnet_lite0"]
    with pytest.raises(tlx.ConfigError, match="expected one value, got several"):
        requested(["dataset=digits", "seed=0,1"], None, "atlas")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["dataset=scenes"], "got 'segmentation'"),
        (["task=detection", "dataset=scenes", "dataset.labels=boxes"], "got 'detection'"),
        (["dataset=digits", "target=usps"], "type: tlx atlas|leave target out; for the images of the target"),
    ],
)
def test_other_tasks_are_refused_by_name(typed, told):
    """Guards against an exception deep in a probe, where masks or boxes are no classes."""
    with pytest.raises(tlx.ConfigError, match=told):
        requested(typed, None, "atlas")


def test_mistakes_are_told_before_torch_is_imported(tmp_path):
    """Guards against seconds of importing torch before a mistyped key is reported."""
    ends = "except SystemExit: print('torch' in sys.modules)"
    code = f"import sys; from tlx.cli import main\ntry: main(sys.argv[1:])\n{ends}"
    for typed in (["dataset=scenes"], ["dataset=digits", "-o", "file"]):
        (tmp_path / "file").write_text("mine")
        command = [sys.executable, "-c", code, "atlas", *typed]
        env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.stdout.endswith("False\n"), done.stdout + done.stderr


def test_the_next_command_is_the_cheapest_that_is_not_shown_to_be_worse(digits):
    """Guards against a classifier on all groups for a thousandth more than that of the last one."""
    found = tlx.atlas(tlx.compose(digits))
    last = found.last_of(found.best)
    expected = "strategy=linear_probe" if last is found.best or last in found.as_good else "strategy=features"
    assert next_keys(found)[0] == expected
