"""Boxes in text files: layouts, splits of data.yaml, names of classes, outlines and oriented boxes."""

from __future__ import annotations

import cmath
import json
import shutil

import pytest

from tests.data.sources.box_trees import (
    HEIGHT,
    WIDTH,
    boxes,
    image,
    loaded,
    node,
    problems,
    refused,
    sizes,
    splits,
    written,
    yolo,
)
from tlx.data.catalog import source_of
from tlx.data.sources import yolo_file

CELL, NUCLEUS = (0, (4.0, 6.0, 14.0, 18.0)), (1, (6.0, 8.0, 9.0, 12.0))
SAME = "all images of train are also in val, and stay in train"
NAMED = [("cell", CELL[1]), ("nucleus", NUCLEUS[1])]


def tree(root, picture="images/{}.jpg", label="labels/{}.txt", count=10, start=0):
    """Write images; the first has no file of labels, the second an empty one."""
    for number in range(start, start + count):
        image(root / picture.format(number), number)
        if number > start:
            rows = yolo([CELL, NUCLEUS] if number % 2 else [CELL])
            written(root / label.format(number), "" if number == start + 1 else rows + "\n")
    return root


NOTES = json.dumps({"categories": [{"id": 1, "name": "nucleus"}, {"id": 0, "name": "cell"}]})


@pytest.mark.parametrize(
    ("picture", "label", "names", "text"),
    [
        ("images/{}.jpg", "labels/{}.txt", "classes.txt", "cell\nnucleus\n\n"),  # Label Studio
        ("images/{}.jpg", "labels/{}.txt", "notes.json", NOTES),
        ("{}.jpg", "{}.txt", "classes.txt", "cell\nnucleus"),  # labelImg
        ("{}.jpg", "labels/{}.txt", "labels/classes.txt", "cell\nnucleus"),
        ("obj_train_data/{}.PNG", "obj_train_data/{}.txt", "obj.names", "cell\nnucleus\n"),  # CVAT
        ("images/{}.jpg", "labels/{}.txt", "data.yaml", "names: [cell, nucleus]\nnc: 2"),
        ("images/{}.jpg", "labels/{}.txt", "cells.yaml", "path: cells\ntrain: images\nnames:\n  0: cell\n  1: nucleus"),
        ("photos/{}.jpg", "photos/{}.jpg.txt", "classes.txt", "cell\nnucleus"),
    ],
)
def test_layouts_without_splits(tmp_path, picture, label, names, text):
    """Guards against a layout that is not understood, and images that get the boxes or classes of others."""
    written(tmp_path / names, text)
    checked = loaded("yolo", tree(tmp_path, picture, label))
    assert sizes(checked) == [6, 2, 2]
    assert checked.images.class_names == ["cell", "nucleus"]
    assert boxes(checked, picture.format(0)) == boxes(checked, picture.format(1)) == []
    assert boxes(checked, picture.format(2)) == NAMED[:1]
    assert boxes(checked, picture.format(3)) == NAMED
    assert "12 objects in 8 images, 2 without (1 of them without a file of labels)" in checked.images.rule
    assert not checked.findings(None)


ROBOFLOW = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cell', 'nucleus']\n"
ULTRALYTICS = "path: {}\ntrain: {}/train\nval: {}/val\ntest: {}/test\nnames: {{0: cell, 1: nucleus}}"


