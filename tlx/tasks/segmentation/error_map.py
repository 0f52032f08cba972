"""Where a segmentation is wrong, and how."""

from __future__ import annotations

import numpy as np

from tlx.data.ignored import IGNORED
from tlx.tasks.segmentation.colours import IGNORED_COLOUR

MISSED, INVENTED, CONFUSED = (213, 94, 0), (0, 114, 178), (204, 121, 167)  # of Okabe and Ito: for all eyes
MEANING = {MISSED: "missed", INVENTED: "invented", CONFUSED: "another class"}


def error_map(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, background: int | None) -> np.ndarray:
    """Return a pale gray image, uint8 (H, W, 3), in which wrong pixels have the colour of their error.

    `MISSED`: the background was predicted; `INVENTED`: the truth is the background; `CONFUSED`: any other error.

    Args:
        image: uint8 (H, W, 3).
        truth: True classes (H, W), uint8; ignored pixels are white.
        predicted: Predicted classes (H, W), uint8.
        background: Index of the background; None: there is none.
    """
    gray = (image.mean(axis=2, keepdims=True) * 0.5 + 110).astype(np.uint8)
    shown: np.ndarray = gray.repeat(3, axis=2)
    wrong = truth != predicted
    shown[wrong] = CONFUSED
    if background is not None:
        shown[wrong & (predicted == background)] = MISSED
        shown[wrong & (truth == background)] = INVENTED
    shown[truth == IGNORED] = IGNORED_COLOUR
    return shown
