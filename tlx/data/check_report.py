"""What `tlx check` prints for a set, with the parts that depend on the kind of its labels."""

from __future__ import annotations

from tlx.backbones.preprocessing import sides
from tlx.data.augmentation.canvas import Canvas
from tlx.data.box_labels import BoxLabels
from tlx.data.box_report import box_lines
from tlx.data.checked import CheckedSet
from tlx.data.resized import canvas_of

SHOTS_AT_MOST = 2_000  # pictures that `tlx check` compares by a network unless it is asked to compare all


def check_report(checked: CheckedSet, side: int | None, only_this: bool) -> str:
    """Return the report of `tlx check`.

    Args:
        checked: The set.
        side: Side of the backbone's own input in pixels; None: not known before it is built.
        only_this: Whether the backbone takes no other size.
    """
    canvas = _canvas(checked, side, only_this)
    return checked.report(input_side_of(checked, side, only_this), box_lines(checked, canvas) if canvas else ())


def input_side_of(checked: CheckedSet, side: int | None, only_this: bool) -> int | None:
    """Return the shorter side of the input in pixels; None: not known. The arguments are those of `check_report`."""
    canvas = _canvas(checked, side, only_this)
    if canvas is not None:
        return canvas.sides[0]
    given = checked.node.get("image_size") or side
    return None if given is None else min(sides(given))


def _canvas(checked: CheckedSet, side: int | None, only_this: bool) -> Canvas | None:
    """Return the canvas of images with boxes; None: other labels."""
    if not _has_boxes(checked):
        return None
    given = checked.node.get("image_size") or (side if only_this else None)
    return canvas_of(checked, None if given is None else sides(given))


def _has_boxes(checked: CheckedSet) -> bool:
    return isinstance(checked.images.labels, BoxLabels)
