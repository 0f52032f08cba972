"""Images with masks: layouts, classes, what is named and what is not, turned images."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.mask_trees import (
    SIDE,
    examined_here,
    halves,
    label,
    loaded,
    palette,
    picture,
    sample,
    save,
    sizes,
    tree,
)
from tlx.base.errors import TlxError
from tlx.config.naming import look_again
from tlx.data.catalog import source_of
from tlx.data.ignored import IGNORED
from tlx.data.mask_labels import MASKS
from tlx.data.reading import inspection, windows
from tlx.data.sources.mask_listing import ListedFile
from tlx.data.sources.mask_pairs import paired
from tlx.tasks.segmentation.areas import class_areas

TWO = ["background", "foreground"]


@pytest.fixture(autouse=True)
def _without_processes(request, monkeypatch):
    """Start no processes but for real data: that would take most of the time."""
    if "test_data" not in request.fixturenames:
        monkeypatch.setattr(inspection, "examine_all", examined_here)


def test_a_large_mask_is_read_in_pieces(tmp_path, monkeypatch):
    """Guards against rows that are lost or exchanged between two pieces of a mask."""
    monkeypatch.setattr(windows, "_PIECE", 3 * SIDE)
    drawn = np.random.default_rng(0).integers(0, 3, (SIDE, SIDE), dtype=np.uint8)
    root = tree(tmp_path, "images/{}.png", "masks/{}.png", made=lambda n: drawn)
    assert np.array_equal(label(loaded(root), "images/0.png"), drawn)
    assert [area.pixels for area in class_areas(drawn, 3)] == np.bincount(drawn.ravel()).tolist()


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}.jpg", "masks/{}.png"),
        ("img/{}.png", "Labels/{}.PNG"),
        ("images/{}.png", "masks/{}_mask.png"),
        ("images/{}.tif", "annotations/trimaps/{}.png"),
        ("images/cell_{}.jpg", "masks/cell_{}_segmentation.png"),
        ("images/{}.jpg", "masks/{}.jpg.png"),
        ("{}.jpg", "{}_mask.png"),
        ("{}.bmp", "{}.png"),
        ("{}.tif", "{}.gif"),
        ("a/{}.png", "a/{}-label.png"),
        ("{}_sat.jpg", "{}_mask.png"),
        ("{}.png", "{}_vessels.png"),
        ("images/{}_training.tif", "manual/{}_manual1.gif"),
        ("Original/x{}.png", "seg/y{}.png"),
        ("deep/er/images/{}.png", "deep/er/masks/{}.png"),
    ],
)
def test_layouts_without_splits(tmp_path, image, mask):
    """Guards against a layout in which masks are taken for images, or images are paired with other masks."""
    root = tree(tmp_path, image, mask, made=lambda n: halves(0, 255)[:, :: 1 if n % 2 else -1])
    checked = loaded(root)
    assert sizes(checked) == [6, 2, 2]
    assert checked.images.class_names == TWO
    names = {s.name for split in checked.images.splits.values() for s in split.samples}
    assert names == {image.format(n) for n in range(10)}
    for number in range(10):
        assert label(checked, image.format(number))[0, 0] == (0 if number % 2 else 1)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}/images/{{}}.jpg", "{}/masks/{{}}.png"),
        ("images/{}/{{}}.jpg", "masks/{}/{{}}.png"),
        ("{}/{{}}.jpg", "{}/{{}}_mask.png"),
        ("{}/{{}}.png", "{}annot/{{}}.png"),
        ("{}/{{}}.png", "{}_labels/{{}}.png"),
        ("{}_images/{{}}.png", "{}_masks/{{}}.png"),
    ],
)
def test_layouts_with_splits(tmp_path, image, mask):
    """Guards against a set's own splits that are carved anew, and images of one split with masks of another."""
    for place, (part, value) in enumerate((("train", 1), ("val", 2), ("test", 3))):
        tree(
            tmp_path,
            image.format(part),
            mask.format(part),
            4 - place,
            lambda _, v=value: halves(0, v, dtype=np.uint8),
        )
    checked = loaded(tmp_path)
    assert sizes(checked) == [4, 3, 2]
    assert checked.images.carved == frozenset()
    assert checked.images.class_names == ["class 0", "class 1", "class 2", "class 3"]
    shown = {part: {MASKS.class_ids(s.target) for s in split.samples} for part, split in checked.images.splits.items()}
    assert shown == {"train": {(0, 1)}, "val": {(0, 2)}, "test": {(0, 3)}}


