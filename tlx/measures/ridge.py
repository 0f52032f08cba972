"""Ridge regression on class indicators, with closed-form predictions for images that are left out.

A linear smoother with the hat matrix H predicts an image that is left out with the residual e_i / (1 - H_ii) (Allen,
The relationship between variable selection and data augmentation, Technometrics 16, 1974; Golub, Heath and Wahba,
Technometrics 21, 1979). Images that are left out together, G, have the residuals (I - H_GG)^-1 e_G. Both are exact, and
one eigendecomposition gives H for all penalties.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
PENALTIES = tuple(np.logspace(-4, 2, 9))  # times the number of images; features have a variance of 1
_AT_ONCE = 2_000_000  # numbers of the rows of units that are solved together


class RidgeProbe:
    """One ridge regression with an intercept for each class, on targets 1 (of the class) and -1.

    Features are standardised with the mean and the standard deviation of these images.

    Args:
        features: (N, D).
        labels: (N,), classes from 0 to K - 1.
        classes: K.
        unit_of: The unit of each image (N,), from 0: images of one unit, such as a patient, are left out together.
        balanced: Whether every class has the same weight, however many images it has.
    """

    def __init__(
        self, features: Numbers, labels: Integers, classes: int, unit_of: Integers, balanced: bool = False
    ) -> None:
        weights = np.ones(len(labels))
        if balanced:
            weights = 1 / np.bincount(labels, minlength=classes)[labels]
        weights = weights * (len(labels) / weights.sum())
        self._root = np.sqrt(weights)
        scale = features.std(axis=0)
        self._scale = np.where(scale > 1e-12 * max(1.0, float(scale.max(initial=0))), scale, np.inf)
        self._centre = weights @ features / len(labels)
        self._targets = np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)
        self._means = weights @ self._targets / len(labels)
        design = (features - self._centre) / self._scale * self._root[:, None]
        self._values, self._rotated, self._axes = _decomposed(design)
        self._right = (self._targets - self._means) * self._root[:, None]
        self._projected = self._rotated.T @ self._right
        self._groups = [*_by_size(unit_of)]
        weight_of = np.bincount(unit_of, weights)[unit_of, None]
        own = np.zeros((unit_of.max() + 1, classes))
        np.add.at(own, unit_of, weights[:, None] * self._targets)
        left = np.maximum(len(labels) - weight_of, 1e-12)  # 0 if all images are one unit
        self._means_without = (weights @ self._targets - own[unit_of]) / left

    def left_out(self, penalty: float) -> Numbers:
        """Return the scores of the classes for each image (N, K), predicted without the images of its unit.

        Without an image of a class, the others have fewer of that class. A probe of features that say nothing would
        prefer the other classes for this alone, and be wrong for every image (as in any leave-one-out; Kohavi 1995,
        section 3). So the intercept is that of all images.

        Args:
            penalty: One of PENALTIES, or another positive number.
        """
        shrunk = self._values + penalty * len(self._right)
        residuals = self._right - (self._rotated / shrunk) @ self._projected
        found = np.empty_like(residuals)
        # H = Z Z'; the last column is that of the intercept.
        half = np.column_stack([self._rotated / np.sqrt(shrunk), self._root / np.sqrt(len(self._root))])
        for units in self._groups:
            if units.shape[1] == 1:
                alone = units[:, 0]
                found[alone] = residuals[alone] / (1 - (half[alone] ** 2).sum(axis=1))[:, None]
                continue
            step = max(1, _AT_ONCE // (units.shape[1] * half.shape[1]))
            for start in range(0, len(units), step):
                some = units[start : start + step]
                found[some] = _without(half[some], residuals[some])
        scores: Numbers = self._targets - found / self._root[:, None] + self._means - self._means_without
        return scores

    def best(self) -> tuple[float, Numbers]:
        """Return the penalty of PENALTIES with the least squared error of left-out images, and their scores (N, K)."""
        tried = ((penalty, self.left_out(penalty)) for penalty in PENALTIES)
        return min(tried, key=lambda one: float((self._root**2 @ (self._targets - one[1]) ** 2).sum()))

    def scores(self, features: Numbers, penalty: float) -> Numbers:
        """Return the scores of the classes for other images (M, D): (M, K)."""
        slopes = self._axes @ (self._projected / (self._values + penalty * len(self._right))[:, None])
        found: Numbers = ((features - self._centre) / self._scale) @ slopes + self._means
        return found


def _decomposed(design: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return the eigenvalues of X'X (R,), X on its axes (N, R), and these axes (D, R).

    They come from the smaller of X'X and XX'.
    """
    images, width = design.shape
    if width <= images:
        values, axes = np.linalg.eigh(design.T @ design)
        kept = values > np.finfo(float).eps * width * max(float(values.max(initial=0)), 1e-300)
        return values[kept], design @ axes[:, kept], axes[:, kept]
    values, sides = np.linalg.eigh(design @ design.T)
    kept = values > np.finfo(float).eps * images * max(float(values.max(initial=0)), 1e-300)
    values, sides = values[kept], sides[:, kept]
    return values, sides * np.sqrt(values), design.T @ (sides / np.sqrt(values))


def _by_size(unit_of: Integers) -> Iterator[Integers]:
    """Yield the positions of the images of all units that have as many, (units, images)."""
    order = np.argsort(unit_of, kind="stable")
    counts = np.bincount(unit_of)
    starts = np.cumsum(counts) - counts
    for size in np.unique(counts[counts > 0]):
        yield order[starts[counts == size][:, None] + np.arange(size)]


def _without(half: Numbers, residuals: Numbers) -> Numbers:
    """Return (I - Z Z')^-1 e for units (U, M, R) with residuals (U, M, K): (U, M, K)."""
    across = half.swapaxes(1, 2)
    if half.shape[1] <= half.shape[2]:
        return np.asarray(np.linalg.solve(np.eye(half.shape[1]) - half @ across, residuals))
    inner = np.linalg.solve(np.eye(half.shape[2]) - across @ half, across @ residuals)  # Woodbury
    found: Numbers = residuals + half @ inner
    return found
