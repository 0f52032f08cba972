"""How the images of a set with boxes are resized: sizes come from the facts of its files, boxes from its labels."""

from __future__ import annotations

from tlx.data.augmentation.canvas import Canvas, Size, box_sides, choose_canvas
from tlx.data.checked import CheckedSet
from tlx.data.splits.tiles import image_sizes


def canvas_of(checked: CheckedSet, size: Size | None = None) -> Canvas:
    """Choose the canvas of a set, from the training images and the keys of the dataset node.

    Args:
        checked: A set whose labels are boxes.
        size: Height and width of the canvas, if the user or the network sets them.
    """
    sizes, boxes = _measured(checked)
    return choose_canvas(sizes, boxes, size, checked.node.get("min_side"), checked.node.get("max_side"))


def resized_boxes(checked: CheckedSet, sides: tuple[int, int]) -> list[tuple[float, float]]:
    """Return the width and height in pixels of the boxes of resized training images, without ignored ones."""
    return box_sides(*_measured(checked), sides)


def _measured(checked: CheckedSet) -> tuple[list[Size], list[list[tuple[float, float]]]]:
    """Return the height and width of each training image, and the width and height of its boxes, in pixels."""
    train = checked.splits["train"]
    return image_sizes(train, checked.by_file), [sample.target.sides() for sample in train.samples]
