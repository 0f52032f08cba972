"""Boxes in tables: columns of public exports, splits, images that are listed otherwise, and what is wrong."""

from __future__ import annotations

import shutil

import pytest

from tests.data.sources.box_trees import boxes, image, loaded, node, problems, refused, sizes, splits, written
from tlx.data.catalog import source_of

BOX = (4.0, 6.0, 14.0, 18.0)
TENSORFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax"


def table(row="{n}.jpg,40,30,cell,4,6,14,18", header=TENSORFLOW, numbers=range(10)):
    """Return a table with a row for each number."""
    rows = [row.format(n=number) for number in numbers]
    return "\n".join([*([header] if header else []), *rows]) + "\n"


def pictures(root, pattern="{}.jpg", numbers=range(10)):
    for number in numbers:
        image(root / pattern.format(number), number)
    return root


@pytest.mark.parametrize(
    ("header", "row", "pattern"),
    [
        (TENSORFLOW, "{n}.jpg,40,30,cell,4,6,14,18", "{}.jpg"),
        ("file,x1,y1,x2,y2,class", "images/{n}.jpg,4,6,14,18,cell", "images/{}.jpg"),
        ("", "/home/me/set/images/{n}.jpg,4,6,14,18,cell", "images/{}.jpg"),  # RetinaNet
        ("file;x1;y1;x2;y2;class", r"C:\set\images\{n}.JPG;4.0;6.0;14.0;18.0;cell", "images/{}.jpg"),
        ("image_id,label,xmin,ymin,xmax,ymax", "{n},cell,4,6,14,18", "photos/{}.png"),
        (
            "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf",
            "{n},x,/m/01,1,0.1,0.35,0.2,0.6,0,0,0",
            "{}.jpg",
        ),
        ("\ufeffImage Name,X Min,Y Min,X Max,Y Max,Class Name", '"{n}.jpg",4,6,14,18,cell', "{}.jpg"),
        ("file,xmin,ymin,width,height,class", "{n}.jpg,4,6,10,12,cell", "{}.jpg"),
        (
            "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height",
            "cell,4,6,10,12,{n}.jpg,40,30",
            "{}.jpg",
        ),  # MakeSense
        ("file,x_center,y_center,width,height,class", "{n}.jpg,0.225,0.4,0.25,0.4,cell", "{}.jpg"),
        ("file,cx,cy,w,h,class,width,height", "{n}.jpg,9,12,10,12,cell,40,30", "{}.jpg"),
        ("file,x,y,w,h,class", "{n}.jpg,0.1,0.2,0.25,0.4,cell", "{}.jpg"),  # centres would be boxes beyond the image
    ],
)
def test_columns_of_public_exports(tmp_path, header, row, pattern):
    """Guards against columns that are mixed up, fractions that are taken for pixels, and paths of another machine."""
    written(tmp_path / "labels.csv", table(row, header))
    written(tmp_path / "class-descriptions-boxable.csv", "/m/01,cell\n/m/02,dog\n")
    checked = loaded("boxes", pictures(tmp_path, pattern))
    assert sizes(checked) == [6, 2, 2]
    assert checked.images.class_names == ["cell"]
    assert boxes(checked, pattern.format(3)) == [("cell", BOX)]
    assert "10 objects in 10 images, 0 without" in checked.images.rule
    assert not [line for line in checked.findings(None) if "only class" not in line]


