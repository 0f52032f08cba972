"""Boxes from annotations in COCO's format."""

from __future__ import annotations

import json

import pytest

from tests.data.mask_trees import SIDE, examined_here, sizes
from tests.data.test_coco import BODY, CATEGORIES, NUCLEUS, node, write
from tlx.base.errors import TlxError
from tlx.data.catalog import source_of
from tlx.data.checked import CheckedSet, load_checked
from tlx.data.reading import inspection


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch):
    """Start no processes, which would take most of the time."""
    monkeypatch.setattr(inspection, "examine_all", examined_here)


def loaded(root, stop=True, **keys) -> CheckedSet:
    return load_checked(node(root, labels="boxes", **keys), stop=stop)


def boxes(checked: CheckedSet, name: str) -> list:
    found = next(s.target for split in checked.images.splits.values() for s in split.samples if s.name == name)
    return [
        (*box, label, ignored) for box, label, ignored in zip(found.boxes(), found.classes, found.ignored, strict=True)
    ]


def test_objects_become_boxes(tmp_path):
    """Guards against boxes as left, top, width and height, classes from 1, and images without objects left out."""
    write(tmp_path / "annotations" / "instances_default.json", tmp_path / "images")
    checked = loaded(tmp_path)
    assert checked.images.class_names == ["nucleus", "cell"]
    assert source_of(node(tmp_path, labels="boxes")).class_names() == ["nucleus", "cell"]
    assert sizes(checked) == [6, 2, 2]
    assert checked.images.labels.most == 2
    assert boxes(checked, "images/4.jpg") == [(4, 5, 6, 7, 0, 0), (2, 3, 12, 9, 1, 0)]
    assert boxes(checked, "images/0.jpg") == []
    only = loaded(tmp_path, classes=["cell"])
    assert only.images.class_names == ["cell"]
    assert sizes(only) == [6, 2, 2]
    assert boxes(only, "images/4.jpg") == [(2, 3, 12, 9, 0, 0)]
    assert boxes(loaded(tmp_path, masks="binary"), "images/4.jpg") == [(4, 5, 6, 7, 0, 0), (2, 3, 12, 9, 0, 0)]


