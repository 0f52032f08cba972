"""Confident learning: scores and filters as cleanlab defines them."""

from __future__ import annotations

import numpy as np
import pytest

from tlx.measures.label_quality import contradicted, normalised_margins


def drawn(images: int, classes: int, seed: int):
    """Return labels, a tenth of them wrong, and probabilities that know better."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), random.integers(classes, size=images - classes)])
    logits = random.normal(size=(images, classes))
    logits[np.arange(images), truth] += random.exponential(2.5, images)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(random.random(images) < 0.1, random.integers(classes, size=images), truth)
    labels[:classes] = np.arange(classes)
    return labels, probabilities


def test_by_hand():
    """Guards against a score of the wrong class, and an image that is called wrong for a class it hardly shows."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.95, 0.05], [0.2, 0.8], [0.6, 0.4]])
    labels = np.array([0, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(normalised_margins(labels, probabilities), [0.9, 0.8, 0.7, 0.05, 0.8, 0.4])
    # Thresholds: 0.85 and 0.4875. The last image prefers class 0, but less than images of class 0 do.
    assert contradicted(labels, probabilities).tolist() == [False, False, False, True, False, False]


def test_a_class_without_images_is_never_shown():
    """Guards against a mean of no images that makes every image confident of a class that nobody labelled."""
    assert not contradicted(np.array([0, 0, 1, 1]), np.full((4, 3), 1 / 3)).any()


@pytest.mark.parametrize(("images", "classes", "seed"), [(60, 2, 0), (500, 10, 1), (300, 40, 2)])
def test_scores_and_filter_are_those_of_cleanlab(images, classes, seed):
    """Guards against a formula that is nearly confident learning."""
    rank = pytest.importorskip("cleanlab.rank", reason="no cleanlab: pip install 'tlx[test]'")
    filtering = pytest.importorskip("cleanlab.filter")
    labels, probabilities = drawn(images, classes, seed)
    wanted = rank.get_label_quality_scores(labels, probabilities, method="normalized_margin")
    np.testing.assert_allclose(normalised_margins(labels, probabilities), wanted, atol=1e-12)
    issues = filtering.find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    assert contradicted(labels, probabilities).tolist() == issues.tolist()
