"""Boxes as annotations write them: what is repaired, what is refused, and which boxes turn with their image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tlx.data.reading.facts import Facts
from tlx.data.reading.mask_values import upright
from tlx.data.sources.box_repairs import WrittenBoxes, repaired, upright_box
from tlx.data.sources.turns import Sizes, turns


def image(width: int = 100, height: int = 80, turn: int = 1) -> Facts:
    return Facts("00", None, width, height, decoded=True, turn=turn)


def one(box, size=(100, 80), facts=None, **how):
    """Return the label of an image with one box, and the remarks."""
    labels, told = repaired([facts or image()], [WrittenBoxes((box,), (0,), size=size, **how)], ["a.jpg"])
    return labels[0], told


@pytest.mark.parametrize(
    ("written", "expected", "remark"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40), None),
        ((30, 40, 10, 20), (10, 20, 30, 40), "edges in the wrong order are swapped: 1 box in 1 image: a.jpg"),
        ((-20, 10, 60, 40), (0, 10, 60, 40), "cut off at the edges of the image: 1 box in 1 image: a.jpg"),
        ((0, 0, 101, 81), (0, 0, 100, 80), None),
        ((10, 20, 10, 40), None, "left out, boxes without an area: 1 box in 1 image: a.jpg"),
        ((100.5, 20, 101, 40), None, "left out, boxes without an area: 1 box in 1 image: a.jpg"),
    ],
)
def test_what_means_only_one_thing_is_repaired(written, expected, remark):
    """Guards against boxes outside the image in a loss, and against a set that stops for a stray click."""
    label, told = one(written)
    assert label.problem is None
    assert label.boxes() == ([] if expected is None else [expected])
    assert told == ([] if remark is None else [remark])


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ((-60, 10, 40, 40), "a box lies outside the image of 100 x 80 pixels: left -60, top 10, right 40, bottom 40"),
        ((500, 10, 540, 40), "a box lies outside the image of 100 x 80 pixels"),
        ((500, 10, 500, 40), "a box lies outside"),
        ((10, 10, math.nan, 40), "a box has an edge that is no number"),
        ((10, 10, math.inf, 40), "a box has an edge that is no number"),
    ],
)
def test_what_may_mean_several_things_is_named(written, problem):
    """Guards against boxes of another image, or of another resolution, that are cut to something."""
    label, _ = one(written)
    assert problem in (label.problem or "")
    assert not len(label)


def test_the_same_object_twice_counts_once():
    """Guards against doubled objects, one of which can only be missed; and against merged classes or neighbours."""
    box, near = (10.0, 10.0, 30.0, 30.0), (10.0, 10.0, 31.0, 30.0)
    written = WrittenBoxes((box, box, box, near, near), (0, 0, 1, 0, 0), (True, False, True, True, True), (100, 80))
    labels, told = repaired([image()], [written], ["a.jpg"])
    assert labels[0].boxes() == [box, box, near]
    assert list(labels[0].classes) == [0, 1, 0]
    assert labels[0].ignored == bytes([0, 1, 1])
    assert told == ["counted once, the same object twice: 2 boxes in 1 image: a.jpg"]


@pytest.mark.parametrize(
    ("size", "box", "problem"),
    [
        ((0, 0), (10, 10, 90, 70), None),
        ((100, 0), (10, 10, 90, 70), None),
        ((50, 40), (10, 10, 90, 70), None),  # the box exceeds the size, so that this is wrong
        ((50, 40), (10, 10, 40, 30), "expected annotations of 100 x 80 pixels, as the image has, got 50 x 40"),
        ((200, 160), (10, 10, 190, 150), "expected annotations of 100 x 80 pixels, as the image has, got 200 x 160"),
        ((80, 100), (10, 10, 70, 90), "expected annotations of 100 x 80 pixels, as the image has, got 80 x 100"),
    ],
)
def test_sizes_that_are_not_the_images(size, box, problem):
    """Guards against boxes of a resized image that are taken as they are, and a stop for a size of 0 x 0 pixels."""
    label, told = one(box, size)
    assert label.problem == problem
    assert label.boxes() == ([] if problem else [box])
    assert bool(told) == (size == (50, 40) and problem is None)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_box_turns_like_pixels(turn):
    """Guards against boxes that turn otherwise than their image, for any EXIF orientation."""
    pixels = np.zeros((8, 10), dtype=np.uint8)
    pixels[1:4, 2:7] = 1
    rows, columns = upright(pixels, turn).nonzero()
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert upright_box((2, 1, 7, 4), (10, 8), turn) == expected


def test_boxes_turn_only_where_they_were_drawn_on_the_stored_image():
    """Guards against boxes beside their objects in photographs of a phone."""
    box, turned = (10.0, 20.0, 30.0, 60.0), (20.0, 10.0, 60.0, 30.0)  # for turn 5, which swaps x and y
    facts = image(turn=5)  # stored 100 x 80, shown 80 x 100
    assert one(box, (100, 80), facts)[0].boxes() == [turned]
    assert one(box, (80, 100), facts)[0].boxes() == [box]
    assert one((10, 20, 98, 60), (0, 0), facts)[0].boxes() == [(20, 10, 60, 98)]  # beyond the shown image
    assert one((10, 20, 30, 98), (0, 0), facts)[0].boxes() == [(10, 20, 30, 98)]
    assert one(box, (0, 0), facts)[0].boxes() == [box]
    told = one(box, (0, 0), facts)[1]
    assert "has no size in the annotations: boxes are taken as the image is shown (dataset.exif=raw" in told[0]
    both = [WrittenBoxes((box,), (0,)), WrittenBoxes((box,), (0,), size=(100, 80))]
    labels, _ = repaired([facts, facts], both, ["a", "b"])  # the size of the second says how the first lay
    assert [label.boxes() for label in labels] == [[turned], [turned]]
    labels, _ = repaired([facts], both[:1], ["a"], "raw")
    assert labels[0].boxes() == [turned]


def test_fractions_are_of_the_frame_that_was_annotated():
    """Guards against fractions of the height that are taken of the width."""
    box = (0.1, 0.25, 0.3, 0.75)
    assert one(box, relative=True)[0].boxes() == [pytest.approx((10, 20, 30, 60))]
    facts = image(turn=5)
    assert one(box, relative=True, facts=facts)[0].boxes() == [pytest.approx((8, 25, 24, 75))]
    labels, _ = repaired([facts], [WrittenBoxes((box,), (0,), relative=True)], ["a"], "raw")
    assert labels[0].boxes() == [pytest.approx((20, 10, 60, 30))]
    assert "outside" in (one((10, 20, 30, 60), relative=True)[0].problem or "")


def test_a_problem_of_the_annotation_stays():
    """Guards against a broken annotation that becomes an image without objects."""
    labels, told = repaired([image()], [WrittenBoxes(problem="it has no annotation")], ["a.jpg"])
    assert labels[0].problem == "it has no annotation"
    assert not told


def test_corners_decide_only_where_one_frame_holds_them():
    """Guards against a frame that is chosen although both hold the corners."""
    size = Sizes((100, 80), 6, (0, 0))
    assert size.frame == "either"
    assert size.by_corners([(50, 50)]) is size
    assert size.by_corners([(99, 50)]).drawn == (100, 80)
    assert size.by_corners([(50, 99)]).drawn == size.by_corners([(500, 99)]).drawn == (80, 100)
    assert turns([size], None)[0] == [1]
