"""`tlx check` for images with boxes: what it prints."""

from __future__ import annotations

import pytest

from tests.data.mask_trees import examined_here
from tests.data.test_coco import BODY, NUCLEUS, node, write
from tlx.data.check_report import check_report
from tlx.data.checked import load_checked
from tlx.data.reading import inspection

CROWD = {"category_id": 7, "bbox": [10, 10, 9, 9], "iscrowd": 1}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "examine_all", examined_here)
    write(tmp_path / "set" / "instances_default.json", tmp_path / "set", objects=(NUCLEUS, BODY, CROWD))
    return tmp_path / "set"


def test_the_report_counts_objects_and_says_how_images_are_resized(root):
    """Guards against a check that hides images without objects, and against sizes of boxes in pixels of no input."""
    report = check_report(load_checked(node(root, labels="boxes")), 224, only_this=False)
    assert "9 objects are ignored" in report
    lines = report.splitlines()
    train = next(line for line in lines if line.startswith("  train"))
    images = 6 - int(" 1 images without" in train)
    assert f"{2 * images} objects, {6 - images:,} images without" in train
    assert any(line.split() == [str(images), str(images), *line.split()[2:-1], "nucleus"] for line in lines)
    assert "  images are resized to a shorter side of 32 pixels" in report
    shorter = next(line.split() for line in lines if line.startswith("    shorter"))
    assert shorter == ["shorter", "3", "3", "3", "10", "10"]  # 2 and 6 pixels of 20, of a canvas of 32
