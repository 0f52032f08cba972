"""The canvas and the scale of images with boxes, chosen from sizes and boxes alone."""

from __future__ import annotations

import math
import time

import pytest

from tlx.data.augmentation.canvas import COST, MULTIPLE, box_sides, choose_canvas, is_whole, resized

LANDSCAPE, PORTRAIT = (480, 640), (640, 480)


def chosen(size, box, count=40, **how):
    """Choose the canvas of `count` images of one size, each with five boxes of one size."""
    return choose_canvas([size] * count, [[box] * 5] * count, **how)


@pytest.mark.parametrize(
    ("size", "box", "sides", "canvas"),
    [
        (LANDSCAPE, (100, 120), (256, 352), (256, 352)),  # large boxes: no more than 256 pixels
        (LANDSCAPE, (40, 18), (320, 448), (320, 448)),  # 18 of 480 pixels become 12
        (PORTRAIT, (40, 18), (320, 448), (448, 320)),
        ((1080, 1920), (80, 26), (384, 704), (384, 704)),  # 9 pixels at the limit of cost: bearable
        ((100, 100), (20, 20), (192, 192), (192, 192)),  # enlarged at most twice
        ((20, 30), (9, 9), (32, 64), (32, 64)),
        ((300, 1500), (100, 100), (224, 1120), (224, 1120)),
    ],
)
def test_whole_images(size, box, sides, canvas):
    """Guards against boxes of a few pixels, and against images that are larger than their boxes need."""
    found = chosen(size, box)
    assert (found.sides, found.size, found.whole) == (sides, canvas, None)
    inside = resized(size, found.sides)
    assert inside[0] <= canvas[0]
    assert inside[1] <= canvas[1]
    assert math.prod(canvas) <= 1.1 * COST
    assert not any(side % MULTIPLE for side in canvas)


def test_small_boxes_in_large_images_are_worked_on_in_tiles():
    """Guards against aerial images that are reduced until their objects vanish."""
    found = chosen((3000, 4000), (20, 30))
    assert found.sides == (1800, 2400)
    assert found.size == (512, 512)
    assert found.small == pytest.approx(12)
    assert found.whole < 8
    assert not is_whole(resized((3000, 4000), found.sides), found.size)
    assert chosen((3000, 4000), (20, 30), canvas=(320, 640)).size == (320, 640)
    assert "in tiles of 512 x 512" in found.describe()[1]


def test_both_orientations_have_a_square_canvas_and_a_stray_one_does_not_change_it():
    """Guards against portraits that are cut, and against one portrait that makes each step cost a third more."""
    boxes = [[(100, 100)]] * 100
    mixed = choose_canvas([LANDSCAPE] * 60 + [PORTRAIT] * 40, boxes)
    assert mixed.size == (352, 352)
    stray = choose_canvas([LANDSCAPE] * 98 + [PORTRAIT, (300, 3000)], boxes)
    assert stray.size == (256, 352)
    assert stray.sides == (256, 352)
    assert resized((300, 3000), stray.sides) == (35, 352)


def test_sizes_that_the_user_sets():
    """Guards against keys that change nothing, or less than they say."""
    assert chosen(LANDSCAPE, (100, 100), min_side=800, max_side=1333).sides == (800, 1333)
    assert chosen(LANDSCAPE, (100, 100), min_side=800, max_side=1333).size == (800, 1088)
    assert chosen(LANDSCAPE, (100, 100), max_side=200).sides == (200, 200)
    assert chosen(LANDSCAPE, (100, 100), max_side=200).size == (160, 224)
    assert chosen((160, 192), (60, 60), canvas=(160, 192)).sides == (160, 192)
    square = chosen(LANDSCAPE, (100, 100), canvas=(224, 224))
    assert (square.sides, square.size) == ((168, 224), (224, 224))
    tiles = chosen(LANDSCAPE, (100, 100), canvas=(224, 224), min_side=480)
    assert (tiles.sides, tiles.size) == ((480, 640), (224, 224))
    assert tiles.whole is not None


def test_few_or_no_boxes():
    """Guards against a set without an object, or without an image, that ends in a division by zero."""
    none = choose_canvas([LANDSCAPE] * 3, [[]] * 3)
    assert (none.size, none.small) == ((256, 352), None)
    assert "there are no boxes" in none.describe()[0]
    assert choose_canvas([], []).size == (256, 256)
    assert choose_canvas([(1, 1)], [[(1, 1)]]).size == (32, 32)
    assert choose_canvas([LANDSCAPE] * 9, [[(40, 18)], *[[]] * 8]).sides == (320, 448)


def test_the_order_of_images_does_not_matter():
    """Guards against a canvas that depends on how files are listed: seeds and machines would differ."""
    sizes = [(400 + 7 * i, 300 + 11 * (i % 13)) for i in range(50)]
    boxes = [[(10 + i, 60 - i)] for i in range(50)]
    assert choose_canvas(sizes, boxes) == choose_canvas(sizes[::-1], boxes[::-1])


def test_many_images_take_no_time():
    """Guards against a choice that opens files or compares all boxes with one another."""
    start = time.process_time()
    choose_canvas([(480 + i % 50, 640) for i in range(20_000)], [[(50, 60 + i % 9)] * 5 for i in range(20_000)])
    assert time.process_time() - start < 2


def test_sides_of_resized_boxes():
    """Guards against levels of a pyramid that are chosen for boxes of another scale."""
    assert box_sides([(480, 640), (100, 400)], [[(64, 48)], [(10, 20)]], (240, 320)) == [(32, 24), (8, 16)]