def test_ade20k_s_folders_with_train_and_val_only(tmp_path):
    """Guards against a set of train and val without a test split."""
    tree(tmp_path, "images/training/{}.jpg", "annotations/training/{}.png", 10)
    tree(tmp_path, "images/validation/v{}.jpg", "annotations/validation/v{}.png", 3)
    for number in range(2):  # images without masks, for a competition
        save(tmp_path / f"images/test/{number}.jpg", picture(number + 50))
    checked = loaded(tmp_path)
    assert sizes(checked) == [8, 2, 3]
    assert any("the 2 images of test: none of them has a mask" in note for note in checked.images.notes)


def test_voc_and_cvat(tmp_path):
    """Guards against lists that are not read, images without masks as mistakes, and colours that are not read."""
    root = tree(
        tmp_path / "a", "JPEGImages/{}.jpg", "SegmentationClass/{}.png", made=lambda _: palette(halves(0, 1), {})
    )
    for number in range(10):
        save(root / f"SegmentationObject/{number}.png", palette(halves(0, 1), {}))
        save(root / f"JPEGImages/other{number}.jpg", picture(number + 20))
    assert sizes(loaded(root)) == [6, 2, 2]
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name, numbers in {"train": range(5), "val": range(5, 7), "test": range(7, 10), "trainval": range(7)}.items():
        (lists / f"{name}.txt").write_text("".join(f"{n}\n" for n in numbers))
    checked = loaded(root)
    assert sizes(checked) == [5, 2, 3]
    assert [s.name for s in checked.images.val.samples] == ["JPEGImages/5.jpg", "JPEGImages/6.jpg"]

    colours = np.array([[[0, 0, 0], [10, 200, 30]]], dtype=np.uint8).repeat(SIDE, 0).repeat(SIDE // 2, 1)
    root = tree(tmp_path / "b", "JPEGImages/{}.jpg", "SegmentationClass/{}.png", made=lambda _: colours)
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:9,9,9::\nleaf:10,200,30::\n"
    )
    assert source_of(node(root)).class_names() == ["background", "car", "leaf"]
    checked = loaded(root)
    assert checked.images.class_names == ["background", "car", "leaf"]
    assert set(np.unique(label(checked, "JPEGImages/3.jpg")).tolist()) == {0, 2}

    root = tree(
        tmp_path / "VOC2012", "JPEGImages/{}.jpg", "SegmentationClass/{}.png", made=lambda _: palette(halves(0, 15), {})
    )
    assert loaded(root).images.class_names[15] == "person"
    assert len(source_of(node(root)).class_names()) == 21


