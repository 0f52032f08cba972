"""Where tiles lie along a side of an image. Only the standard library."""

from __future__ import annotations

import math


def tile_offsets(side: int, tile: int, overlap: float = 0.0) -> list[int]:
    """Return where the fewest tiles begin that cover a side evenly; the first begins at 0, the last ends at its end.

    Args:
        side: Length of the side in pixels, at least that of a tile.
        tile: Length of a tile in pixels.
        overlap: Smallest overlap of neighbouring tiles, as a fraction of a tile, in [0, 1).
    """
    step = max(1.0, tile * (1 - overlap))
    count = math.ceil((side - tile) / step) + 1
    return [round(k * (side - tile) / max(count - 1, 1)) for k in range(count)]
