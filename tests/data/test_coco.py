"""Annotations in COCO's format: files, drawn masks, sizes."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.mask_trees import SIDE, examined_here, picture, save, sizes
from tlx.base.errors import TlxError
from tlx.data.catalog import source_of
from tlx.data.checked import CheckedSet, load_checked
from tlx.data.reading import inspection
from tlx.data.reading.polygons import draw
from tlx.data.reading.rle import decoded
from tlx.data.sources import coco_mask


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch):
    """Start no processes, which would take most of the time."""
    monkeypatch.setattr(inspection, "examine_all", examined_here)


CATEGORIES = [{"id": 7, "name": "cell"}, {"id": 3, "name": "nucleus"}]
BODY = {"category_id": 7, "segmentation": [[2, 3, 12, 3, 12, 9, 2, 9]], "area": 60, "bbox": [2, 3, 10, 6]}
NUCLEUS = {"category_id": 3, "segmentation": [[4, 5, 6, 5, 6, 7, 4, 7]], "area": 4, "bbox": [4, 5, 2, 2]}


def node(root: Path, **keys) -> dict:
    common = {"val_fraction": 0.2, "split_seed": 0, "check": True, "on_bad": "stop", "masks": "classes"}
    return {"_target_": "tlx.data.coco", "name": "coco", "root": str(root), **common, **keys}


def loaded(root: Path, **keys) -> CheckedSet:
    return load_checked(node(root, **keys))


def write(
    file: Path, folder: Path, count: int = 10, objects=(NUCLEUS, BODY), size=(SIDE, SIDE), start: int = 0
) -> None:
    """Write images, and annotations with the same objects in each but the first, which has none."""
    images, annotations = [], []
    for number in range(start, start + count):
        save(folder / f"{number}.jpg", picture(number))
        one = {"id": number, "file_name": f"{number}.jpg"}
        images.append(one if size is None else {**one, "width": size[0], "height": size[1]})
        if number > start:
            annotations += [{**one, "id": len(annotations) + i, "image_id": number} for i, one in enumerate(objects)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))


EXPECTED = np.zeros((SIDE, SIDE), dtype=np.uint8)
EXPECTED[3:9, 2:12], EXPECTED[5:7, 4:6] = 2, 1


def label(checked: CheckedSet, name: str) -> np.ndarray:
    return next(s.target.read() for split in checked.images.splits.values() for s in split.samples if s.name == name)


def test_the_place_of_a_file_of_annotations_is_no_part_of_the_set(tmp_path):
    """Guards against another run for a set that moved, where its annotations are typed with their whole path."""
    there = tmp_path / "there"
    write(there / "made" / "objects.json", there / "images")
    moved = shutil.copytree(there, tmp_path / "moved")

    def identity(root, annotations):
        return source_of(node(root, annotations=annotations)).identity()

    whole = identity(there, str(there / "made" / "objects.json"))
    assert whole == identity(moved, str(moved / "made" / "objects.json")) == identity(there, "made/objects.json")
    assert whole["annotations"] == "made/objects.json"


def test_objects_become_masks(tmp_path):
    """Guards against shifted outlines, categories in another order, and small objects below large ones."""
    write(tmp_path / "annotations" / "instances_default.json", tmp_path / "images")
    checked = loaded(tmp_path)
    assert checked.images.class_names == source_of(node(tmp_path)).class_names() == ["background", "nucleus", "cell"]
    assert sizes(checked) == [6, 2, 2]
    assert np.array_equal(label(checked, "images/4.jpg"), EXPECTED)
    assert not label(checked, "images/0.jpg").any()
    target = next(s.target for s in checked.images.train.samples if s.name != "images/0.jpg")
    assert target.pixel_counts == {0: 340, 1: 4, 2: 56}
    again = pickle.loads(pickle.dumps(target))
    assert np.array_equal(again.read(), EXPECTED)
    assert repr(again) == repr(target)
    only = loaded(tmp_path, classes=["cell"])
    assert only.images.class_names == ["background", "cell"]
    assert np.array_equal(label(only, "images/4.jpg"), (EXPECTED > 0).astype(np.uint8))
    assert loaded(tmp_path, masks="binary").images.class_names == ["background", "foreground"]
    with pytest.raises(TlxError, match=r"dataset.classes: expected at most 254 different categories of nucleus, cell"):
        loaded(tmp_path, classes=["dog"])


def test_masks_are_drawn_once_to_be_counted(tmp_path, monkeypatch):
    """Guards against 100,000 images that are drawn anew at each start of a run."""
    write(tmp_path / "coco.json", tmp_path / "images")
    first = [s.target.pixel_counts for s in loaded(tmp_path).images.train.samples]
    monkeypatch.setattr(coco_mask, "fill", None)
    assert [s.target.pixel_counts for s in loaded(tmp_path).images.train.samples] == first


@pytest.mark.parametrize(
    ("files", "folders", "expected"),
    [
        ("annotations/instances_{}2017.json", "{}2017", [3, 1, 3]),
        ("{}/_annotations.coco.json", "{}", [3, 1, 3]),
        ("annotations/{}.json", "images/{}", [3, 1, 3]),
    ],
)
def test_files_of_splits(tmp_path, files, folders, expected):
    """Guards against annotations of one split for the images of another, and splits that are carved anew."""
    for place, part in enumerate(("train", "val")):
        write(tmp_path / files.format(part), tmp_path / folders.format(part), 4 - place, start=10 * place)
    (tmp_path / "annotations").mkdir(exist_ok=True)
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    assert sizes(loaded(tmp_path)) == expected
    if "annotations/" in files:
        name = files.format("train")
        assert sizes(loaded(tmp_path, annotations=name)) == [2, 1, 1]


RUNS = [4, 3, 5, 2, 6]  # columns of 5 pixels


def test_runs_are_decoded_as_pycocotools_does():
    """Guards against rows taken for columns, and differences between runs that are read wrongly."""
    expected = np.repeat([False, True, False, True, False], RUNS).reshape(4, 5).T
    assert np.array_equal(decoded(RUNS, (4, 5)), expected)
    # pycocotools.mask.frPyObjects writes runs of 4, 3, 5, 2, 6 pixels as differences: 4, 3, 5, -1, 1.
    assert np.array_equal(decoded("435O1", (4, 5)), expected)
    # Numbers of more than 5 bits, lowest digits first: 300 = 12 + 9 * 32, so chr(48 + 12 + 32) + chr(48 + 9).
    assert decoded("\\9d0", (16, 20))[:, 15:].sum() == 20
    for broken in ([1, 2], [5, -1, 16], "~"):
        with pytest.raises(ValueError, match=r"fill|part"):
            decoded(broken, (4, 5))


def test_outlines_that_share_an_edge_share_no_pixel():
    """Guards against outlines a pixel too large, as Pillow draws them, which overlap their neighbours."""
    left, right = [(0, 0), (7, 0), (4, 20), (0, 20)], [(7, 0), (20, 0), (20, 20), (4, 20)]
    both = [draw((20, 20), [(points, 1)]) for points in (left, right)]
    assert (both[0] + both[1] == 1).all()
    cross = draw((20, 20), [([(2, 2), (18, 18), (18, 2), (2, 18)], 1)])  # which crosses itself
    assert cross.sum() == pytest.approx(128, abs=16)
    outside = draw((10, 10), [([(-5, -5), (50, -5), (50, 5), (-5, 5)], 1)])
    assert outside[:5].all()
    assert not outside[5:].any()


def test_runs_in_a_set(tmp_path):
    """Guards against crowds, and runs for an image of another size."""
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[3:9, 2:12] = True
    flat = np.concatenate([[False], inside.T.ravel(), [True]])
    changes = np.flatnonzero(np.diff(flat.astype(int)))
    counts = np.diff(np.concatenate([[0], changes])).tolist()
    runs = {**BODY, "iscrowd": 1, "segmentation": {"size": [SIDE, SIDE], "counts": counts}}
    write(tmp_path / "a" / "annotations.json", tmp_path / "a", objects=(runs, NUCLEUS))
    assert np.array_equal(label(loaded(tmp_path / "a"), "3.jpg"), EXPECTED)
    wrong = {**runs, "segmentation": {"size": [SIDE, 5], "counts": [5 * SIDE]}}
    write(tmp_path / "b" / "annotations.json", tmp_path / "b", objects=(wrong,))
    with pytest.raises(TlxError, match=r"9 broken files(.|\n)*annotations cannot be drawn: a mask of 5 x 20"):
        loaded(tmp_path / "b")


def test_each_mistake_is_named(tmp_path):
    """Guards against images of another size, images that are not there, objects without outlines, and other JSON."""
    boxes = {key: value for key, value in BODY.items() if key != "segmentation"}
    write(tmp_path / "a" / "labels.json", tmp_path / "a", objects=(NUCLEUS, boxes))
    assert any("9 objects have a box and no outline" in note for note in loaded(tmp_path / "a").images.notes)
    write(tmp_path / "b" / "labels.json", tmp_path / "b", size=(SIDE, 9))
    (tmp_path / "b" / "3.jpg").unlink()
    with pytest.raises(TlxError) as told:
        loaded(tmp_path / "b")
    assert "10 broken files" in str(told.value)
    assert "expected annotations of 20 x 20 pixels, as the image has, got 20 x 9" in str(told.value)
    assert "3.jpg: there is no such file" in str(told.value)
    (tmp_path / "c").mkdir()
    with pytest.raises(TlxError, match="expected annotations such as"):
        loaded(tmp_path / "c")
    for text, words in (("{}", "got none with 'categories'"), ("no", "expected annotations in COCO's format")):
        (tmp_path / "c" / "coco.json").write_text(text)
        with pytest.raises(TlxError, match=words):
            loaded(tmp_path / "c")
    for name in ("one.json", "two.json"):
        write(tmp_path / "d" / f"coco_{name}", tmp_path / "d")
    with pytest.raises(TlxError, match=r"dataset.annotations=\[FILE,FILE\]"):
        loaded(tmp_path / "d")
    assert sizes(loaded(tmp_path / "d", annotations="coco_one.json")) == [6, 2, 2]


@pytest.mark.parametrize("said", [True, False])
def test_annotations_turn_with_their_images(tmp_path, said):
    """Guards against objects beside their outlines where a program annotated the image as it lies in its file."""
    exif = Image.Exif()
    exif[0x0112] = 6
    write(
        tmp_path / "coco.json",
        tmp_path,
        size=(SIDE, 12) if said else None,
        objects=({**BODY, "segmentation": [[14, 0, 20, 0, 20, 2, 14, 2]]},),
    )
    for number in range(10):
        picture(number, (SIDE, 12)).save(tmp_path / f"{number}.jpg", exif=exif)
    mask = label(loaded(tmp_path), "3.jpg") if said else label(loaded(tmp_path, exif=None), "3.jpg")
    assert mask.shape == (SIDE, 12)
    assert mask[14:, 10:].all()
    assert mask.sum() == 2 * 12
