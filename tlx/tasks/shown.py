"""Images as a review shows them."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tlx.data.reading.images import to_channels


def showable(image: Tensor) -> np.ndarray:
    """Return a uint8 image (C, H, W) as RGB (H, W, 3), without alpha and channels beyond the third."""
    channels = image.shape[0]
    colours = image[:1] if channels < 3 else image[:3]
    return to_channels(colours, 3).permute(1, 2, 0).numpy()
