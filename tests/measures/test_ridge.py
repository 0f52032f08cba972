"""Ridge probes: what leaves images out in closed form equals fits without them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tlx.measures.probe_curve import ALL, HALF, QUARTER, probe_curve, quarters, shares_for
from tlx.measures.ridge import PENALTIES, RidgeProbe


def blobs(images: int, width: int, classes: int, units: int | None = None, distance: float = 1.0):
    """Return features with a constant column, labels, units."""
    random = np.random.default_rng(images + width)
    labels = np.arange(images) % classes
    features = random.normal(size=(images, width)) * random.uniform(0.1, 5, width) + 3
    features[:, : min(classes, width)] += distance * (labels[:, None] == range(min(classes, width)))
    features[:, -1] = 1.0
    unit_of = (
        np.arange(images) if units is None else np.unique(random.integers(units, size=images), return_inverse=True)[1]
    )
    return features, labels, unit_of


@pytest.mark.parametrize(
    ("images", "width", "units", "balanced"),
    [(40, 10, None, False), (30, 60, None, True), (40, 10, 9, True), (45, 100, 5, False), (60, 6, 3, True)],
)
def test_what_is_left_out_is_predicted_as_by_a_fit_without_it(images, width, units, balanced):
    """Guards against figures of images that their probe has seen: patients whose other pictures trained it."""
    features, labels, unit_of = blobs(images, width, 4, units)
    weights = 1 / np.bincount(labels)[labels] if balanced else np.ones(images)
    weights *= images / weights.sum()
    spread = features.std(axis=0)
    scaled = features / np.where(spread > 0, spread, np.inf)
    targets = np.where(labels[:, None] == range(4), 1.0, -1.0)
    probe = RidgeProbe(features, labels, 4, unit_of, balanced)
    for penalty in PENALTIES[::4]:
        wanted = np.empty_like(targets)
        for unit in np.unique(unit_of):
            seen = unit_of != unit
            fitted = Ridge(alpha=penalty * images, solver="svd").fit(scaled[seen], targets[seen], weights[seen])
            all_, others = (np.average(targets[of], axis=0, weights=weights[of]) for of in (slice(None), seen))
            wanted[~seen] = fitted.predict(scaled[~seen]) + all_ - others
        np.testing.assert_allclose(probe.left_out(penalty), wanted, atol=1e-8)
    fitted = Ridge(alpha=PENALTIES[3] * images, solver="svd").fit(scaled, targets, weights)
    np.testing.assert_allclose(probe.scores(features[:7], PENALTIES[3]), fitted.predict(scaled[:7]), atol=1e-8)


def test_labels_at_random_are_not_recognised():
    """Guards against a score of images that a probe has seen, which is near 1 with more features than images."""
    features, _, unit_of = blobs(100, 300, 2)
    labels = np.random.default_rng(1).integers(2, size=100)
    _, scores = RidgeProbe(features, labels, 2, unit_of).best()
    assert 0.3 < (scores.argmax(axis=1) == labels).mean() < 0.7


def test_copies_are_left_out_together():
    """Guards against a figure near 1 for labels at random of images that are in the set twice."""
    features, _, _ = blobs(60, 200, 2)
    labels = np.random.default_rng(1).integers(2, size=60)
    twice = np.tile(np.arange(60), 2)
    two, same = np.concatenate([features, features]), np.concatenate([labels, labels])
    for point in probe_curve(two, same, 2, twice, balanced=False):
        assert 0.3 < np.nanmean(point.right) < 0.7
    alone = probe_curve(two, same, 2, np.arange(120), balanced=False)
    assert alone[-1].right.mean() > 0.95


def test_quarters_are_stratified_and_divide_no_unit():
    """Guards against a quarter without a class, and a patient on both sides."""
    labels = np.repeat([0, 1, 2], [40, 12, 2])
    quarter = quarters(labels, np.arange(54), seed=3)
    assert [np.bincount(quarter[labels == one], minlength=4).tolist() for one in (0, 1)] == [[10] * 4, [3] * 4]
    assert len({q // 2 for q in quarter[labels == 2]}) == 2  # two images: one in each half
    unit_of = np.repeat(np.arange(27), 2)
    pairs = quarters(labels, unit_of, 0).reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all()


def test_more_images_help_where_classes_overlap_and_every_image_measures_every_share():
    """Guards against a curve whose points are of different images, so that its slope is that of the images."""
    features, labels, unit_of = blobs(240, 40, 3, distance=8.0)
    points = probe_curve(features, labels, 3, unit_of, balanced=False)
    assert [point.share for point in points] == [QUARTER, HALF, ALL]
    assert [point.images for point in points] == [60, 120, 240]
    assert all(np.isfinite(point.right).all() for point in points)
    means = [point.right.mean() for point in points]
    assert means[0] < means[2]


def test_shares_that_most_classes_have_no_image_for_are_left_out():
    """Guards against a figure with a quarter of the images that says only that classes are missing in it."""
    assert shares_for(np.repeat(range(5), 2), np.arange(10)) == [ALL]
    assert shares_for(np.repeat(range(5), 8), np.arange(40)) == [HALF, ALL]
    assert shares_for(np.repeat(range(5), 16), np.arange(80)) == [QUARTER, HALF, ALL]
    assert shares_for(np.repeat(range(5), 16), np.repeat(range(5), 16)) == [ALL]


def test_a_rare_class_counts_as_much_as_the_others_where_they_are_balanced():
    """Guards against a probe that calls everything by the name of the largest class."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [190, 10])
    features = random.normal(size=(200, 3)) + 1.5 * labels[:, None]
    recall = {}
    for balanced in (False, True):
        _, scores = RidgeProbe(features, labels, 2, np.arange(200), balanced).best()
        recall[balanced] = (scores.argmax(axis=1) == labels)[labels == 1].mean()
    assert recall[False] < 0.5 < recall[True]
