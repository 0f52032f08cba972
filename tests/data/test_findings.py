"""The rules by which a set is called odd, on labels, content and sizes by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlx.base.printable import enumerated
from tlx.data.findings import class_findings, content_findings, copy_findings, depth_findings, size_findings
from tlx.data.splits.samples import ImageSet, Sample, Split


def image_set(train: str, val: str = "ab", test: str = "ab", classes: str = "ab") -> ImageSet:
    """A letter an image: its class."""

    def split(part: str, letters: str) -> Split:
        return Split([Sample(i, classes.index(letter), f"{part}{i}") for i, letter in enumerate(letters)])

    parts = {"train": split("train", train), "val": split("val", val), "test": split("test", test)}
    return ImageSet("set", list(classes), **parts, rule="by hand")


def test_nothing_odd():
    """Guards against warnings about every set, which nobody reads any more."""
    images = image_set("aaabb")
    keys = {part: [f"{part}{i}".encode() for i in range(len(split))] for part, split in images.splits.items()}
    assert [*class_findings(images), *content_findings(images, keys), *size_findings(["x"], [112], 224)] == []


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (image_set("aa", "a", "a", classes="a"), "the only class is 'a': there is nothing to classify"),
        (image_set("ab", val="a"), "val has no images of 1 class: b"),
        (image_set("aab", test="c", classes="abc"), "test has no images of 2 classes: a, b"),
        (image_set("ab", test=""), "test has no images"),
        (image_set("a" * 9 + "b" * 2), "class 'a' dominates: 9 of 11 training images, the median class has 6"),
        (
            image_set("c" * 110 + "abdef" * 10, *["abcdef"] * 2, classes="abcdef"),
            "class 'c' dominates: 110 of 160 training images, the median class has 10",
        ),
    ],
)
def test_classes(images, expected):
    """Guards against an accuracy that says nothing: a class that is absent, or one that is nearly all there is."""
    assert expected in list(class_findings(images))


@pytest.mark.parametrize("images", [image_set("a" * 8 + "b" * 2), image_set("c" * 100 + "abde" * 10, classes="abcde")])
def test_just_below_the_rule(images):
    """Guards against rules other than those that are written down: above 80 %, above ten times the median."""
    assert not [line for line in class_findings(images) if "dominates" in line]


def test_content():
    """Guards against copies across splits, and copies with other labels, going unseen."""
    images = image_set("aab", "ab", "abb")
    keys = {"train": [b"1", b"2", b"1"], "val": [b"2", b"3"], "test": [b"1", b"3", b"3"]}
    assert list(content_findings(images, keys)) == [
        "1 of 2 val images are also in train: val0 is train1",
        "1 of 3 test images are also in train: test0 is train0",
        "2 of 3 test images are also in val: test1 is val1, …",
        "1 training image is identical to one of another class: train0 (a) is train2 (b)",
    ]


@pytest.mark.parametrize("part", ["val", "test"])
def test_labels_that_contradict_one_another_in_a_held_out_split(part):
    """Guards against a figure that no network can reach: carving keeps copies together, so mostly in one split."""
    images = image_set("aab")
    keys = {name: [f"{name}{i}".encode() for i in range(len(split))] for name, split in images.splits.items()}
    keys[part] = [b"same", b"same"]
    told = f"1 {part} image is identical to one of another class: {part}0 (a) is {part}1 (b)"
    assert list(content_findings(images, keys)) == [told]


def test_sizes():
    """Guards against pictures that are enlarged to blurs without a word; the rule is half of the input's side."""
    (line,) = size_findings(["a", "b", "c"], [111, 112, 20], 224)
    assert line == (
        "2 of 3 images are far smaller than the input of 224 pixels (shorter side under 112): the smallest has 20, c"
    )


@pytest.mark.parametrize(
    ("peaks", "expected"),
    [
        ([], []),
        ([65535, 200], []),
        ([8191, 200], []),
        ([4095, 200], ["2 images have more than 8 bits but no value above 4,095 of 65,535, so they appear nearly "
                       "black; dataset.window=[2048,4096] shows 0 to 4,096"]),
        ([4096], ["1 image has more than 8 bits but no value above 4,096 of 65,535, so they appear nearly black; "
                  "dataset.window=[4096,8192] shows 0 to 8,192"]),
    ],
)  # fmt: skip
def test_depths(peaks, expected):
    """Guards against scans of 12 bits trained on as black pictures; a single dark one among others is none."""
    assert list(depth_findings(peaks)) == expected


def test_long_lists_are_cut():
    """Guards against a thousand class names in one line."""
    assert enumerated(["a"] * 10) == ", ".join("a" * 10)
    assert enumerated(["a"] * 12) == ", ".join("a" * 10) + " and 2 more"


def test_copies_in_a_split_are_named():
    """Guards against copies that count as images of their own without a word; sets in memory have no files."""

    def images(*sources) -> ImageSet:
        samples = [Sample(source, i // 3, f"{i}.png") for i, source in enumerate(sources)]
        return ImageSet("t", ["a", "b"], Split(samples), Split([]), Split([]), "")

    keys = {"train": [b"x", b"x", b"y", b"x", b"y"], "val": [], "test": []}
    files = images(*(Path(f"{i}.png") for i in range(5)))
    assert list(copy_findings(files, keys)) == ["1 image is a copy of another in the same split: 1.png is 0.png"]
    assert list(copy_findings(images(*range(5)), keys)) == []
