"""How well a linear probe does with a quarter, a half and all of the images: pure functions of features and labels.

All images measure every share. With all images, each unit (an image, or images that belong together) is predicted
without itself. For smaller shares the units of each class are dealt into quarters; a quarter, or two of them, train a
probe that predicts the images of the others. So a half contains its quarters, and the sets of an image's own unit are
never used for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlx.measures.ridge import Integers, Numbers, RidgeProbe

QUARTER, HALF, ALL = 0.25, 0.5, 1.0
_TRAINED = {QUARTER: ((0,), (1,), (2,), (3,)), HALF: ((0, 1), (2, 3))}  # quarters that train together
_DEALT = (0, 2, 1, 3)  # two units in a row are in different halves
LEAST = 4  # units of a class in a share
_ROUNDS = ((2_000, 3), (6_000, 2))  # images at most, and how often quarters are dealt


@dataclass(frozen=True)
class Point:
    """A probe that was trained on a share of the images.

    Args:
        share: QUARTER, HALF or ALL.
        images: Number of images that it was trained on, the mean over draws.
        right: How often each image was recognised, from 0 to 1 (N,).
        penalty: The penalty that was chosen, see `ridge.PENALTIES`; the median over draws.
    """

    share: float
    images: int
    right: Numbers
    penalty: float


def rounds_for(images: int) -> int:
    """Return how often quarters are dealt: the fewer the images, the more often."""
    return next((rounds for most, rounds in _ROUNDS if images <= most), 1)


def shares_for(labels: Integers, unit_of: Integers) -> list[float]:
    """Return the shares of which half of the classes have at least LEAST units, ascending; always ALL.

    Of a class with few units, a probe that leaves one out has fewer than of the others, and prefers these. With a share
    the classes are even. So the shares could not be compared.

    Args:
        labels: (N,).
        unit_of: (N,).
    """
    units = [len(np.unique(unit_of[labels == label])) for label in np.unique(labels)]
    return [share for share in (QUARTER, HALF, ALL) if share == ALL or share * np.median(units) >= LEAST]


def probe_curve(
    features: Numbers, labels: Integers, classes: int, unit_of: Integers, balanced: bool, seed: int = 0
) -> list[Point]:
    """Return a point for each of `shares_for`, ascending.

    Args:
        features: (N, D).
        labels: (N,), classes from 0 to K - 1.
        classes: K.
        unit_of: The unit of each image (N,), from 0.
        balanced: Whether every class has the same weight.
        seed: Seed of the draws; the same for all features that are compared.
    """
    return [_point(share, features, labels, classes, unit_of, balanced, seed) for share in shares_for(labels, unit_of)]


def _point(
    share: float, features: Numbers, labels: Integers, classes: int, unit_of: Integers, balanced: bool, seed: int
) -> Point:
    if share == ALL:
        penalty, scores = RidgeProbe(features, labels, classes, unit_of, balanced).best()
        return Point(share, len(labels), (scores.argmax(axis=1) == labels).astype(float), penalty)
    right, asked = np.zeros(len(labels)), np.zeros(len(labels))
    sizes, penalties = [], []
    for number in range(rounds_for(len(labels))):
        quarter = quarters(labels, unit_of, seed * 1000 + number)
        for trained in _TRAINED[share]:
            inside = np.isin(quarter, trained)
            if len(np.unique(labels[inside])) < 2:
                continue
            _, own = np.unique(unit_of[inside], return_inverse=True)
            probe = RidgeProbe(features[inside], labels[inside], classes, own, balanced)
            penalty, _ = probe.best()
            found = probe.scores(features[~inside], penalty).argmax(axis=1)
            right[~inside] += found == labels[~inside]
            asked[~inside] += 1
            sizes.append(int(inside.sum()))
            penalties.append(penalty)
    measured = np.where(asked > 0, right / np.maximum(asked, 1), np.nan)
    return Point(share, round(float(np.mean(sizes))) if sizes else 0, measured, float(np.median(penalties or [0])))


def quarters(labels: Integers, unit_of: Integers, seed: int) -> Integers:
    """Return the quarter of each image (N,), 0 to 3: those of each class in equal parts, units never divided.

    Args:
        labels: (N,).
        unit_of: (N,), from 0.
        seed: Seed of the draw.
    """
    random = np.random.default_rng(seed)
    first = np.unique(unit_of, return_index=True)[1]
    class_of = labels[first]  # of a unit with several classes, that of its first image
    place = np.empty(len(first), dtype=np.int64)
    for label in np.unique(class_of):
        own = random.permutation(np.flatnonzero(class_of == label))
        place[own] = np.array(_DEALT)[(np.arange(len(own)) + random.integers(4)) % 4]
    return place[np.unique(unit_of, return_inverse=True)[1]]
