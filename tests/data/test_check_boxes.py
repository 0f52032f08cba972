"""`tlx check` for images with boxes: what it prints, and the page of samples."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.data.mask_trees import examined_here
from tests.data.test_check_command import run
from tests.data.test_coco import BODY, NUCLEUS, node, write
from tlx.base.errors import TlxError
from tlx.cli import main
from tlx.data.check_report import check_report
from tlx.data.checked import load_checked
from tlx.data.reading import inspection
from tlx.data.sample_page import refuse_picture
from tlx.measures.colours import distinct_colour

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


@pytest.mark.run
def test_a_page_of_samples_shows_the_boxes(root, capsys):
    """Guards against boxes that are drawn beside their objects, and against a check of files that needs torch."""
    page = root.parent / "samples.png"
    keys = ["check", "task=detection", "dataset=coco", f"dataset.root={root}"]
    code, told = run(*keys, f"--pictures={page}")
    assert code == 0, told
    assert "10 images in" in told
    assert told.rstrip().endswith("False"), "torch was imported"
    pixels = np.asarray(Image.open(page)).reshape(-1, 3)
    for number in (0, 1):
        assert (pixels == distinct_colour(number)).all(1).sum() > 100
    refuse_picture(page)  # its own page may be replaced
    Image.new("RGB", (4, 4)).save(root.parent / "mine.png")
    with pytest.raises(SystemExit):
        main([*keys, "--pictures", str(root.parent / "mine.png")])
    assert "which tlx check did not write" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["check", "dataset=digits", "--pictures", str(page)])
    assert "expected a data set with boxes, got labels that are classes" in capsys.readouterr().err


def test_a_page_is_a_png_in_a_folder_that_exists(tmp_path):
    """Guards against minutes of opening files before a page cannot be written."""
    for name in ("page.jpg", "none/page.png"):
        with pytest.raises(TlxError, match="name a PNG in a folder that exists"):
            refuse_picture(tmp_path / name)