@pytest.mark.parametrize(
    ("data", "folders"),
    [
        (ROBOFLOW, "{}/images"),
        (ROBOFLOW.replace("..", "/content/datasets/cells"), "{}/images"),
        (ROBOFLOW.replace("valid", "val"), "{}/images"),  # the folder is called valid
        (ULTRALYTICS.format("../datasets/cells", *["images"] * 3), "images/{}"),
        (ULTRALYTICS.format("''", *["C:\\data\\cells\\images"] * 3).replace("/", "\\"), "images/{}"),
        ("train: [images/train]\nval: [images/val]\ntest: [images/test]\nnames: [cell, nucleus]", "images/{}"),
        ("names: [cell, nucleus]", "images/{}"),
        ("train: nowhere\nval: ./\nnames: [cell, nucleus]", "images/{}"),
        ("train: train.txt\nval: lists/val.txt\ntest: test.txt\nnames: [cell, nucleus]", "images/{}"),
    ],
)
def test_data_yaml_names_splits(tmp_path, data, folders):
    """Guards against paths of another machine, and the broken ../train of Roboflow, for which a set is carved anew."""
    root = tmp_path / "cells"
    written(root / "data.yaml", data)
    picture, label = folders + "/{{}}.jpg", folders.replace("images", "labels") + "/{{}}.txt"
    tree(tmp_path, picture.format("train"), label.format("train"), 2, 90)  # another set beside it
    val = "valid" if folders == "{}/images" else "val"
    for place, part in enumerate(("train", val, "test")):
        numbers = range(10 * place, 10 * place + 5 - place)
        tree(root, picture.format(part), label.format(part), len(numbers), numbers[0])
        if "txt" in data:
            names = "".join(f"./{picture.format(part).format(number)}\n" for number in numbers)
            written(root / ("lists" if part == "val" else ".") / f"{part}.txt", names)
    checked = loaded("yolo", root)
    assert sizes(checked) == [5, 4, 3]
    assert checked.images.class_names == ["cell", "nucleus"]
    train = splits(checked)["train"]
    assert train == [picture.format("train").format(number) for number in range(5)]
    assert boxes(checked, train[3]) == NAMED
    assert boxes(checked, picture.format(val).format(10)) == []


def test_what_data_yaml_names_and_is_not_there(tmp_path):
    """Guards against images of no split without a word, one set of images as train and val, and unlabelled tests."""
    written(tmp_path / "data.yaml", ROBOFLOW)
    tree(tmp_path, "train/images/{}.jpg", "train/labels/{}.txt", 8)
    tree(tmp_path, "more/images/{}.jpg", "more/labels/{}.txt", 3, 30)
    checked = loaded("yolo", tmp_path)
    assert sizes(checked) == [6, 1, 1]
    assert checked.findings(None)[:3] == [
        "data.yaml names val: ../valid/images, which is not there",
        "data.yaml names test: ../test/images, which is not there",
        "left out, 2 images with labels in no split of data.yaml: more/images/31.jpg, more/images/32.jpg",
    ]
    written(tmp_path / "data.yaml", ROBOFLOW.replace("valid", "train"))
    for number in range(3):
        image(tmp_path / "test" / "images" / f"{number}.jpg", 100 + number)
    checked = loaded("yolo", tmp_path)
    assert sizes(checked) == [6, 1, 1]
    same = f"{SAME}; val then has no images, and what is missing is carved from train"
    assert any(line.startswith(same) for line in checked.findings(None))
    assert "left out, the 3 images of test: none of them has labels" in checked.findings(None)


@pytest.mark.parametrize("folder", ["", "images/"])
def test_images_called_like_splits(tmp_path, folder):
    """Guards against a photograph test.jpg whose labels are taken for a list, or which is itself read as one."""
    names = ("train", "val", "test", "classes", "0", "1")
    for number, name in enumerate(names):
        image(tmp_path / f"{folder}{name}.jpg", number)
        written(tmp_path / f"{folder.replace('images', 'labels')}{name}.txt", yolo([CELL, CELL, NUCLEUS]))
    checked = loaded("yolo", tmp_path)
    assert all(boxes(checked, f"{folder}{name}.jpg") for name in names)
    assert "carved" in checked.images.rule
    written(tmp_path / "data.yaml", f"train: .\nval: {folder}test.jpg\ntest: a.zip\nnames: [cell, nucleus]")
    written(tmp_path / "a.zip", b"\xff\xfe")
    checked = loaded("yolo", tmp_path)
    assert splits(checked)["test"] == [f"{folder}test.jpg"]  # the only images that are held out
    assert checked.findings(None)[:2] == [
        "data.yaml names test: a.zip, which is neither a folder, nor a list of images (.txt), nor an image",
        f"left out of train, 1 image also in val: {folder}test.jpg",
    ]