def test_points_that_may_be_corners_or_centres(tmp_path):
    """Guards against boxes that are shifted by half their size because x and y are ambiguous."""
    pictures(tmp_path)
    written(tmp_path / "labels.csv", table("{n}.jpg,19,16,10,12,cell", "file,x,y,width,height,class"))
    message = refused(source_of(node("boxes", tmp_path)))
    typed = (
        ({"x1": "x", "y1": "y", "box_width": "width", "box_height": "height"}, (19, 16, 29, 28)),
        ({"x_center": "x", "y_center": "y", "box_width": "width", "box_height": "height"}, (14, 10, 24, 22)),
    )
    for columns, box in typed:
        assert f"'dataset.columns={{{', '.join(f'{role}: {name}' for role, name in columns.items())}}}'" in message
        assert boxes(loaded("boxes", tmp_path, columns=columns), "3.jpg") == [("cell", box)]
    written(tmp_path / "labels.csv", table("{n}.jpg,3,6,10,12,cell", "file,x,y,width,height,class"))
    assert boxes(loaded("boxes", tmp_path), "3.jpg") == [("cell", (3, 6, 13, 18))]
    sized = "file,x,y,w,h,class,width,height"
    written(tmp_path / "labels.csv", table("{n}.jpg,34,16,10,12,cell,40,30", sized))
    checked = loaded("boxes", tmp_path)
    assert boxes(checked, "3.jpg") == [("cell", (29, 10, 39, 22))]
    assert "boxes of labels.csv, where x and y are centres of boxes" in checked.images.rule
    written(tmp_path / "labels.csv", table("{n}.jpg,34,3,10,12,cell,40,30", sized))
    assert "which fit none of these in all images" in refused(source_of(node("boxes", tmp_path)))
    written(tmp_path / "labels.csv", table("{n}.jpg,4,6,14,12,cell", "file,xmin,ymin,xmax,height,class"))
    assert "got none for y2 in file, xmin, ymin, xmax, height, class" in refused(source_of(node("boxes", tmp_path)))


@pytest.mark.parametrize("header", ["file,x1,y1,x2,y2,class,x,y", "file,xmin,ymin,xmax,ymax,class,x,y,width,height"])
def test_x_and_y_beside_edges_are_not_used(tmp_path, header):
    """Guards against a report about x and y, or a refusal because they fit nothing, in a table with edges."""
    pictures(tmp_path)
    row = "{n}.jpg,4,6,14,18,cell,39,29" + (",40,30" if "width" in header else "")
    written(tmp_path / "labels.csv", table(row, header))
    checked = loaded("boxes", tmp_path)
    assert boxes(checked, "3.jpg") == [("cell", (4, 6, 14, 18))]
    assert "boxes of labels.csv" in checked.images.rule
    assert "x and y" not in checked.images.rule


WHEAT = "image_id,width,height,bbox,source"


def test_four_numbers_in_one_column(tmp_path):
    """Guards against sides that are taken for a second corner, as in a set of boxes of which only some tell."""
    pictures(tmp_path)
    one_class = {"class": None}
    rows = table('{n},40,30,"[4.0, 6.0, 10.0, 12.0]",farm', WHEAT)
    written(tmp_path / "train.csv", rows + '9,40,30,"[30, 5, 10, 8]",farm\n')  # no second corner
    message = refused(source_of(node("boxes", tmp_path)))
    assert "'dataset.columns={class: source}', for objects of one class 'dataset.columns={class: null}'" in message
    assert "for a corner and the sides of boxes type 'dataset.columns={xywh: bbox}'" in refused(
        source_of(node("boxes", tmp_path, columns=one_class))
    )
    assert boxes(loaded("boxes", tmp_path, columns={**one_class, "xywh": "bbox"}), "3.jpg") == [("object", BOX)]
    written(tmp_path / "train.csv", rows + '9,40,30,"[0, 2, 10, 8]",farm\n9,40,30,"[30, 2, 10, 8]",farm\n')
    checked = loaded("boxes", tmp_path, columns=one_class)  # a centre on the edge would be a box beyond it
    assert boxes(checked, "3.jpg") == [("object", BOX)]
    assert boxes(checked, "9.jpg") == [("object", BOX), ("object", (0, 2, 10, 10)), ("object", (30, 2, 40, 10))]
    assert "where the numbers in bbox are a corner and the sides of boxes" in checked.images.rule
    written(tmp_path / "train.csv", table('{n}.jpg,40,30,"4 6 38 28",cell', "file,width,height,bbox,label"))
    assert boxes(loaded("boxes", tmp_path), "3.jpg") == [("cell", (4, 6, 38, 28))]
    written(tmp_path / "train.csv", table('{n}.jpg,"[15, 16, 12, 12]",cell', "file,bbox,label"))
    message = refused(source_of(node("boxes", tmp_path)))
    assert "xywh: bbox" in message
    assert "xyxy" not in message
    typed = {"cxcywh": "bbox"}
    assert boxes(loaded("boxes", tmp_path, columns=typed), "3.jpg") == [("cell", (9, 10, 21, 22))]
    written(tmp_path / "train.csv", rows.replace("[4.0, 6.0, 10.0, 12.0]", "[4, 6, 10]", 1))
    checked = loaded("boxes", tmp_path, stop=False, columns={**one_class, "xywh": "bbox"})
    assert problems(checked) == {"0.jpg": "row 2: expected four numbers, got '[4, 6, 10]'"}
    written(tmp_path / "train.csv", table("{n}.jpg,,cell", "file,bbox,label"))
    assert "got none in 10 rows" in refused(source_of(node("boxes", tmp_path)))


