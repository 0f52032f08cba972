"""Intervals: figures of resamples against scikit-learn's, coverage on data whose truth is known, groups, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score, roc_auc_score

from tlx.measures import intervals
from tlx.measures.class_intervals import PER_CLASS, _Counting, bootstrap_classes
from tlx.measures.intervals import _drawn
from tlx.measures.ranked import RankedClass, auroc


def predictions(images: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True classes, predicted ones and probabilities, with ties."""
    random = np.random.default_rng(seed)
    target = random.integers(classes, size=images)
    scores = random.normal(size=(images, classes)).round(1)
    scores[np.arange(images), target] += 1
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return target, scores.argmax(axis=1), probabilities.astype(np.float32)


def test_the_areas_of_all_resamples_are_those_of_scikit_learn():
    """Guards against ties, repeated images and resamples without a class in ranks that are made once for all."""
    target, _, probabilities = predictions(60)
    target[target == 2] = 0
    target[:2] = 2  # rare: some resamples have none
    (drawn,) = _drawn(60, 200, seed=1, width=60)
    absent = 0
    for one in range(3):
        found = auroc(RankedClass.of(probabilities[:, one], target == one), drawn)
        for area, counts in zip(found, drawn, strict=True):
            chosen = np.repeat(np.arange(60), counts)
            positive = target[chosen] == one
            if positive.any():
                assert area == pytest.approx(roc_auc_score(positive, probabilities[chosen, one]), abs=1e-9)
            else:
                absent += 1
                assert np.isnan(area)
    assert absent


def test_the_counts_of_all_resamples_are_those_of_scikit_learn():
    """Guards against sensitivity, specificity and PPV exchanged, and sums that slip where a class is absent."""
    target, predicted, _ = predictions(40, classes=4)
    predicted[predicted == 3] = 0  # never predicted
    (drawn,) = _drawn(40, 50, seed=2, width=40)
    found = _Counting(target, predicted, 5).figures(drawn)  # the fifth class is nowhere
    for i, counts in enumerate(drawn):
        chosen = np.repeat(np.arange(40), counts)
        true, called = target[chosen], predicted[chosen]
        confusion = confusion_matrix(true, called, labels=range(5))
        others = len(chosen) - confusion.sum(axis=1)
        false_alarms = confusion.sum(axis=0) - confusion.diagonal()
        expected = {
            "accuracy": (true == called).mean(),
            "balanced_accuracy": np.mean([(called[true == one] == one).mean() for one in np.unique(true)]),
            "sensitivity": recall_score(true, called, labels=range(5), average=None, zero_division=np.nan),
            "specificity": (others - false_alarms) / others,
            "ppv": precision_score(true, called, labels=range(5), average=None, zero_division=np.nan),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(found[name][i], values, atol=1e-12, err_msg=name)


def test_about_95_of_100_intervals_hold_the_truth():
    """Guards against intervals that are too narrow or too wide: other percentiles, a draw of another size."""
    random = np.random.default_rng(0)
    truth, held, runs = 0.8, 0, 400
    zero = np.zeros(200, dtype=int)
    for seed in range(runs):
        predicted = (random.random(200) > truth).astype(int)
        low, high = bootstrap_classes(zero, predicted, None, 2, resamples=500, seed=seed).overall["accuracy"]
        held += low <= truth <= high
    assert held / runs == pytest.approx(0.95, abs=0.03)  # its standard error is 0.011


def patients(random: np.random.Generator, count: int, each: int, truth: float = 0.8) -> tuple[np.ndarray, list[str]]:
    """Whether the images of each patient are right, all alike, and whose they are."""
    right = np.repeat(random.random(count) < truth, each)
    return (~right).astype(int), [f"patient {i // each}" for i in range(count * each)]


def test_where_images_of_a_patient_agree_patients_are_drawn():
    """Guards against intervals that take ten images of a patient for ten patients and miss the truth half the time."""
    random = np.random.default_rng(1)
    runs, held = 150, {"images": 0, "patients": 0}
    for seed in range(runs):
        predicted, groups = patients(random, count=60, each=10)
        zero = np.zeros(len(predicted), dtype=int)
        narrow, wide = (
            bootstrap_classes(zero, predicted, None, 2, drawn, resamples=300, seed=seed).overall["accuracy"]
            for drawn in (None, groups)
        )
        assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])  # the root of 10 times, in the long run
        held["images"] += narrow[0] <= 0.8 <= narrow[1]
        held["patients"] += wide[0] <= 0.8 <= wide[1]
    assert held["patients"] / runs == pytest.approx(0.94, abs=0.05)
    assert held["images"] / runs < 0.7


