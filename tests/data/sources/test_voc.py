"""Boxes in XML files: layouts, splits, names that differ, and what is wrong with files."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.data.sources.box_trees import (
    CELL,
    NUCLEUS,
    boxes,
    image,
    loaded,
    node,
    problems,
    refused,
    sizes,
    written,
    xml,
)
from tlx.base.errors import TlxError
from tlx.data.catalog import source_of
from tlx.data.sources import voc_file


def tree(root, picture="JPEGImages/{}.jpg", label="Annotations/{}.xml", count=10, text=None):
    for number in range(count):
        image(root / picture.format(number), number)
        written(root / label.format(number), text or xml([CELL, NUCLEUS] if number % 2 else [CELL]))
    return root


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("JPEGImages/{}.jpg", "Annotations/{}.xml"),
        ("VOCdevkit/VOC2007/JPEGImages/{}.jpg", "VOCdevkit/VOC2007/Annotations/{}.xml"),
        ("images/{}.png", "annotations/{}.xml"),
        ("images/{}.JPG", "annotations/xmls/{}.XML"),
        ("{}.jpg", "{}.xml"),
        ("a/b/{}.jpg", "a/b/{}.xml"),
        ("photos/{}.jpg", "boxes/{}.jpg.xml"),
        ("images/IMG_{}.jpg", "annots/img_{}.xml"),
    ],
)
def test_layouts_without_splits(tmp_path, picture, label):
    """Guards against a layout that is not understood, and images that get the boxes of others."""
    checked = loaded("voc", tree(tmp_path, picture, label))
    assert sizes(checked) == [6, 2, 2]
    assert checked.images.class_names == ["cell", "nucleus"]
    assert boxes(checked, picture.format(2)) == [CELL]
    assert boxes(checked, picture.format(3)) == [CELL, NUCLEUS]
    assert not checked.findings(None)
    assert "15 objects in 10 images, 0 without" in checked.images.rule
    assert "carved" in checked.images.rule


def test_lists_and_folders_are_splits(tmp_path):
    """Guards against official splits that are carved anew, and lists of single classes taken for splits."""
    voc = tree(tmp_path / "voc")
    lists = {"train": "0\n1\n2\n3\n4\n", "val": "5\n6\n", "test": "7\n8\n", "cell_train": "0 1\n9 -1\n"}
    for name, text in lists.items():
        written(voc / "ImageSets" / "Main" / f"{name}.txt", text)
    checked = loaded("voc", voc)
    assert sizes(checked) == [5, 2, 2]
    assert "left out, 1 image that no list of a split names" in checked.findings(None)
    assert "by lists" in checked.images.rule
    (voc / "ImageSets" / "Main" / "train.txt").rename(voc / "ImageSets" / "Main" / "trainval.txt")
    assert sizes(loaded("voc", voc)) == [5, 2, 2]
    roboflow = tmp_path / "roboflow"
    for part, count in (("train", 5), ("valid", 2), ("test", 1)):
        tree(roboflow, part + "/{}_jpg.rf.0f3.jpg", part + "/{}_jpg.rf.0f3.xml", count)
    assert sizes(loaded("voc", roboflow)) == [5, 2, 1]
    shutil.rmtree(roboflow / "test")
    assert sizes(loaded("voc", roboflow)) == [4, 1, 2]
    for number in range(3):
        image(roboflow / "test" / f"{number}.jpg", 100 + number)  # without annotations
    checked = loaded("voc", roboflow)
    assert sizes(checked) == [4, 1, 2]
    assert any(
        line.startswith("left out, 3 images in folders without annotations: ") for line in checked.findings(None)
    )
    cvat = tree(tmp_path / "cvat")
    written(cvat / "ImageSets" / "Main" / "default.txt", "0\n1\n")
    assert sizes(loaded("voc", cvat)) == [6, 2, 2]


def test_files_of_one_split_are_not_those_of_another(tmp_path):
    """Guards against a file of labels in valid/ whose image is missing, and which labels an image of train."""
    for part, numbers in (("train", range(5)), ("valid", range(5, 8))):
        for number in numbers:
            image(tmp_path / part / f"{number}.jpg", number)
            written(tmp_path / part / f"{number}.xml", xml([CELL]))
    (tmp_path / "train" / "4.xml").rename(tmp_path / "valid" / "4.xml")
    checked = loaded("voc", tmp_path, stop=False)
    assert problems(checked) == {"train/4.jpg": "it has no annotation"}
    assert "left out, 1 annotation without an image: valid/4.xml" in checked.findings(None)
    shared = tree(tmp_path / "shared", "train/{}.jpg", "labels/{}.xml", 4)  # all images are in one folder
    (shared / "labels" / "test").mkdir()
    (shared / "labels" / "3.xml").rename(shared / "labels" / "test" / "3.xml")
    assert boxes(loaded("voc", shared), "train/3.jpg") == [CELL, NUCLEUS]


def test_an_image_without_a_file_is_a_mistake_and_one_without_objects_is_not(tmp_path):
    """Guards against unlabelled images that train as background, and images without objects that are left out."""
    root = tree(tmp_path)
    written(root / "Annotations" / "3.xml", xml([]))
    (root / "Annotations" / "4.xml").unlink()
    checked = loaded("voc", root, stop=False)
    assert problems(checked) == {"JPEGImages/4.jpg": "it has no annotation"}
    assert boxes(checked, "JPEGImages/3.jpg") == []
    assert "12 objects in 8 images, 1 without" in checked.images.rule
    assert sum(sizes(loaded("voc", root, on_bad="skip"))) == 9
    shutil.copy(root / "Annotations" / "5.xml", root / "Annotations" / "sub.xml")
    (root / "other").mkdir()
    shutil.copy(root / "Annotations" / "5.xml", root / "other" / "5.XML")
    checked = loaded("voc", root, stop=False)
    assert problems(checked)["JPEGImages/5.jpg"] == "it has 2 annotations: 5.XML, 5.xml"
    assert "left out, 1 annotation without an image: Annotations/sub.xml" in checked.findings(None)


def test_names_inside_decide_only_where_those_of_files_do_not(tmp_path):
    """Guards against names that differ in suffix, folder or case, and against those of files that were renamed."""
    for number, inside in enumerate(("x.JPG", r"C:\data\Y.jpeg", "/home/me/z.png", "unknown.jpg")):
        image(tmp_path / "images" / f"{'xyzw'[number]}.jpg", number)
        written(tmp_path / "annotations" / f"{number}.xml", xml([CELL], filename=inside))
    image(tmp_path / "images" / "v.jpg", 5)
    written(tmp_path / "annotations" / "v.xml", xml([NUCLEUS], filename="x.jpg"))
    image(tmp_path / "images" / "u.jpg", 6)
    image(tmp_path / "images" / "u.png", 7)
    written(tmp_path / "annotations" / "u.xml", xml([NUCLEUS], filename="u.png"))
    checked = loaded("voc", tmp_path, stop=False)
    assert problems(checked) == {"images/u.jpg": "it has no annotation", "images/w.jpg": "it has no annotation"}
    for name in ("x", "y", "z"):
        assert boxes(checked, f"images/{name}.jpg") == [CELL]
    assert boxes(checked, "images/v.jpg") == [NUCLEUS]
    assert checked.findings(None)[:2] == [
        "left out, 1 annotation without an image: annotations/3.xml",
        "1 annotation names another image inside; the names of the files decide: annotations/v.xml",
    ]


def test_what_objects_say(tmp_path):
    """Guards against difficult objects that count, coordinates moved unasked, and boxes of parts of objects."""
    part = "<difficult>1</difficult><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    tree(tmp_path, text=xml([(" cell ", (4.5, 6, 14, 18))], (0, 0), more=part))
    checked = loaded("voc", tmp_path)
    target = checked.images.train.samples[0].target
    assert checked.images.class_names == ["cell"]
    assert (target.boxes(), target.ignored) == ([(4.5, 6, 14, 18)], b"\x01")
    target = loaded("voc", tmp_path, voc_one_based=True).images.train.samples[0].target
    assert target.boxes() == [(3.5, 5, 14, 18)]
    outline = "<polygon><x1>4</x1><y1>6</y1><x2>14</x2><y2>6</y2><x3>9</x3><y3>18</y3></polygon>"
    written(tmp_path / "Annotations" / "0.xml", f"<annotation><object><name>a</name>{outline}</object></annotation>")
    assert boxes(loaded("voc", tmp_path), "JPEGImages/0.jpg") == [("a", (4, 6, 14, 18))]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<annotation><object>", "cannot read 0.xml: no element found"),
        ("", "cannot read 0.xml: no element found"),
        (xml([("cell", ("a", 1, 2, 3))]), "object cell: expected a number as xmin, got 'a'"),
        (xml([("", (1, 1, 2, 3))]), "object 1: it has no name"),
        ("<annotation><object><name>cell</name></object></annotation>", "object cell: it has no box (bndbox)"),
        (xml([("cell", ("nan", 1, 2, 3))]), "a box has an edge that is no number"),
        (xml([CELL], (80, 60)), "expected annotations of 40 x 30 pixels, as the image has, got 80 x 60"),
        (xml([("cell", (100, 100, 120, 120))]), "a box lies outside the image of 40 x 30 pixels"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + xml(), "cannot read 0.xml: it has a document type definition"),
        (('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + xml()).encode("utf-16"), "document type definition"),
        (b'<?xml version="1.0" encoding="cp037"?>' + ("<!DOCTYPE a>" + xml()).encode("cp037"), "cannot read 0.xml"),
        (b'<?xml version="1.0" encoding="base64"?>' + xml().encode(), "cannot read 0.xml"),
        (b"<annotation>\xff</annotation>", "cannot read 0.xml: 'utf-8' codec"),
    ],
)
def test_files_that_are_wrong_are_named(tmp_path, text, problem):
    """Guards against broken files that become images without objects, and XML that includes or grows."""
    tree(tmp_path, count=5)
    written(tmp_path / "Annotations" / "0.xml", text)
    found = problems(loaded("voc", tmp_path, stop=False))
    assert list(found) == ["JPEGImages/0.jpg"]
    assert problem in found["JPEGImages/0.jpg"]


def test_encodings(tmp_path):
    """Guards against names of classes that are read in another encoding."""
    tree(tmp_path, count=5)
    text = xml([("Zählung", (1, 1, 5, 5))])
    for number, encoding in enumerate(("utf-8", "utf-8-sig", "utf-16", "latin-1", "gbk")):
        text = text.replace("ä", "数") if encoding == "gbk" else text
        declared = encoding.removesuffix("-sig")
        start = f'<?xml version="1.0" encoding="{declared}"?>\n'
        written(tmp_path / "Annotations" / f"{number}.xml", (start + text).encode(encoding))
    assert loaded("voc", tmp_path).images.class_names == ["Zählung", "Z数hlung"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda root: image(root / "a.jpg", 0), "got no XML files"),
        (lambda root: written(root / "a.xml", xml()), "got no images"),
        (lambda root: (image(root / "a.jpg", 0), written(root / "a.xml", "<svg/>")), "XML files of another kind"),
        (
            lambda root: (image(root / "a.jpg", 0), written(root / "annotations.xml", "<annotations/>")),
            "export the set as 'PASCAL VOC'",
        ),
        (
            lambda root: (
                image(root / "a.jpg", 0),
                written(root / "a.xml", xml(more="<robndbox><cx>1</cx></robndbox>")),
            ),
            "got oriented boxes (robndbox) in 1 file: a.xml",
        ),
    ],
)
def test_folders_that_are_no_such_set(tmp_path, made, expected):
    """Guards against a traceback or an empty set instead of a mistake before the run."""
    made(tmp_path)
    assert expected in refused(source_of(node("voc", tmp_path)))


def test_identity_is_of_the_content(tmp_path):
    """Guards against runs that are called alike although their boxes differ, or otherwise because a folder moved."""
    root = tree(tmp_path / "one")
    first = source_of(node("voc", root)).identity()
    shutil.copytree(root, tmp_path / "two")
    assert source_of(node("voc", tmp_path / "two")).identity() == first
    written(root / "Annotations" / "0.xml", xml([("cell", (4, 6, 14, 17))]))  # as many bytes
    assert source_of(node("voc", root)).identity() != first
    written(root / "Annotations" / "0.xml", xml([CELL]))
    assert source_of(node("voc", root)).identity() == first
    for part in ("train", "test"):
        written(root / "ImageSets" / "Main" / f"{part}.txt", "\n".join(map(str, range(5))))
    assert source_of(node("voc", root)).identity() != first


def test_classes_are_chosen(tmp_path):
    """Guards against one class that is refused, and images that are left out because their objects are."""
    checked = loaded("voc", tree(tmp_path), classes=["nucleus"])
    assert checked.images.class_names == ["nucleus"]
    assert sum(sizes(checked)) == 10
    assert boxes(checked, "JPEGImages/2.jpg") == []
    assert boxes(checked, "JPEGImages/3.jpg") == [NUCLEUS]
    assert not source_of(node("voc", tmp_path, classes=["nucleus"])).mistakes()
    (mistake,) = source_of(node("voc", tmp_path, classes=["dog"])).mistakes()
    assert mistake.expected == "one or more different classes of cell, nucleus"


def test_groups(tmp_path):
    """Guards against images of one patient in two splits."""
    for number in range(12):
        image(tmp_path / f"p{number // 3}_{number}.jpg", number)
        written(tmp_path / f"p{number // 3}_{number}.xml", xml())
    checked = loaded("voc", tmp_path, group_pattern=r"(p\d)_")
    groups = [{s.group for s in split.samples} for split in checked.images.splits.values()]
    assert sizes(checked) == [6, 3, 3]
    assert set.union(*groups) == {"p0", "p1", "p2", "p3"}
    assert sum(map(len, groups)) == 4
    assert "dataset.group_pattern" in refused(source_of(node("voc", tmp_path, group_pattern="q")))


def test_many_files_are_listed_in_seconds(tmp_path, monkeypatch):
    """Guards against files that are parsed again each time that they are listed, and searches among all images."""
    for number in range(400):
        written(tmp_path / "images" / f"{number}.jpg", b"")
        written(tmp_path / "labels" / f"{number}.xml", xml([CELL] * 10))
    source = source_of(node("voc", tmp_path))
    start = time.perf_counter()
    source.class_names()
    first = time.perf_counter() - start
    monkeypatch.setattr(voc_file, "_parsed", None)
    assert source.identity() == source.identity()
    assert first < 2


def test_lists_with_a_mark_and_with_one_name_in_two_folders(tmp_path):
    """Guards against a first image lost to a byte order mark, and images of one name that all go to the last list."""
    for part, start, count in (("train", 0, 5), ("val", 5, 2), ("test", 7, 2)):
        for number in range(count):
            image(tmp_path / part / f"{number}.jpg", start + number)
            written(tmp_path / part / f"{number}.xml", xml())
        names = "\n".join(f"{part}/{number}.jpg" for number in range(count))
        written(tmp_path / f"{part}.txt", f"\ufeff{names}\n")
    checked = loaded("voc", tmp_path)
    assert "by lists" in checked.images.rule
    assert sizes(checked) == [5, 2, 2]
    assert {s.name.partition("/")[0] for s in checked.images.val.samples} == {"val"}


def test_a_set_without_any_object_is_refused(tmp_path):
    """Guards against a detector of no classes."""
    tree(tmp_path, count=3, text=xml([]))
    none = "expected objects (<object>, with <name> and <bndbox>) in XML files, got none in 3 files"
    assert f"{none}; export the set with its boxes" in refused(source_of(node("voc", tmp_path)))
    written(tmp_path / "Annotations" / "1.xml", "<annotation>")
    assert f"{none}, 1 of which cannot be read (cannot read 1.xml: no element found" in refused(
        source_of(node("voc", tmp_path))
    )
    for number in range(3):
        (tmp_path / "Annotations" / f"{number}.xml").rename(tmp_path / "Annotations" / f"a{number}.xml")
    assert (
        "expected images that the XML files belong to, got none of the same name: the first file is a0.xml"
        in refused(source_of(node("voc", tmp_path)))
    )


def test_wrong_boxes_stop_without_a_check_of_images(tmp_path):
    """Guards against an image whose boxes cannot be used that trains as background with `check=false`."""
    root = tree(tmp_path)
    (root / "Annotations" / "4.xml").unlink()
    with pytest.raises(TlxError, match="it has no annotation"):
        loaded("voc", root, check=False)
    assert sum(sizes(loaded("voc", root, check=False, on_bad="skip"))) == 9