def test_a_table_without_a_column_of_classes(tmp_path):
    """Guards against sets of one class that cannot be read because nothing names it."""
    written(tmp_path / "labels.csv", table("{n}.jpg,4,6,14,18", "image,xmin,ymin,xmax,ymax", range(9)) + "9.jpg,,,,\n")
    checked = loaded("boxes", pictures(tmp_path))
    assert checked.images.class_names == ["object"]
    assert boxes(checked, "3.jpg") == [("object", BOX)]
    assert "9 objects in 9 images, 1 without" in checked.images.rule


def test_rows_of_one_image_and_images_without_objects(tmp_path):
    """Guards against one box an image, and images without objects that are left out."""
    text = "a.jpg,4,6,14,18,cell\na.jpg,1,1,3,3,nucleus\nb.jpg,,,,,\n" + table("{n}.jpg,4,6,14,18,cell", "", range(4))
    written(tmp_path / "annotations.csv", text)
    written(tmp_path / "classes.csv", "nucleus,0\ncell,1\n")
    for place, name in enumerate(("a", "b", "unlisted")):
        image(tmp_path / f"{name}.jpg", 50 + place)
    checked = loaded("boxes", pictures(tmp_path, numbers=range(4)))
    assert checked.images.class_names == ["nucleus", "cell"]
    assert boxes(checked, "a.jpg") == [("cell", BOX), ("nucleus", (1, 1, 3, 3))]
    assert boxes(checked, "b.jpg") == []
    assert "6 objects in 5 images, 1 without" in checked.images.rule
    assert "left out, 1 image in no table: unlisted.jpg" in checked.findings(None)
    written(tmp_path / "classes.csv", "cell,0\n")
    assert problems(loaded("boxes", tmp_path, stop=False)) == {
        "a.jpg": "it has the class 'nucleus', which the file of classes does not name"
    }
    first = "b.jpg,,,,,\n" + table("{n}.jpg,4,6,14,18,cell", "", range(4))
    written(tmp_path / "annotations.csv", first)
    assert sum(sizes(loaded("boxes", tmp_path))) == 5


