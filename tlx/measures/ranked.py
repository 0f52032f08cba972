"""The area under the ROC curve of a class in many resamples of the images, which are ranked once for all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RankedClass:
    """The images ranked by their scores for a class, for any number of resamples.

    Args:
        order: Indices of the images (N,), the lowest score first.
        positive: Positions of the images of the class in this order (P,).
        below: For each of these, the number of images with a lower score (P,).
        upto: For each of these, the number of images with a lower or equal score (P,).
    """

    order: np.ndarray
    positive: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, positive: np.ndarray) -> RankedClass:
        """Rank scores (N,); `positive` (N,) marks the images of the class."""
        order = np.argsort(scores, kind="stable")
        ranked, places = scores[order], np.flatnonzero(positive[order])
        own = ranked[places]
        return cls(order, places, np.searchsorted(ranked, own, "left"), np.searchsorted(ranked, own, "right"))


def auroc(ranked: RankedClass, drawn: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve in each resample (B,), float64; NaN without images of the class or of others.

    It is the fraction of pairs of an image of the class and an image of another class in which the first has the higher
    score; ties count half (the statistic of Mann and Whitney). All numbers are integers until the final division.

    Args:
        ranked: The class.
        drawn: Count of each image in each resample (B, N), integers.
    """
    sorted_ = drawn[:, ranked.order]
    own = sorted_[:, ranked.positive]
    sorted_[:, ranked.positive] = 0
    others = np.zeros((len(drawn), drawn.shape[1] + 1), dtype=np.int64)  # images of other classes among the first i
    np.cumsum(sorted_, axis=1, out=others[:, 1:])
    won = (own * (others[:, ranked.below] + others[:, ranked.upto])).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: np.ndarray = won / (2 * own.sum(axis=1) * others[:, -1])
    return area
