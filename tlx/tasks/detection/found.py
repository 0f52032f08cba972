"""Detections of a batch: rows (B, D, 6) of left, top, right, bottom in pixels, class and score, highest score first.

The first five columns mean the same as those of `tlx.data.box_labels`; a row of class -1 and score 0 is empty.
"""

from __future__ import annotations

from torch import Tensor

from tlx.data.box_labels import CLASS

SCORE = 5  # column; where the truth has IGNORE
LEAST_SCORE = 0.01  # detections with a lower score count in no metric


def counted(found: Tensor) -> Tensor:
    """Return which rows of detections (…, 6) are not empty and count in metrics (…), bool."""
    kept: Tensor = (found[..., CLASS] >= 0) & (found[..., SCORE] >= LEAST_SCORE)
    return kept