def test_objects_without_boxes_and_crowds(tmp_path):
    """Guards against objects that are lost because only their outline is written, and against crowds as one object."""
    outlined = {"category_id": 7, "segmentation": [[2, 3, 12, 3, 12, 9], [1, 4, 2, 4, 2, 5]]}
    runs = {"category_id": 3, "segmentation": {"size": [SIDE, SIDE], "counts": [SIDE * 5 + 2, 3, SIDE * 14 + 15]}}
    crowd = {"category_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1}
    bare = {"category_id": 7, "segmentation": []}
    write(tmp_path / "instances_default.json", tmp_path, objects=(outlined, runs, crowd, bare))
    checked = loaded(tmp_path)
    assert boxes(checked, "4.jpg") == [(1, 3, 12, 9, 1, 0), (5, 2, 6, 5, 0, 0), (0, 0, 9, 9, 1, 1)]
    assert "9 objects have no box and no outline, and left out" in checked.images.notes
    assert checked.images.amounts(checked.images.train)[1] == sum(bool(s.target) for s in checked.images.train.samples)


def test_boxes_that_are_wrong_are_named(tmp_path):
    """Guards against a set that stops without a name, and against boxes of zero area in a loss."""
    inverted = {"category_id": 7, "bbox": [12, 9, -10, -6]}
    click = {"category_id": 7, "bbox": [5, 5, 0, 0]}
    write(tmp_path / "annotations.json", tmp_path, objects=(NUCLEUS, inverted, click))
    checked = loaded(tmp_path)
    assert boxes(checked, "4.jpg") == [(4, 5, 6, 7, 0, 0), (2, 3, 12, 9, 1, 0)]
    assert any("without an area: 9 boxes in 9 images" in note for note in checked.images.notes)
    write(tmp_path / "annotations.json", tmp_path, objects=({**BODY, "bbox": [50, 50, 5, 5]},))
    with pytest.raises(TlxError, match="9 broken files"):
        loaded(tmp_path)
    assert len(loaded(tmp_path, stop=False).broken) == 9
    write(tmp_path / "annotations.json", tmp_path, objects=({**BODY, "category_id": 99},))
    with pytest.raises(TlxError, match="an object of category 99, which is not listed"):
        loaded(tmp_path)


def test_files_of_splits_and_an_unused_parent(tmp_path):
    """Guards against a class without objects, which Roboflow writes, and against splits that are carved again."""
    for part, start, count in (("train", 0, 6), ("valid", 6, 3), ("test", 9, 3)):
        file = tmp_path / part / "_annotations.coco.json"
        write(file, tmp_path / part, count=count, start=start)
        held = json.loads(file.read_text())
        parent = {"id": 0, "name": "cells", "supercategory": "none"}
        held["categories"] = [parent, *({**one, "supercategory": "cells"} for one in CATEGORIES)]
        file.write_text(json.dumps(held))
    checked = loaded(tmp_path)
    assert sizes(checked) == [6, 3, 3]
    assert checked.images.class_names == ["nucleus", "cell"]
    assert "no class, because it has no objects and only stands above others: cells" in checked.images.notes


def test_images_of_another_split_are_not_taken(tmp_path):
    """Guards against an image that is missing in valid/ and is read from train/, where one has the same name."""
    for part, count in (("train", 6), ("valid", 3)):
        write(tmp_path / part / "_annotations.coco.json", tmp_path / part, count=count)
    (tmp_path / "valid" / "0.jpg").unlink()
    checked = loaded(tmp_path, stop=False)
    assert [(entry.sample.name, entry.reason) for entry in checked.broken] == [("valid/0.jpg", "there is no such file")]
    assert {s.name for s in checked.images.test.samples} == {"valid/1.jpg", "valid/2.jpg"}
    held = json.loads((tmp_path / "valid" / "_annotations.coco.json").read_text())
    held["images"][0]["file_name"] = "train/5.jpg"  # as it is written
    (tmp_path / "valid" / "_annotations.coco.json").write_text(json.dumps(held))
    assert "train/5.jpg" in {s.name for s in loaded(tmp_path, stop=False).images.test.samples}
    for number in range(1, 3):  # no folder of images of that split
        (tmp_path / "valid" / f"{number}.jpg").unlink()
    assert not loaded(tmp_path, stop=False).broken


@pytest.mark.parametrize("labels", ["boxes", "masks"])
def test_images_in_files_of_several_splits_are_not_trained_on(tmp_path, labels):
    """Guards against a test on images that were in training, as where one file of annotations holds all images."""
    write(tmp_path / "train.json", tmp_path, count=12)
    write(tmp_path / "val.json", tmp_path, count=3, start=8)
    checked = load_checked(node(tmp_path, labels=labels))
    assert sizes(checked) == [7, 2, 3]
    assert {s.name for s in checked.images.test.samples} == {"8.jpg", "9.jpg", "10.jpg"}
    assert "left out of train, 3 images also in val: 8.jpg, 9.jpg, 10.jpg" in checked.images.notes
    write(tmp_path / "val.json", tmp_path, count=12)  # the same images again
    checked = load_checked(node(tmp_path, labels=labels))
    assert sizes(checked) == [8, 2, 2]
    assert any("all images of train are also in val" in note for note in checked.images.notes)


def test_an_image_that_one_file_lists_twice(tmp_path):
    """Guards against one image as two samples that contradict each other, on both sides of a split."""
    file = tmp_path / "annotations.json"
    write(file, tmp_path)
    held = json.loads(file.read_text())
    held["images"] += [{**held["images"][4], "id": 100 + n} for n in range(2)]
    held["annotations"] += [{**one, "id": 1000, "image_id": 100} for one in held["annotations"] if one["image_id"] == 4]
    held["annotations"].append({"id": 1001, "image_id": 101, "category_id": 3, "bbox": [1, 13, 5, 5]})
    file.write_text(json.dumps(held))
    checked = loaded(tmp_path)
    assert sizes(checked) == [6, 2, 2]
    assert boxes(checked, "4.jpg") == [(4, 5, 6, 7, 0, 0), (2, 3, 12, 9, 1, 0), (1, 13, 6, 18, 0, 0)]
    assert any("more than once in one file" in note and "1 image: 4.jpg" in note for note in checked.images.notes)


def test_a_set_without_objects_is_refused(tmp_path):
    """Guards against a detector that learns from background alone."""
    write(tmp_path / "annotations.json", tmp_path, objects=())
    with pytest.raises(TlxError, match=r"expected objects \(annotations with a bbox\), got none in 10 images"):
        loaded(tmp_path)
    (mistake,) = source_of(node(tmp_path, labels="boxes")).own_mistakes()
    assert "got none in 10 images" in mistake.hint


def test_numbers_of_images_as_text(tmp_path):
    """Guards against objects that are lost because one program wrote 4 and another "4"."""
    file = tmp_path / "instances_default.json"
    write(file, tmp_path)
    held = json.loads(file.read_text())
    for one in held["annotations"]:
        one["image_id"] = str(one["image_id"])
    file.write_text(json.dumps(held))
    assert len(boxes(loaded(tmp_path), "4.jpg")) == 2
    for number, one in enumerate(held["annotations"][:3]):
        one["image_id"] = 900 + number // 2
    file.write_text(json.dumps(held))
    assert "left out, 3 objects of 2 images that are not listed: image_id 900, 901" in loaded(tmp_path).images.notes
    for one in held["annotations"]:
        one["image_id"] = 999
    file.write_text(json.dumps(held, indent=1))
    with pytest.raises(TlxError, match="objects of images that are not listed, such as image_id 999"):
        loaded(tmp_path)


def test_names_of_images_that_differ_in_case_and_extension(tmp_path):
    """Guards against images that are missing because of .JPG, and a mask of that name in place of one that is."""
    file = tmp_path / "instances_default.json"
    write(file, tmp_path / "images")
    held = json.loads(file.read_text())
    for one in held["images"]:
        one["file_name"] = f"C:\\set\\{one['file_name'].replace('.jpg', '.PNG')}"
    file.write_text(json.dumps(held))
    assert sizes(loaded(tmp_path)) == [6, 2, 2]
    (tmp_path / "masks").mkdir()
    (tmp_path / "images" / "3.jpg").rename(tmp_path / "masks" / "3.jpg")
    (entry,) = loaded(tmp_path, stop=False).broken
    assert "no such file" in entry.reason
