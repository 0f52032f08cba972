"""The score of each class from which a detection is shown and counted: the one with the best F1 on validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tlx.tasks.detection.average_precision import RankedClass

WITHOUT_OBJECTS = 0.5  # where no class has a right detection


def best_scores(ranked: Sequence[RankedClass]) -> np.ndarray:
    """Return for each class the score with the best F1 at the first IoU threshold (K,), float32.

    Of several, the highest. It lies half-way between the last detection that it keeps and the first that it leaves out:
    objects of other images score a little lower than those that it was chosen on. A class without a right detection
    gets the mean of the others.
    """
    found = np.array([_best_score(one) for one in ranked], dtype=np.float32)
    known = ~np.isnan(found)
    found[~known] = found[known].mean() if known.any() else WITHOUT_OBJECTS
    return found


def _best_score(ranked: RankedClass) -> float:
    if not len(ranked.hits[0]):
        return np.nan
    right, called = np.zeros(len(ranked.score)), np.ones(len(ranked.score))
    right[ranked.hits[0]] = 1
    called[ranked.ignored[0]] = 0
    f1 = 2 * np.cumsum(right) / (np.cumsum(called) + ranked.objects.sum())
    f1[:-1][ranked.score[1:] == ranked.score[:-1]] = 0  # equal scores are on one side of any threshold
    last = int(f1.argmax())
    beyond = ranked.score[last + 1] if last + 1 < len(ranked.score) else 0.0
    return float(ranked.score[last] + beyond) / 2
