"""How the images of a set with boxes are framed: sizes come from the facts of its files, boxes from its labels."""

from __future__ import annotations

from tlx.data.augmentation.framing import Framing, Size, box_sides, choose_framing
from tlx.data.checked import CheckedSet
from tlx.data.splits.tiles import image_sizes


def framing_of(checked: CheckedSet, canvas: Size | None = None) -> Framing:
    """Choose how images are framed, from the training images and the keys of the dataset node.

    Args:
        checked: A set whose labels are boxes.
        canvas: Height and width of the canvas, if the user or the network sets them.
    """
    sizes, boxes = _measured(checked)
    return choose_framing(sizes, boxes, canvas, checked.node.get("min_side"), checked.node.get("max_side"))


def resized_boxes(checked: CheckedSet, sides: tuple[int, int]) -> list[tuple[float, float]]:
    """Return the width and height in pixels of the boxes of resized training images, without ignored ones."""
    return box_sides(*_measured(checked), sides)


def _measured(checked: CheckedSet) -> tuple[list[Size], list[list[tuple[float, float]]]]:
    """Return the height and width of each training image, and the width and height of its boxes, in pixels."""
    train = checked.splits["train"]
    return image_sizes(train, checked.by_file), [sample.target.sides() for sample in train.samples]
