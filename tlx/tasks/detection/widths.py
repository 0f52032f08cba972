"""What the layers above the backbone can be as wide as. Nothing here imports torch."""

from __future__ import annotations

GROUPS = 32  # of GroupNorm: the channels of a pyramid are a multiple of it, not itself: it would norm single locations
RETINANET_CONVS = 4  # convolutions in both branches of torchvision's head, which has no argument for them
# Channels and convolutions of the head, from narrow to wide; the last ones are torchvision's.
WIDTHS = ((96, 2), (128, 2), (128, 4), (192, 4), (256, 4))