def test_tables_are_splits(tmp_path):
    """Guards against official splits that are carved anew, and images that are counted twice."""
    names = ("train_labels", "test_labels")
    for name, numbers in zip(names, (range(7), range(7, 10)), strict=True):
        written(tmp_path / "data" / f"{name}.csv", table(numbers=numbers))
    written(tmp_path / "data" / "labels.csv", table())  # all of them
    pictures(tmp_path, "images/{}.jpg")
    checked = loaded("boxes", tmp_path)
    assert sizes(checked) == [6, 1, 3]
    assert splits(checked)["test"] == ["images/7.jpg", "images/8.jpg", "images/9.jpg"]
    assert sizes(loaded("boxes", tmp_path, tables="data/labels.csv")) == [6, 2, 2]
    assert sizes(loaded("boxes", tmp_path, tables=["data/train_labels.csv", "data/test_labels.csv"])) == [6, 1, 3]
    written(tmp_path / "data" / "test_labels.csv", table(numbers=range(6, 10)))
    checked = loaded("boxes", tmp_path)  # an image of both tables is not trained on
    assert sizes(checked) == [5, 1, 4]
    assert "left out of train, 1 image also in test: images/6.jpg" in checked.images.notes
    assert boxes(checked, "images/6.jpg") == [("cell", BOX)]
    roboflow = tmp_path / "roboflow"
    for place, part in enumerate(("train", "valid", "test")):
        numbers = range(10 * place, 10 * place + 5 - place)
        written(pictures(roboflow, part + "/{}.jpg", numbers) / part / "_annotations.csv", table(numbers=numbers))
    assert sizes(loaded("boxes", roboflow)) == [5, 4, 3]
    same = tmp_path / "same"  # names that are the same in each split
    for place, part in enumerate(("train", "test")):
        for number in range(4):
            image(same / part / f"{number}.jpg", 10 * place + number)
        written(same / part / "_annotations.csv", table(numbers=range(4)))
    assert sizes(loaded("boxes", same)) == [3, 1, 4]
    beside = tmp_path / "beside"  # with the tables in one folder
    for place, part in enumerate(("train", "test")):
        for number in range(4):
            image(beside / part / f"{number}.jpg", 10 * place + number)
        written(beside / f"{part}.csv", table(numbers=range(4)))
    assert sizes(loaded("boxes", beside)) == [3, 1, 4]
    (same / "test" / "3.jpg").unlink()  # the one of train is another image
    assert problems(loaded("boxes", same, stop=False)) == {"test/3.jpg": "there is no such file"}


def test_images_are_told_from_masks_of_the_same_name(tmp_path):
    """Guards against a file in another folder, such as a mask, that is read as the image."""
    written(tmp_path / "labels.csv", table())
    pictures(tmp_path, "photos/images/{}.jpg")
    pictures(tmp_path, "photos/masks/{}.jpg")
    assert {s.name for s in loaded("boxes", tmp_path).images.train.samples} < {
        f"photos/images/{n}.jpg" for n in range(10)
    }
    pictures(tmp_path, "more/images/{}.jpg")
    assert "expected the images of labels.csv, got none of" in refused(source_of(node("boxes", tmp_path)))
    written(tmp_path / "labels.csv", table("set/more/images/{n}.jpg,40,30,cell,4,6,14,18"))
    assert {s.name for s in loaded("boxes", tmp_path).images.train.samples} < {
        f"more/images/{n}.jpg" for n in range(10)
    }


def test_a_column_of_splits(tmp_path):
    """Guards against a column of splits that is ignored, and a word in it that is passed over."""
    header = "file,x1,y1,x2,y2,class,split"
    rows = table("{n}.jpg,4,6,14,18,cell,train", header, range(6)) + "6.jpg,4,6,14,18,cell,valid\n"
    written(tmp_path / "labels.csv", rows + "7.jpg,,,,,,TEST\n")
    assert sizes(loaded("boxes", pictures(tmp_path))) == [6, 1, 1]
    written(tmp_path / "labels.csv", rows + "6.jpg,5,7,15,19,cell,train\n")
    assert "expected each image in one split, got 6.jpg in val, train" in refused(source_of(node("boxes", tmp_path)))
    written(tmp_path / "labels.csv", rows + "7.jpg,,,,,,exam\n")
    assert "expected train, val or test in the column 'split', got 'exam'" in refused(
        source_of(node("boxes", tmp_path))
    )