def test_images_without_a_group_are_groups_of_their_own():
    """Guards against all images of unknown origin as one patient, and one patient from whom something follows."""
    target, predicted, probabilities = predictions(50)
    alone, named = (
        bootstrap_classes(target, predicted, probabilities, 3, groups, 200) for groups in (None, [None] * 50)
    )
    assert alone.units == named.units == 50
    for name, bounds in alone.overall.items():
        np.testing.assert_array_equal(bounds, named.overall[name])
    assert bootstrap_classes(target, predicted, probabilities, 3, ["a"] * 25 + [None] * 25, 200).units == 26
    one = bootstrap_classes(target, predicted, probabilities, 3, ["a"] * 50, 200)
    assert one.units == 1
    assert one.overall == one.per_class == {}


def test_intervals_are_the_same_each_time_and_hold_the_figures():
    """Guards against figures of a run that change when it is tested again, and intervals of other figures."""
    target, predicted, probabilities = predictions(300)
    one, again = (bootstrap_classes(target, predicted, probabilities, 3) for _ in range(2))
    assert set(one.overall) == {"accuracy", "balanced_accuracy", "auroc"}
    assert set(one.per_class) == set(PER_CLASS)
    for mine, other in ((one.overall, again.overall), (one.per_class, again.per_class)):
        assert all(np.array_equal(mine[name], other[name]) for name in mine)
    assert one.overall["accuracy"][0] < (target == predicted).mean() < one.overall["accuracy"][1]
    areas = [roc_auc_score(target == i, probabilities[:, i]) for i in range(3)]
    assert np.all(one.per_class["auroc"][0] < areas)
    assert np.all(areas < one.per_class["auroc"][1])
    assert one.overall["auroc"][0] < np.mean(areas) < one.overall["auroc"][1]


@pytest.mark.parametrize("at_once", [1, 700, 10**6])
def test_parts_change_nothing(at_once, monkeypatch):
    """Guards against resamples that are lost or drawn twice where they are worked on in parts."""
    monkeypatch.setattr(intervals, "AT_ONCE", at_once)
    target, predicted, probabilities = predictions(90)
    found = bootstrap_classes(target, predicted, probabilities, 3, resamples=101)
    monkeypatch.undo()
    expected = bootstrap_classes(target, predicted, probabilities, 3, resamples=101)
    np.testing.assert_array_equal(found.overall["auroc"], expected.overall["auroc"])
    np.testing.assert_array_equal(found.per_class["ppv"], expected.per_class["ppv"])


def test_memory_is_bounded_for_many_images_and_classes():
    """Guards against 2,000 resamples of 100,000 images in memory: 1.6 GB for each number that is kept of an image."""
    target, predicted, probabilities = predictions(100_000, classes=2)
    tracemalloc.start()
    found = bootstrap_classes(target, predicted, probabilities, 2, resamples=30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert found.overall["auroc"][1] - found.overall["auroc"][0] < 0.01
    many = bootstrap_classes(np.arange(500), np.arange(500), None, 500, resamples=50)
    assert set(many.overall) == {"accuracy", "balanced_accuracy"}
    assert many.per_class == {}


def test_a_class_that_is_predicted_and_never_there_counts_as_in_the_figure():
    """Guards against an interval of the balanced accuracy that lies beside the figure."""
    target, predicted = np.array([0, 1] * 50), np.array([0, 1, 0, 1, 2] * 20)
    bounds = bootstrap_classes(target, predicted, None, 3).overall["balanced_accuracy"]
    recall = [(predicted[target == one] == one).mean() for one in (0, 1)]
    assert bounds[0] < sum(recall) / 3 < bounds[1]


def test_a_mean_over_classes_keeps_classes_that_a_resample_has_no_image_of():
    """Guards against intervals above their figure: 25 classes with one image each, a wrong one, are often not drawn."""
    target = np.concatenate([np.arange(25), np.repeat(np.arange(25, 30), 10)])
    predicted = np.where(target < 25, 29, target)
    predicted[-5:] = 28
    found = bootstrap_classes(target, predicted, np.eye(30, dtype=np.float32)[predicted], 30).overall
    figure = recall_score(target, predicted, average="macro")
    assert found["balanced_accuracy"][0] < figure < found["balanced_accuracy"][1]
    area = roc_auc_score(target, np.eye(30)[predicted], average="macro", multi_class="ovr")
    assert found["auroc"][0] < area < found["auroc"][1]