def test_roboflow_and_cityscapes(tmp_path):
    """Guards against classes that `_classes.csv` names and are not taken, and against files of instances as masks."""
    for part in ("train", "valid", "test"):
        tree(tmp_path / "a", f"{part}/{part}{{}}.jpg", f"{part}/{part}{{}}_mask.png", 3, lambda _: halves(0, 2))
        (tmp_path / "a" / part / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    checked = loaded(tmp_path / "a")
    assert sizes(checked) == [3, 3, 3]
    assert checked.images.class_names == ["background", "cat", "dog"]
    assert checked.images.train.samples[0].target.pixel_counts == {0: SIDE * SIDE // 2, 2: SIDE * SIDE // 2}

    for part in ("train", "val"):
        image = f"leftImg8bit/{part}/bonn/{part}{{}}_leftImg8bit.png"
        for kind, values in {"labelIds": (7, 26), "instanceIds": (7, 99), "color": (1, 2)}.items():
            tree(
                tmp_path / "b",
                image,
                f"gtFine/{part}/bonn/{part}{{}}_gtFine_{kind}.png",
                5,
                lambda _, v=values: halves(*v),
            )
    checked = loaded(tmp_path / "b")
    assert sizes(checked) == [4, 1, 5]
    assert len(checked.images.class_names) == 19
    assert MASKS.class_ids(checked.images.train.samples[0].target) == (0, 13)


def test_outlines_of_labelme(tmp_path):
    """Guards against outlines that are shifted, labels in another order, and objects that hide those on top of them."""
    square = {"label": "cell", "shape_type": "polygon", "points": [[2, 3], [12, 3], [12, 9], [2, 9]]}
    inner = {"label": "a nucleus", "shape_type": "rectangle", "points": [[4, 5], [6, 7]]}
    for number in range(10):
        save(tmp_path / f"{number}.jpg", picture(number))
        shapes = [square, inner] if number else []
        written = {"version": "5", "shapes": shapes, "imageWidth": SIDE, "imageHeight": SIDE, "imageData": None}
        (tmp_path / f"{number}.json").write_text(json.dumps(written))
    checked = loaded(tmp_path)
    assert checked.images.class_names == ["background", "a nucleus", "cell"]
    expected = np.zeros((SIDE, SIDE), dtype=np.uint8)
    expected[3:9, 2:12], expected[5:7, 4:6] = 2, 1
    assert np.array_equal(label(checked, "4.jpg"), expected)
    assert sample(checked, "4.jpg").target.pixel_counts == {0: 340, 1: 4, 2: 56}
    assert not label(checked, "0.jpg").any()
    mapped = loaded(tmp_path, classes={"cell": "body", "a nucleus": "body"})
    assert mapped.images.class_names == ["background", "body"]
    with pytest.raises(TlxError, match="14 % of its pixels have values outside the classes: cell"):
        loaded(tmp_path, classes=["a nucleus"])


def node(root, **keys):
    return {"_target_": "tlx.data.masks", "name": "masks", "root": str(root), "masks": "classes", **keys}


@pytest.mark.parametrize(
    ("made", "keys", "names", "row"),
    [
        (lambda _: halves(0, 1), {}, TWO, [0, 1]),
        (lambda _: halves(3, 7), {}, TWO, [0, 1]),
        (lambda _: Image.fromarray(halves(0, 255) > 0), {}, TWO, [0, 1]),
        (lambda _: halves(0, 1, 2, 3), {}, [f"class {n}" for n in range(4)], [0, 1, 2, 3]),
        (lambda _: halves(0, 128, 255, 128), {}, ["class 0", "class 128", "class 255"], [0, 1, 2, 1]),
        (lambda _: halves(0, 1, 2, 255), {}, ["class 0", "class 1", "class 2"], [0, 1, 2, 255]),
        (lambda _: halves(0, 1, 2, 255), {"ignore": []}, [f"class {n}" for n in (0, 1, 2, 255)], [0, 1, 2, 3]),
        (lambda _: halves(0, 1, 2, 3), {"ignore": [0]}, [f"class {n}" for n in (1, 2, 3)], [255, 0, 1, 2]),
        (lambda _: halves(0, 300, 70, 300, dtype=np.uint16), {}, ["class 0", "class 70", "class 300"], [0, 2, 1, 2]),
        (lambda _: palette(halves(0, 5, 2, 255), {}), {}, ["class 0", "class 2", "class 5"], [0, 2, 1, 255]),
        (lambda _: halves(0, 9, 9, 40), {"masks": "binary"}, TWO, [0, 1, 1, 1]),
        (lambda _: halves(0, 255), {"classes": ["sky", "ground"]}, ["sky", "ground"], [0, 1]),
        (lambda _: halves(0, 2), {"classes": ["a", "b", "c"]}, ["a", "b", "c"], [0, 2]),
        (lambda _: halves(0, 8, 5, 9), {"classes": {0: "a", 8: "b", 5: "b", 9: None}}, ["a", "b"], [0, 1, 1, 255]),
        (lambda _: halves(0, 128), {"classes": {"one": 128, "two": 0}}, ["one", "two"], [1, 0]),
    ],
)  # fmt: skip
def test_values_become_classes(tmp_path, made, keys, names, row):
    """Guards against classes in another order, an ignored value that is a class, and a class that is ignored."""
    root = tree(tmp_path, "images/{}.png", "masks/{}.tif" if "I;16" in str(made) else "masks/{}.png", 10, made)
    checked = loaded(root, **keys)
    assert checked.images.class_names == names
    mask = label(checked, "images/3.png")
    assert mask[0, :: SIDE // len(row)].tolist() == row
    counts = {one: row.count(one) * SIDE * SIDE // len(row) for one in sorted({*row} - {IGNORED})}
    assert sample(checked, "images/3.png").target.pixel_counts == counts
    known = source_of(node(root, **keys)).class_names()
    assert known in (None, names)


def colours(*shades: tuple[int, int, int]) -> np.ndarray:
    return np.array([shades], dtype=np.uint8).repeat(SIDE, 0).repeat(SIDE // len(shades), 1)


def test_colours_and_transparency(tmp_path):
    """Guards against colour maps that are turned into grays, and against pixels that nobody sees as a class."""
    red, black, blue = (255, 0, 0), (0, 0, 0), (0, 0, 255)
    root = tree(
        tmp_path / "a",
        "images/{}.png",
        "masks/{}.png",
        made=lambda n: colours(black, blue, red, blue) if n else colours(black, black),
    )
    checked = loaded(root)
    assert checked.images.class_names == ["#000000", "#0000ff", "#ff0000"]
    assert label(checked, "images/1.png")[0, ::5].tolist() == [0, 1, 2, 1]
    mapped = loaded(root, classes={"#000000": "none", "255,0,0": "road", "#0000FF": "none"})
    assert mapped.images.class_names == ["none", "road"]
    assert label(mapped, "images/1.png")[0, ::5].tolist() == [0, 0, 1, 0]
    (root / "class_dict.csv").write_text("name,r,g,b\nroad,255,0,0\nwater,0,0,255\nother,0,0,0\n")
    assert loaded(root).images.class_names == ["road", "water", "other"]
    (root / "class_dict.csv").write_text("name,r,g,b,id\nroad,255,0,0,7\nwater,0,0,255,8\nother,0,0,0,0\n")
    assert loaded(root).images.class_names == ["road", "water", "other"]
    numbers = tree(tmp_path / "d", "images/{}.png", "masks/{}.png", made=lambda _: halves(0, 8))
    shutil.copy(root / "class_dict.csv", numbers)
    assert label(loaded(numbers), "images/1.png")[0, ::10].tolist() == [2, 1]
    with pytest.raises(TlxError, match="expected colours, as the masks have, got numbers"):
        loaded(root, classes={0: "none", 1: "road"})

    with_alpha = np.dstack([colours(red, red), np.where(halves(0, 1), 255, 0).astype(np.uint8)])
    root = tree(tmp_path / "b", "images/{}.png", "masks/{}.png", made=lambda _: with_alpha)
    checked = loaded(root)
    assert checked.images.class_names == TWO
    assert label(checked, "images/1.png")[0, ::10].tolist() == [0, 1]
    assert any("transparent pixels of 10 masks are read as the value 0" in note for note in checked.images.notes)

    gray = np.dstack([halves(0, 9)] * 3 + [np.full((SIDE, SIDE), 255, np.uint8)])
    root = tree(tmp_path / "c", "images/{}.png", "masks/{}.png", made=lambda n: gray if n % 2 else halves(0, 9))
    checked = loaded(root)
    assert (
        label(checked, "images/1.png")[0, ::10].tolist() == label(checked, "images/2.png")[0, ::10].tolist() == [0, 1]
    )


def test_palettes_that_differ_are_colours(tmp_path):
    """Guards against a program that sorts each palette by frequency: the same place is another class in each file."""
    red, blue = (255, 0, 0), (0, 0, 255)

    def made(number):
        places = halves(0, 1, 2, 1)
        return palette(places, {1: red, 2: blue}) if number % 2 else palette(places, {1: blue, 2: red})

    checked = loaded(tree(tmp_path, "images/{}.png", "masks/{}.png", 10, made))
    assert checked.images.class_names == ["#000000", "#0000ff", "#ff0000"]
    assert label(checked, "images/1.png")[0, ::5].tolist() == [0, 2, 1, 2]
    assert label(checked, "images/2.png")[0, ::5].tolist() == [0, 1, 2, 1]


def test_blurred_edges_are_cut_in_the_middle(tmp_path):
    """Guards against a mask drawn with smooth edges that has 256 classes, and against one whose third class is lost."""
    ramp = halves(0, 255).copy()
    ramp[:, 8:12] = [30, 100, 160, 220]
    checked = loaded(tree(tmp_path / "a", "images/{}.png", "masks/{}.png", made=lambda n: np.roll(ramp, n % 3, 0)))
    assert checked.images.class_names == TWO
    assert label(checked, "images/0.png")[0].tolist() == [0] * 10 + [1] * 10
    assert any("cut at 128" in note for note in checked.images.notes)
    mapped = loaded(tmp_path / "a", classes={255: "cell", 0: "rest"})
    assert label(mapped, "images/0.png")[0].tolist() == [1] * 10 + [0] * 10


def test_stray_values_are_ignored_and_said(tmp_path):
    """Guards against a few pixels of another gray that make a class, or stop the run."""

    def made(number):
        mask = np.kron(halves(0, 128, 255, 128), np.ones((5, 5), dtype=np.uint8))
        if number == 3:
            mask[0, :3] = 7
            mask[1, 0] = 90
        return mask

    root = tmp_path
    for number in range(10):
        save(root / f"{number}.bmp", picture(number, (100, 100)))
        save(root / f"{number}.png", made(number))
    checked = loaded(root)
    assert checked.images.class_names == ["class 0", "class 128", "class 255"]
    assert label(checked, "3.bmp")[0, :4].tolist() == [255, 255, 255, 0]
    assert "are ignored pixels in 1 mask: 3.png (7, 90: 4 pixels)" in checked.report(None)
    big = made(3)
    big[:2] = 90
    save(root / "3.png", big)
    with pytest.raises(TlxError, match=r"3.bmp: mask 3.png: 2 % of its pixels have values outside the classes: 90"):
        loaded(root, classes={0: "a", 128: "b", 255: "c"})


def test_the_check_shows_pixels_of_each_class(tmp_path):
    """Guards against a class that is in every image and has hardly a pixel, which a count of images hides."""
    mask = halves(0, 1).copy()
    mask[:, -1] = 2
    lines = loaded(tree(tmp_path, "images/{}.png", "masks/{}.png", 10, lambda _: mask)).report(None).splitlines()
    table = [line.split() for line in lines[4:8]]
    assert table == [
        ["train", "pixels", "val", "pixels", "test", "pixels", "class"],
        *(
            [*(cell for count in "622" for cell in (count, share, "%")), "class", name]
            for name, share in (("0", "50.00"), ("1", "45.00"), ("2", "5.00"))
        ),
    ]


def test_object_numbers_are_refused(tmp_path):
    """Guards against a network that learns which cell was drawn first."""

    def made(number):
        mask = np.zeros((SIDE, SIDE), dtype=np.uint16)
        for one in range(2 + number):
            mask[one] = one + 1
        return mask

    root = tree(tmp_path, "images/{}.png", "masks/{}.png", 12, made)
    with pytest.raises(TlxError, match=r"numbers of objects.*dataset.masks=binary"):
        loaded(root)
    checked = loaded(root, masks="binary")
    assert checked.images.class_names == TWO
    assert sample(checked, "images/3.png").target.pixel_counts == {0: 300, 1: 100}


def test_each_mistake_is_named_in_one_message_or_left_out(tmp_path):
    """Guards against a run that stops at its first epoch, at one mistake after another."""
    root = tree(tmp_path, "images/{}.png", "masks/{}.png", 20, lambda _: halves(0, 1))
    (root / "masks/0.png").unlink()
    save(root / "masks/1_mask.png", halves(0, 1))
    save(root / "masks/2.png", np.zeros((5, 6), dtype=np.uint8))
    save(root / "masks/3.png", halves(0, 9))
    (root / "masks/4.png").write_bytes(b"no mask")
    (root / "masks/5.png").unlink()
    save(root / "masks/5.jpg", halves(0, 1))
    save(root / "masks/6.png", halves(255, 255))
    save(root / "masks/7.png", halves(0, 0))  # background alone is a class
    save(root / "masks/none.png", halves(0, 1))
    with pytest.raises(TlxError) as told:
        loaded(root, classes={0: "rest", 1: "cell", 255: None})
    for words in (
        "7 broken files",
        "0.png: it has no mask",
        "1.png: it has 2 masks: masks/1.png, masks/1_mask.png",
        "2.png: mask masks/2.png: expected 20 x 20 pixels, as its image has, got 6 x 5",
        "3.png: mask masks/3.png: 50 % of its pixels have values outside the classes: 9",
        "4.png: mask masks/4.png: it is in no image format that tlx reads",
        "5.png: mask masks/5.jpg: it is a JPEG",
        "6.png: mask masks/6.png: no pixel of it has a class",
    ):
        assert words in str(told.value), words
    skipping = loaded(root, classes={0: "rest", 1: "cell", 255: None}, on_bad="skip")
    assert sum(sizes(skipping)) == 13
    assert len(skipping.broken) == 7
    assert any("masks without an image: 1: masks/none.png" in note for note in skipping.images.notes)
    assert set(loaded(root, on_bad="skip", classes={0: "rest", 1: "cell", 255: None}).report(None).splitlines()) == set(
        skipping.report(None).splitlines()
    )


def test_sets_that_nobody_can_mean(tmp_path):
    """Guards against a traceback, or a silent guess, where a person must say more."""
    root = tree(tmp_path / "a", "images/{}.png", "masks/{}.png", 5)
    tree(root, "images/{}.png", "labels/{}.png", 5)
    with pytest.raises(TlxError, match=r"expected one mask an image, got 2 for .*dataset.mask_folder=labels"):
        loaded(root)
    assert loaded(root, mask_folder="masks").images.class_names == TWO
    (tmp_path / "empty").mkdir()
    with pytest.raises(TlxError, match="expected images and masks, got none"):
        loaded(tmp_path / "empty")
    for number in range(3):
        save(tmp_path / "b" / f"{number}.png", picture(number))
    with pytest.raises(TlxError, match="expected a mask for each image"):
        loaded(tmp_path / "b")
    with pytest.raises(TlxError, match="at least two values, got 0 everywhere"):
        loaded(tree(tmp_path / "c", "images/{}.png", "masks/{}.png", 5, lambda _: halves(0, 0)))
    with pytest.raises(TlxError, match="expected the value of each of 2 classes, got 3 values: 0, 128, 255"):
        loaded(
            tree(tmp_path / "d", "images/{}.png", "masks/{}.png", 5, lambda _: halves(0, 128, 255, 0)),
            classes=["a", "b"],
        )
    forms = tree(tmp_path / "e", "images/{}.png", "masks/{}.png", 6, lambda n: halves(0, 1 if n % 2 else 255))
    with pytest.raises(TlxError, match="3 masks with 0 and 1, and 3 with 0 and 255"):
        loaded(forms)
    assert loaded(forms, classes={0: "a", 1: "b", 255: "b"}).images.class_names == ["a", "b"]
    assert "255 beside" not in loaded(forms, ignore=[255], on_bad="skip").report(None)
    found = source_of({**node(root), "masks": "labels"}).own_mistakes()
    assert "dataset.mask_folder=labels" in found[0].hint


def test_predicted_masks_are_read_back(tmp_path):
    """Guards against predictions that cannot become labels: overlays taken for masks, classes without their names."""
    from tlx.tasks.segmentation.predictions import MaskPredictions

    paths = [save(tmp_path / "photos" / f"{n}.jpg", picture(n)) for n in range(10)]
    masks = [halves(0, 2, 1, 2) if n else halves(0, 0) for n in range(10)]
    MaskPredictions.of(paths, ["rest", "cell", "nucleus"], masks).save(tmp_path / "predictions")
    for root, keys in ((tmp_path, {}), (tmp_path / "photos", {"mask_folder": str(tmp_path / "predictions")})):
        checked = loaded(root, **keys)
        assert checked.images.class_names == ["rest", "cell", "nucleus"]
        samples = {s.source.name: s.target for split in checked.images.splits.values() for s in split.samples}
        assert all(np.array_equal(samples[f"{n}.jpg"].read(), masks[n]) for n in range(10))


def test_groups_stay_on_one_side(tmp_path):
    """Guards against tiles of one slide in training and test."""
    root = tree(tmp_path, "images/slide{0}_{0}.png", "masks/slide{0}_{0}.png", 1)
    for number in range(12):
        save(root / f"images/slide{number % 6}_{number}.png", picture(number))
        save(root / f"masks/slide{number % 6}_{number}.png", halves(0, 255))
    checked = loaded(root, group_pattern=r"(slide\d+)_")
    groups = [{s.group for s in split.samples} for split in checked.images.splits.values()]
    assert [len(own) for own in groups] == [4, 1, 1]
    assert not groups[0] & groups[1] | groups[0] & groups[2]
    found = source_of({**node(root), "group_pattern": "(plate)"}).own_mistakes()
    assert [one.path for one in found] == ["dataset.group_pattern"]


def test_several_masks_for_each_image(tmp_path):
    """Guards against the field of view of a retina as its vessels, and masks of objects paired by a chance number."""
    for part in ("training", "test"):
        for number in range(5):
            save(tmp_path / f"a/{part}/images/{number}_{part}.tif", picture(number + (part == "test") * 10))
            save(tmp_path / f"a/{part}/1st_manual/{number}_manual1.gif", halves(0, 255))
            save(tmp_path / f"a/{part}/mask/{number}_{part}_mask.gif", halves(255, 255))
    checked = loaded(tmp_path / "a")
    assert sizes(checked) == [4, 1, 5]
    assert {s.target.path.parent.name for s in checked.images.train.samples} == {"1st_manual"}
    assert any("the first observer is read" in note for note in checked.images.notes)
    for number in range(10):
        save(tmp_path / f"b/{number}/images/id{number}.png", picture(number))
        for one in range(3):
            save(tmp_path / f"b/{number}/masks/{number}{one}.png", halves(0, 255))
    with pytest.raises(TlxError, match=r"got 3 for id0.png.*a mask for each object is not read"):
        loaded(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "text", "known"),
    [
        ("classes.txt", "a\nb b\nc\n", ["a", "b b", "c"]),
        ("classes.txt", "# comment\n0 a\n1: b\n2 = c\n", ["a", "b", "c"]),
        ("classes.txt", "0 0 0 a\n0 0 1\tb\n", ["a", "b"]),
        ("class_names.txt", "__ignore__\n_background_\ncell\n", ["_background_", "cell"]),
        ("classes.yaml", "- a\n- b\n", ["a", "b"]),
        ("classes.yaml", "0: a\n128: b\n255: null\n", ["a", "b"]),
        ("classes.yaml", "names: {a: 0, b: 5}\n", ["a", "b"]),
        ("classes.yaml", "a: [0, 0, 0]\nb: [0, 0, 1]\n", ["a", "b"]),
        ("classes.json", '[{"name": "a", "id": 0}, {"name": "b", "id": 3}]', ["a", "b"]),
        ("classes.csv", "value;name\n0;a\n4;b\n7;a\n", ["a", "b"]),
        ("classes.csv", "0,a\n4,b\n", ["a", "b"]),
        ("classes.csv", "name\na\nb\n", ["a", "b"]),
        ("classes.csv", "name,value\na\n", "expected 2 columns in each row, got 1"),
        ("classes.csv", "value,name\n1,a\n1,b\n", "expected each value once, got 1 twice"),
        ("classes.txt", "a\na\n", "expected different names of classes"),
        ("classes.txt", "", "expected names of classes, got none"),
        ("classes.yaml", "a: {b: [", "expected class names"),
        ("classes.yaml", "3", "expected names of classes, or value: name, got '3'"),
        ("classes.yaml", "-1: a\n0: b\n", "expected values from 0 up, got -1"),
        ("classes.yaml", "0: a\n'#ff0000': b\n", "expected numbers, colours or labels, got a mixture"),
        ("classes.csv", "name,r,g,b\na,0,0,999\nb,1,1,1\n", "expected levels of 0 to 255"),
    ],
)
def test_files_of_classes(tmp_path, name, text, known):
    """Guards against a file of classes that is read as something else, or ends in a traceback."""
    save(tmp_path / "images" / "1.png", picture(1))
    save(tmp_path / "masks" / "1.png", halves(0, 1))
    (tmp_path / name).write_text(text)
    source = source_of(node(tmp_path))
    if isinstance(known, list):
        assert source.class_names() == known
        assert source_of({**node(tmp_path), "classes": str(tmp_path / name)}).class_names() == known
        assert source.own_mistakes() == []
    else:
        assert source.class_names() is None
        assert known in str(source.own_mistakes()[0])
        assert name in str(source.own_mistakes()[0])


def test_folders_of_any_name(tmp_path):
    """Guards against folders that only their owner understands."""
    root = tree(tmp_path / "a", "x/{}.png", "y/{}.png", 5)
    for keys in ({}, {"mask_folder": "y"}, {"mask_folder": str(root / "y"), "image_folder": str(root / "x")}):
        checked = loaded(root, **keys)
        assert sizes(checked) == [3, 1, 1]
        assert {s.name for s in checked.images.train.samples} < {f"x/{n}.png" for n in range(5)}
    shutil.move(root / "y", tmp_path / "elsewhere")
    assert sizes(loaded(root, mask_folder=str(tmp_path / "elsewhere"))) == [3, 1, 1]
    with pytest.raises(TlxError, match=r"dataset.mask_folder: expected a folder with images, got 'yy'"):
        loaded(root, mask_folder="yy")
    save(tmp_path / "c" / "x" / "1.png", picture(1))
    save(tmp_path / "c" / "y" / "2.png", picture(2))
    with pytest.raises(TlxError, match=r"dataset.mask_folder=… and dataset.image_folder=…"):
        loaded(tmp_path / "c")
    root = tree(tmp_path / "b", "train/x/{}.png", "train/1st_y/{}.png", 5)
    tree(root, "test/x/{}.png", "test/1st_y/{}.png", 4)
    assert sizes(loaded(root, mask_folder="1st_y", image_folder="x")) == [4, 1, 4]


def test_the_name_of_a_run_follows_the_files_and_not_the_folder(tmp_path):
    """Guards against other masks under the same run, and against another run where a set was moved."""
    root = tree(tmp_path / "a", "images/{}.png", "masks/{}.png", 5)
    first = source_of(node(root)).identity()
    shutil.copytree(root, tmp_path / "b")
    assert source_of(node(tmp_path / "b")).identity() == first
    prints = [[repr(s.target) for s in loaded(tmp_path / one).images.train.samples] for one in "ab"]
    assert prints[0] == prints[1]
    save(root / "masks/3.png", np.random.default_rng(0).integers(0, 2, (SIDE, SIDE), dtype=np.uint8) * 255)
    look_again()
    assert source_of(node(root)).identity() != first
    (tmp_path / "b" / "classes.txt").write_text("a\nb\n")
    assert source_of(node(tmp_path / "b")).identity() != first
    assert source_of(node(tmp_path / "gone")).identity() == {"missing": True}


def test_labels_are_small_and_travel_to_other_processes(tmp_path):
    """Guards against 20,000 masks that take hundreds of megabytes in each reading process."""
    checked = loaded(tree(tmp_path, "images/{}.png", "masks/{}.png", 10))
    targets = [s.target for s in checked.images.train.samples]
    again = pickle.loads(pickle.dumps(targets))
    assert np.array_equal(again[0].read(), targets[0].read())
    assert again == targets
    assert len(pickle.dumps(targets * 1 + [])) / len(targets) < 500


TURNS = range(1, 9)
WIDTH, HEIGHT = 12, 8


def turned(root, turn: int, mask: np.ndarray, pixels: np.ndarray) -> None:
    """Write an image that lies as told, and a mask as it is given."""
    exif = Image.Exif()
    exif[0x0112] = turn
    (root / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / "images" / f"{turn}.png", exif=exif)
    save(root / "masks" / f"{turn}.png", mask)


@pytest.mark.parametrize("drawn", ["raw", "upright"])
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH, WIDTH)])
def test_masks_turn_with_their_images(tmp_path, drawn, size):
    """Guards against masks beside their objects, for each of the 8 orientations."""
    from tlx.data.reading.pixels import read_pixels

    width, height = size
    for turn in TURNS:
        lying = np.random.default_rng(turn).integers(0, 2, (height, width), dtype=np.uint8) * 200
        root = tmp_path
        turned(root, turn, lying, lying)
        shown = read_pixels(root / "images" / f"{turn}.png", 1)
        if drawn == "upright":
            save(root / "masks" / f"{turn}.png", shown)
    checked = loaded(tmp_path, exif=drawn if size == (WIDTH, WIDTH) else None)
    for turn in TURNS:
        shown = read_pixels(tmp_path / "images" / f"{turn}.png", 1)
        if drawn == "upright" and width != height:
            assert np.array_equal(label(checked, f"images/{turn}.png"), shown // 200)
        elif drawn == "raw" or width == height:
            assert np.array_equal(label(checked, f"images/{turn}.png"), shown // 200), turn
    report = checked.report(None)
    assert "one size either way" in report
    assert ("turned with it" in report) == (drawn == "raw" and width != height)


def test_an_upright_mask_of_another_size_is_a_mistake(tmp_path):
    """Guards against a mask of an image that was cropped, taken for one of a turned image."""
    for turn in (1, 6, 8):
        turned(
            tmp_path,
            turn,
            np.zeros((HEIGHT, WIDTH), dtype=np.uint8),
            np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8) + turn,
        )
    save(tmp_path / "masks" / "1.png", np.zeros((WIDTH, HEIGHT), dtype=np.uint8))
    with pytest.raises(
        TlxError, match=r"1.png: mask masks/1.png: expected 12 x 8 pixels, as its image has, got 8 x 12"
    ):
        loaded(tmp_path, classes=["a", "b"])


def test_white_blood_cells(test_data):
    """Guards against a real set that is not understood: masks beside images, three grays, five masks with strays."""
    first = loaded(test_data("wbc_seg") / "Dataset 1")
    assert sizes(first) == [180, 60, 60]
    assert first.images.class_names == ["class 0", "class 128", "class 255"]
    assert (
        sum(MASKS.class_ids(s.target) == (0, 1, 2) for split in first.images.splits.values() for s in split.samples)
        == 300
    )
    second = loaded(test_data("wbc_seg") / "Dataset 2", classes={0: "background", 128: "cytoplasm", 255: "nucleus"})
    assert "ignored pixels in 5 masks: 034.png (25, 7, 44, 2, 42 and 1 more: 97 pixels)" in second.report(None)
    assert np.count_nonzero(label(second, "034.bmp") == IGNORED) == 97


def test_masks_with_the_whole_name_of_an_image_are_its_alone(tmp_path):
    """Guards against two images of one stem whose predicted masks cannot be read back."""
    for number in range(10):
        save(tmp_path / f"images/{number}.png", picture(number))
        save(tmp_path / f"masks/{number}.png", halves(0, 1))
    save(tmp_path / "images/x.png", picture(20))
    save(tmp_path / "images/x.bmp", picture(21))
    for name in ("x.png", "x.bmp"):
        save(tmp_path / f"masks/{name}.png", halves(0, 1))
    listed = [ListedFile(path, "images", "image", None, ()) for path in sorted((tmp_path / "images").iterdir())]
    of_masks = [ListedFile(path, "masks", "mask", None, ()) for path in sorted((tmp_path / "masks").iterdir())]
    pairs, orphans = paired(listed, of_masks)
    assert not orphans
    assert {p.image.name: [m.name for m in p.masks] for p in pairs if p.image.stem == "x"} == {
        "x.bmp": ["x.bmp.png"], "x.png": ["x.png.png"],
    }  # fmt: skip