def test_columns_are_named(tmp_path):
    """Guards against sets that cannot be read because their columns have other names."""
    written(tmp_path / "labels.csv", table("{n}.jpg,4,6,14,18,cell", "photo,a,b,c,d,kind"))
    pictures(tmp_path)
    assert "none for file, x1, y1, x2, y2, class in photo, a, b, c, d, kind" in refused(
        source_of(node("boxes", tmp_path))
    )
    columns = {"file": "photo", "x1": "a", "y1": "b", "x2": "c", "y2": "d", "class": "kind"}
    assert boxes(loaded("boxes", tmp_path, columns=columns), "3.jpg") == [("cell", BOX)]
    for wrong in ({"x": "a"}, {"x1": "q"}):
        message = refused(source_of(node("boxes", tmp_path, columns={**columns, **wrong})))
        assert message.startswith("dataset.columns: expected some of file, x1,")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("3.jpg,40,30,cell,4,a,14,18", "row 12: expected four numbers, got 'a'"),
        ("3.jpg,40,30,cell,4,6,14,", "row 12: expected four numbers, got ''"),
        ("3.jpg,40,30,cell,4,6,nan,18", "row 12: expected four numbers, got 'nan'"),
        ("3.jpg,40,30,cell,,,,", "row 12 has a class and no box"),
        ("3.jpg,40,30,,4,6,14,18", "row 12: expected a class, got none"),
        ("3.jpg,80,60,cell,4,6,14,18", "its rows name different sizes: 40 x 30 and 80 x 60 pixels"),
        ("3.jpg,40,30,cell,4,6,400,18", "a box lies outside the image of 40 x 30 pixels"),
        ("gone.jpg,40,30,cell,4,6,14,18", "there is no such file"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path, row, problem):
    """Guards against wrong rows that are passed over, and files that are missing without a word."""
    written(tmp_path / "labels.csv", table() + row)
    checked = loaded("boxes", pictures(tmp_path), stop=False)
    (entry,) = checked.broken
    assert entry.sample.name == row.partition(",")[0]
    assert problem in entry.reason


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "got no CSV file"),
        ({"a.csv": ""}, "got an empty file"),
        ({"a.csv": "path,label\n1.jpg,cell"}, "none for x1, y1, x2, y2 in path, label"),
        ({"a.csv": TENSORFLOW}, "expected boxes in a.csv, got none"),
        ({"a.csv": table("x{n}.jpg,40,30,cell,4,6,14,18")}, "expected the images of a.csv, got none of x0.jpg, x1.jpg"),
        ({"a.csv": table(), "b.csv": table()}, "say which: dataset.tables=[FILE,FILE]"),
        ({"a.csv": table(), "train.csv": table()}, "say which: dataset.tables=[FILE,FILE]"),
        ({"a.csv": table() + ",40,30,cell,4,6,14,18"}, "expected the file of an image in each row, got none in row 12"),
        ({"a.csv": b"\xff\xfe\xd8"}, "expected a table of boxes in UTF-8"),
        ({"a.csv": '"1.jpg'}, "expected a table of boxes in UTF-8"),
    ],
)
def test_folders_that_are_no_such_set(tmp_path, files, expected):
    """Guards against a traceback or an empty set instead of a mistake before the run."""
    for name, text in files.items():
        written(tmp_path / name, text)
    assert expected in refused(source_of(node("boxes", pictures(tmp_path))))


def test_a_table_that_is_not_there(tmp_path):
    """Guards against other tables in place of one that was typed wrongly."""
    written(tmp_path / "labels.csv", table())
    message = refused(source_of(node("boxes", pictures(tmp_path), tables="label.csv")))
    assert message.startswith("dataset.tables: expected a table of boxes, got ")
    assert "did you mean 'labels.csv'?" in message


def test_groups_of_objects_are_ignored(tmp_path):
    """Guards against crowds that count as objects."""
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
    rows = [f"0,cell,0.1,0.3{n},0.2,0.6,{flag}" for n, flag in enumerate(("1", "1.0", "true", "0", "0.0", "-1", ""))]
    written(tmp_path / "a.csv", "\n".join([header, *rows, *(f"{n},cell,0.1,0.35,0.2,0.6,0" for n in range(1, 4))]))
    checked = loaded("boxes", pictures(tmp_path, numbers=range(4)))
    target = next(s.target for split in checked.images.splits.values() for s in split.samples if s.name == "0.jpg")
    assert target.ignored == b"\x01\x01\x01\x00\x00\x00\x00"


def test_identity_is_of_the_content(tmp_path):
    """Guards against runs that are called otherwise because a folder moved, or alike although a box did."""
    one = pictures(tmp_path / "one")
    written(one / "labels.csv", table())
    first = source_of(node("boxes", one)).identity()
    shutil.copytree(one, tmp_path / "two")
    assert source_of(node("boxes", tmp_path / "two")).identity() == first
    written(one / "labels.csv", table().replace("3.jpg,40,30,cell,4", "3.jpg,40,30,cell,5"))
    assert source_of(node("boxes", one)).identity() != first