@pytest.mark.parametrize(
    ("lists", "sizes_", "found"),
    [
        (("012345", "45", "6"), [4, 2, 1], "left out of train, 2 images also in val: images/4.jpg, images/5.jpg"),
        (("012345", "6", "5"), [5, 1, 1], "left out of train, 1 image also in test: images/5.jpg"),
        (("01234", "567", "79"), [5, 2, 2], "left out of val, 1 image also in test: images/7.jpg"),
        (("012345", "678", "678"), [4, 2, 3], "also in test: images/6.jpg, images/7.jpg, images/8.jpg; val then"),
        (("01234", "01234", "5"), [3, 2, 1], f"{SAME}; val then has no images, and what is missing"),
        (("01234", "0123456", "7"), [5, 2, 1], SAME),
        (("0123456789", "01234", "56789"), [6, 2, 2], "all images of train are also in val or test, and stay in train"),
    ],
)  # fmt: skip
def test_splits_that_share_images(tmp_path, lists, sizes_, found):
    """Guards against a validation on images that train, and a set that loses its held-out images without a word."""
    tree(tmp_path)
    for part, numbers in zip(("train", "val", "test"), lists, strict=True):
        written(tmp_path / f"{part}.txt", "".join(f"images/{number}.jpg\n" for number in numbers))
    for data in ("train: train.txt\nval: val.txt\ntest: test.txt\n", ""):
        written(tmp_path / "data.yaml", f"{data}names: [cell, nucleus]")
        checked = loaded("yolo", tmp_path)
        assert sizes(checked) == sizes_
        assert len({name for part in splits(checked).values() for name in part}) == sum(sizes_)
        assert any(found in line for line in checked.findings(None))


def test_background_images_get_no_labels_of_others(tmp_path):
    """Guards against an image without labels that gets those of an image of the same name in another split."""
    tree(tmp_path, "train/images/{}.jpg", "train/labels/{}.txt", 6)
    tree(tmp_path, "val/images/{}.jpg", "val/labels/{}.txt", 3)
    (tmp_path / "val" / "labels" / "2.txt").unlink()
    written(tmp_path / "train" / "labels" / "0.txt", "")
    (tmp_path / "train" / "images" / "5.jpg").rename(tmp_path / "val" / "images" / "5.jpg")
    checked = loaded("yolo", tmp_path)
    for name in ("0", "2", "5"):
        assert boxes(checked, f"val/images/{name}.jpg") == []
    assert boxes(checked, "train/images/2.jpg") == [("0", CELL[1])]
    assert checked.images.class_names == ["0", "1"]
    assert "their numbers are their names" in checked.findings(None)[0]
    image(tmp_path / "runs" / "confusion_matrix.png", 70)
    assert "left out, 1 image in folders without labels: runs/confusion_matrix.png" in loaded(
        "yolo", tmp_path
    ).findings(None)
    flat = tree(tmp_path / "flat", "images/train/{}.jpg", "labels/{}.txt", 4)
    assert boxes(loaded("yolo", flat), "images/train/2.jpg") == [("0", CELL[1])]


def outline(*points):
    return "0 " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in points)


