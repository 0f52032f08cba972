"""The page of `tlx check --pictures`: what it shows of each task, how much it reads, what it replaces."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.mask_trees import examined_here
from tests.data.test_coco import BODY, NUCLEUS
from tests.data.test_coco import node as coco_node
from tests.data.test_coco import write as write_coco
from tlx.base.errors import TlxError
from tlx.cli import main
from tlx.data.checked import load_checked
from tlx.data.reading import inspection
from tlx.measures.colours import distinct_colour
from tlx.review import labelled_picture
from tlx.review.set_page import refuse_page, write_set_page

CROWD = {"category_id": 7, "bbox": [10, 10, 9, 9], "iscrowd": 1}


@pytest.fixture(autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLX_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(inspection, "examine_all", examined_here)


def classes(root: Path, counts: dict[str, int]) -> dict[str, Any]:
    """Write images of 12 x 8 pixels, a colour for each; return the node of the set."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (12, 8), (10 + label, i // 200, 20 + i % 200)).save(root / name / f"{i:04}.png")
    return {"_target_": "tlx.data.folder", "name": "set", "root": str(root)}


def test_a_page_of_classes_is_one_file_without_code(tmp_path: Path) -> None:
    """Guards against a name of a folder that runs as code in a browser, and a page that loads something."""
    checked = load_checked(classes(tmp_path / "set", {"<script>alert(1)": 10, "b\"'&": 6}))
    page = tmp_path / "check.html"
    shown = write_set_page(checked, str(page), 16, ["test has < 3 images"])
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == shown == text.count("data:image/jpeg;base64,")
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!data:image/jpeg)""", text)
    assert "&lt;script&gt;alert(1)" in text
    assert "<td>6</td><td>2</td><td>2</td><td>&lt;script&gt;alert(1)</td>" in text
    assert "Warning: test has &lt; 3 images" in text
    assert "all images have 12 x 8 pixels" in text
    assert "As training sees them" in text


@pytest.mark.parametrize(("counts", "most"), [({"a": 600, "b": 40}, 60), ({f"{i:03}": 3 for i in range(40)}, 150)])
def test_few_of_many_images_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts, most) -> None:
    """Guards against a page that reads a million images, or shows a thousand classes without an end."""
    checked = load_checked(classes(tmp_path / "set", counts))
    read: list[Path] = []
    whole = labelled_picture.read_pixels
    monkeypatch.setattr(labelled_picture, "read_pixels", lambda path, **how: read.append(path) or whole(path, **how))
    page = tmp_path / "check.html"
    write_set_page(checked, str(page), 16, [])
    samples = [path for path in read if path.parent.name in sorted(counts)[:30]]
    assert {path.parent.name for path in samples} == set(sorted(counts)[:30])
    assert len(read) - len(samples) <= 6, "of other classes, some of the six images that are shown augmented"
    assert len(read) <= most
    assert ("Shown are the first 30 of 40 classes" in page.read_text()) == (len(counts) == 40)


def test_boxes_are_drawn_also_as_training_moves_them(tmp_path: Path) -> None:
    """Guards against boxes beside their objects."""
    write_coco(tmp_path / "set" / "instances_default.json", tmp_path / "set", objects=(NUCLEUS, BODY, CROWD))
    checked = load_checked(coco_node(tmp_path / "set", labels="boxes"))
    page = tmp_path / "samples.png"
    shown = write_set_page(checked, str(page), 32, [])
    assert shown == len(checked.images.train) + len(checked.images.val) + len(checked.images.test) + 4 * len(
        checked.images.train
    )
    pixels = np.asarray(Image.open(page)).reshape(-1, 3)
    for number in (0, 1):
        assert (pixels == distinct_colour(number)).all(1).sum() > 100
    write_set_page(checked, str(page), 32, [])  # its own page may be replaced


def test_masks_are_laid_over_their_images(tmp_path: Path) -> None:
    """Guards against masks that nobody sees before a training of hours."""
    page = tmp_path / "scenes.html"
    main(["check", "dataset=scenes", "dataset.count=4", "dataset.image_size=64", f"--pictures={page}"])
    text = page.read_text()
    assert "Colours of the classes" in text
    assert "<figcaption>background</figcaption>" in text
    assert text.count("epoch 3") == 4


def test_another_file_is_not_replaced(tmp_path: Path) -> None:
    """Guards against minutes of opening files before a page cannot be written, and against a lost file."""
    for name in ("page.jpg", "none/page.png", "page"):
        with pytest.raises(TlxError, match=r"name an HTML file or a PNG in a folder that exists"):
            refuse_page(str(tmp_path / name))
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    (tmp_path / "mine.html").write_text("<html></html>")
    (tmp_path / "link.html").symlink_to(tmp_path / "mine.html")
    for name in ("mine.png", "mine.html", "link.html"):
        with pytest.raises(TlxError, match="which tlx check did not write"):
            refuse_page(str(tmp_path / name))
