"""What `tlx check` prints and draws for a set, with the parts that depend on the kind of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlx.backbones.preprocessing import sides
from tlx.data.box_labels import BoxLabels
from tlx.data.box_report import box_lines
from tlx.data.catalog import labels_of
from tlx.data.checked import CheckedSet
from tlx.data.resized import canvas_of


def check_report(checked: CheckedSet, side: int | None, only_this: bool) -> str:
    """Return the report of `tlx check`.

    Args:
        checked: The set.
        side: Side of the backbone's own input in pixels; None: not known before it is built.
        only_this: Whether the backbone takes no other size.
    """
    given = checked.node.get("image_size") or (side if only_this or not _has_boxes(checked) else None)
    size = None if given is None else sides(given)
    if not _has_boxes(checked):
        return checked.report(None if size is None else min(size))
    canvas = canvas_of(checked, size)
    return checked.report(canvas.sides[0], box_lines(checked, canvas))


def refuse_pictures(node: Mapping[str, Any], path: str) -> None:
    """Refuse a page of samples that cannot be drawn or written, before files are opened.

    Raises:
        TlxError: The labels are not boxes, or nothing can be written there.
    """
    from tlx.data.sample_page import no_boxes, refuse_picture

    labels = labels_of(node)
    if labels not in (None, BoxLabels.name):
        raise no_boxes(labels)
    refuse_picture(Path(path).expanduser())


def write_pictures(checked: CheckedSet, path: str) -> int:
    """Write a page of samples with their boxes; return the number of images.

    Raises:
        TlxError: The labels are not boxes, or it cannot be written there.
    """
    from tlx.data.sample_page import write_sample_page

    return write_sample_page(checked, Path(path).expanduser())


def _has_boxes(checked: CheckedSet) -> bool:
    return isinstance(checked.images.labels, BoxLabels)