def rotated(degrees, center=(20, 15), sides=(16, 6)):
    turn = cmath.exp(1j * degrees * cmath.pi / 180)
    corners = [complex(x * sides[0] / 2, y * sides[1] / 2) * turn for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return outline(*((center[0] + one.real, center[1] + one.imag) for one in corners))


def test_outlines_become_boxes(tmp_path):
    """Guards against outlines that are refused, or whose first numbers are taken for a box."""
    tree(tmp_path)
    written(tmp_path / "labels" / "0.txt", outline((4, 6), (14, 8), (12, 18)) + "\n" + yolo([NUCLEUS]))
    written(tmp_path / "labels" / "1.txt", rotated(30))
    checked = loaded("yolo", tmp_path)
    assert boxes(checked, "images/0.jpg") == [("0", (4, 6, 14, 18)), ("1", NUCLEUS[1])]
    assert "2 outlines become boxes" in checked.findings(None)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([rotated(30), rotated(0)], True),
        ([rotated(90), rotated(45), rotated(10)], True),
        ([rotated(0), rotated(90)], False),  # along the image: the boxes are exact
        ([outline((4, 6), (24, 8), (20, 18), (6, 14))], False),  # a plate, not a rectangle
        ([outline((4, 6), (24, 6), (34, 18), (14, 18))], False),  # a parallelogram
        ([rotated(30), outline((4, 6), (14, 8), (12, 18))], False),  # other outlines as well
        ([rotated(30), yolo([CELL])], False),
    ],
)
def test_oriented_boxes_are_told_from_outlines(tmp_path, rows, expected):
    """Guards against boxes around rotated boxes, which are too large, and against plates that are refused."""
    for number in range(5):
        image(tmp_path / "images" / f"{number}.jpg", number)
        written(tmp_path / "labels" / f"{number}.txt", "\n".join(rows))
    found = source_of(node("yolo", tmp_path)).own_mistakes()
    assert bool(found) == expected
    if expected:
        assert f"got {5 * len(rows)} oriented boxes (the corners of rotated rectangles)" in found[0].hint
    written(tmp_path / "data.yaml", "task: obb\nnames: [cell, nucleus]")
    assert "without OBB" in refused(source_of(node("yolo", tmp_path)))


def test_key_points_are_left_out(tmp_path):
    """Guards against key points that are taken for the corners of outlines."""
    written(tmp_path / "data.yaml", "kpt_shape: [2, 3]\nnames: [cell, nucleus]")
    tree(tmp_path)
    written(tmp_path / "labels" / "0.txt", yolo([CELL]) + " 0.1 0.1 2 0.9 0.9 2")
    assert boxes(loaded("yolo", tmp_path), "images/0.jpg") == NAMED[:1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0 0.5 0.5 0.2", "0.txt, line 1: expected a class and 4 numbers, or an outline of x and y, got 3 numbers"),
        ("0 0.5 0.5 0.2 0.2 0.9", "0.txt, line 1: expected a class and 4 numbers"),
        ("0 0.5 0.5 0.2 0.2\ncell 0.5 0.5 0.2 0.2", "0.txt, line 2: expected numbers only, got 'cell'"),
        ("0.5 0.5 0.5 0.2 0.2", "0.txt, line 1: expected the number of a class, got 0.5"),
        ("-1 0.5 0.5 0.2 0.2", "0.txt, line 1: expected the number of a class, got -1"),
        ("nan 0.5 0.5 0.2 0.2", "0.txt, line 1: expected the number of a class, got nan"),
        ("0 20 15 10 8", "0.txt, line 1: expected fractions of the width and height of the image, 0 to 1, got 20"),
        ("0 nan 0.5 0.2 0.2", "0.txt, line 1: expected fractions"),
        ("2 0.5 0.5 0.2 0.2", "it has the class 2, but there are 2 names of classes, 0 to 1"),
        ("0 1.4 0.5 0.2 0.2", "a box lies outside the image of 40 x 30 pixels"),
        ("1 2 3 4 5 6 7 8 ship 0", "0.txt, line 1: oriented boxes in DOTA's format"),
        (b"\xff\xfe0", "cannot read 0.txt"),
    ],
)
def test_files_that_are_wrong_are_named(tmp_path, text, problem):
    """Guards against broken files that become images without objects."""
    written(tmp_path / "classes.txt", "cell\nnucleus")
    tree(tmp_path, count=5)
    written(tmp_path / "labels" / "0.txt", text)
    found = problems(loaded("yolo", tmp_path, stop=False))
    assert list(found) == ["images/0.jpg"]
    assert problem in found["images/0.jpg"]


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nnames: [*c, *c]"


