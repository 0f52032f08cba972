"""Intervals where all resamples agree: those of proportions are exact, other figures have none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from tlx.measures.class_intervals import bootstrap_classes
from tlx.measures.intervals import bootstrap_sums
from tlx.measures.percentiles import interval
from tlx.measures.pigeonhole import mean_difference
from tlx.records.resamples import Resamples
from tlx.sweeps.comparison import Tested
from tlx.sweeps.comparison import interval as interval_of_runs


@pytest.mark.parametrize("images", [1, 3, 20, 359])
@pytest.mark.parametrize("value", [0, 1])
def test_a_proportion_of_0_or_1_has_the_exact_interval(images, value):
    """Fault: a classifier that is right on 3 of 3 images has an accuracy of 1.0000 to 1.0000."""
    exact = binomtest(value * images, images).proportion_ci(method="exact")
    assert interval(np.full(50, float(value)), images) == pytest.approx((exact.low, exact.high))


def test_figures_that_are_no_proportions_have_no_interval():
    """Fault: an AUROC of 1 on few images is certain."""
    assert np.isnan(interval(np.ones(50))).all()
    found = bootstrap_sums(np.ones((5, 1)), lambda sums: {"share": sums[:, 0] / sums[:, 0]}).overall["share"]
    assert np.isnan(found).all()


def test_classes_count_their_own_images():
    """Fault: the sensitivity of a class with 3 images is as certain as the accuracy on all 20."""
    target = np.array([0] * 17 + [1] * 3)
    found = bootstrap_classes(target, target, np.eye(2)[target], 2, resamples=100)
    exact = {n: binomtest(n, n).proportion_ci(method="exact").low for n in (3, 17, 20)}
    assert found.overall["accuracy"] == pytest.approx((exact[20], 1))
    assert found.per_class["sensitivity"][0] == pytest.approx((exact[17], exact[3]))
    assert found.per_class["specificity"][0] == pytest.approx((exact[3], exact[17]))
    assert found.per_class["ppv"][0] == pytest.approx((exact[17], exact[3]))
    assert np.isnan(found.overall["auroc"]).all()
    assert np.isnan(found.overall["balanced_accuracy"]).all()


def test_groups_are_counted_where_images_have_groups():
    """Fault: twenty right images of four patients are as certain as those of twenty patients."""
    target, patients = np.array([0] * 10 + [1] * 10), [str(i // 5) for i in range(20)]
    found = bootstrap_classes(target, target, None, 2, patients, resamples=100)
    assert found.overall["accuracy"] == pytest.approx((0.025 ** (1 / 4), 1))
    assert found.per_class["sensitivity"][0] == pytest.approx([0.025 ** (1 / 2)] * 2)


def test_runs_that_are_right_on_the_same_images_are_not_shown_to_be_equal():
    """Fault: a difference of +0.0000 (+0.0000 to +0.0000) on 20 images."""
    same = np.zeros((1, 50))
    found = mean_difference("test/accuracy", 0.0, same, units=20)
    bound = 1 - 0.025 ** (1 / 20)
    assert (found.low, found.high) == pytest.approx((-bound, bound))
    assert not found.worse
    assert not found.better
    assert mean_difference("test/auroc", 0.0, same, units=20).text == "+0.0000"


def test_the_mean_of_runs_without_a_wrong_image_has_the_interval_of_one():
    """Fault: three seeds that are right on the same 20 images have an accuracy of 1.0000 to 1.0000."""
    metrics = {"test/accuracy": 1.0, "test/accuracy_low": 0.8316, "test/accuracy_high": 1.0}
    resamples = Resamples("same", 20, 20, {"test/accuracy": np.ones(50)})
    runs = [Tested((("seed", str(seed)),), metrics, resamples) for seed in range(3)]
    assert interval_of_runs(runs, "test/accuracy") == pytest.approx((0.8316, 1))
