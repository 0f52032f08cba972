"""What the layers above the backbone can be as wide as. Nothing here imports torch."""

from __future__ import annotations

from typing import NamedTuple


class Width(NamedTuple):
    """Channels of the pyramid and the head, and convolutions of each branch of the head."""

    channels: int
    convs: int


GROUPS = 32  # of GroupNorm: the channels of a pyramid are a multiple of it, not itself: it would norm single locations
RETINANET_CONVS = 4  # convolutions in both branches of torchvision's head, which has no argument for them
# From narrow to wide; the last one is torchvision's.
WIDTHS = (Width(96, 2), Width(128, 2), Width(128, 4), Width(192, 4), Width(256, 4))