@pytest.mark.parametrize(
    ("data", "got"),
    [
        ("names: [a, !!python/object/apply:os.system [ls]]", "other names"),
        (BOMB, "other names"),
        ("names: {cell: 0}", "other names"),
        ("names: {900000000: cell}", "other names"),
        ("nc: 900000000\ntrain: images", "other names"),
        ("names: [cell", "expected"),
        ("- cell", "something else"),
        ("train: {a: b}\nnames: [cell]", "no folders for train"),
        ("x: 1", "neither"),
        ("names: [cell, '']", "other names"),
    ],
)
def test_yaml_that_is_wrong_is_refused(tmp_path, data, got):
    """Guards against code, or gigabytes, from a file of class names, and against tracebacks."""
    written(tree(tmp_path) / "data.yaml", data)
    message = refused(source_of(node("yolo", tmp_path)))
    assert "data.yaml: expected YAML with class names" in message
    assert got in message


def test_names_stay_as_written(tmp_path):
    """Guards against a class `no` that becomes False, and `007` that becomes 7; equal names are one class."""
    written(tree(tmp_path) / "data.yaml", "names: [no, 007, 'no', Cell, cell]")
    checked = loaded("yolo", tmp_path)
    assert checked.images.class_names == ["no", "007", "Cell", "cell"]
    assert "classes that differ in upper and lower case only are different: Cell, cell" in checked.findings(None)


def test_keys_and_folders_that_are_wrong(tmp_path):
    """Guards against a traceback or an empty set instead of a mistake before the run."""
    (tmp_path / "none").mkdir()
    assert "got 0 images, none of them with a text file" in refused(source_of(node("yolo", tmp_path / "none")))
    image(tmp_path / "none" / "a.jpg", 0)
    assert "got 1 image, none of them with a text file" in refused(source_of(node("yolo", tmp_path / "none")))
    root = tree(tmp_path / "some")
    assert refused(source_of(node("yolo", root, data="x.yaml"))).startswith("dataset.data: expected a file such as")
    for name in ("a.yaml", "b.yaml"):
        written(root / name, "train: images\nnames: [cell, nucleus]")
    assert "say which: dataset.data=FILE" in refused(source_of(node("yolo", root)))
    assert not source_of(node("yolo", root, data="b.yaml")).own_mistakes()


def test_identity_is_of_the_content(tmp_path):
    """Guards against runs that are called alike although their boxes differ, or otherwise because a folder moved."""
    root = tmp_path / "one"
    tree(root, "train/images/{}.jpg", "train/labels/{}.txt")
    written(root / "data.yaml", f"path: {root}\ntrain: {root}/train/images\nval: ../valid/images\nnames: [a, b]")
    tree(root, "valid/images/{}.jpg", "valid/labels/{}.txt", 3, 20)
    first = source_of(node("yolo", root)).identity()
    shutil.copytree(root, tmp_path / "two")
    shutil.rmtree(tmp_path / "one" / "valid")  # the copy does not read the original
    assert source_of(node("yolo", root)).identity() != first
    assert source_of(node("yolo", tmp_path / "two")).identity() == first
    written(tmp_path / "two" / "train" / "labels" / "2.txt", yolo([(1, CELL[1])]) + "\n")
    assert source_of(node("yolo", tmp_path / "two")).identity() != first


def test_files_are_read_once(tmp_path, monkeypatch):
    """Guards against files that are parsed again each time that they are listed."""
    source = source_of(node("yolo", tree(tmp_path)))
    first = source.identity()
    monkeypatch.setattr(yolo_file, "_numbers", None)
    assert source.identity() == first


def test_a_set_without_any_object_is_refused(tmp_path):
    """Guards against a detector of no classes."""
    for number, text in enumerate(("", "", "0 20 15 10 8")):
        image(tmp_path / f"{number}.jpg", number)
        written(tmp_path / f"{number}.txt", text)
    got = "got none in 3 files, 1 of which cannot be read (2.txt, line 1: expected fractions of the width and height"
    assert got in refused(source_of(node("yolo", tmp_path)))
    written(tmp_path / "classes.txt", "cell")
    assert got in refused(source_of(node("yolo", tmp_path)))
    written(tmp_path / "2.txt", "")
    assert "got none in 3 files; export the set with its boxes" in refused(source_of(node("yolo", tmp_path)))
