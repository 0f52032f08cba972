"""Means over folds, and folds that differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tlx.measures.over_folds import corrected_interval, differing_folds, fold_remarks


def test_the_variance_is_corrected() -> None:
    """Guards against an interval as if folds were independent, which is 1.5 times too short for five of them."""
    values = [0.8, 0.85, 0.9, 0.75, 0.8]
    low, high = corrected_interval(values, folds=5)
    expected = 2.7764451 * math.sqrt((1 / 5 + 1 / 4) * np.var(values, ddof=1))
    assert ((high - low) / 2, (high + low) / 2) == pytest.approx((expected, np.mean(values)))
    assert all(math.isnan(end) for end in corrected_interval([0.5], folds=2))


def test_only_folds_that_chance_does_not_explain_are_named() -> None:
    """Guards against a remark about every fold of a small set, and none about a fold of other images."""
    assert differing_folds([28, 26, 29, 27, 25], [32] * 5) == []
    assert [fold for fold, _, _ in differing_folds([28, 26, 10, 27, 25], [32] * 5)] == [3]
    assert differing_folds([32] * 5, [32] * 5) == []
    (line,) = fold_remarks([28, 26, 10, 27, 25], [32] * 5, "RUN/out_of_fold.csv")
    assert line.startswith("fold 3: accuracy 0.312, in the others 0.828")
