"""`dataset.batch_size=auto`: smaller batches for small sets, so that an epoch has more steps. Pure, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlx.records.settled import AUTO

SMALLER = ((100, 8), (400, 16))  # with fewer training images than the first number, batches of the second
LARGEST = 32  # images of a batch of larger sets, and of every set where nothing trains
CROPS = 8  # of sets that are trained on in crops, whose labels are many


def automatic(images: int, processes: int = 1) -> int:
    """Return the batch size for a number of training images, a multiple of the number of processes.

    Each process gets two images at least, because BatchNorm cannot train on one.

    Examples:
        >>> from tlx.data.batch_size import automatic
        >>> [automatic(images) for images in (60, 100, 399, 400)], automatic(60, processes=3)
        ([8, 16, 16, 32], 9)
    """
    wanted = next((size for below, size in SMALLER if images < below), LARGEST)
    return processes * max(2 if processes > 1 else 1, -(-wanted // processes))


def batch_size_of(node: Mapping[str, Any], images: int, in_parts: bool, processes: int = 1) -> int:
    """Return the training images of a step of all processes together.

    Args:
        node: The dataset node.
        images: Number of training images.
        in_parts: Whether crops of them are trained on.
        processes: Number of processes.
    """
    typed = node.get("batch_size", AUTO)
    if typed != AUTO:
        return int(typed)
    return processes * -(-CROPS // processes) if in_parts else automatic(images, processes)


def reason(node: Mapping[str, Any], images: int, in_parts: bool) -> str:
    """Return why a batch has its size, a few words; '' if a number is typed."""
    if node.get("batch_size", AUTO) != AUTO:
        return ""
    if in_parts:
        return "of crops"
    below = next((below for below, _ in SMALLER if images < below), None)
    return f"{SMALLER[-1][0]} training images or more" if below is None else f"fewer than {below} training images"
