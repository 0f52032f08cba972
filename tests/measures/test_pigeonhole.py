"""Intervals of means over runs."""

from __future__ import annotations

import numpy as np
import pytest

from tlx.measures.pigeonhole import mean_interval


def drawn(images: int, seeds: int, of_seed: float, of_image: float, random: np.random.Generator) -> np.ndarray:
    """Return the mean of images (S,) + resamples of it (S, B): each value is a sum of a seed's and an image's part."""
    table = of_seed * random.standard_normal((seeds, 1)) + of_image * random.standard_normal(images)
    counts = random.multinomial(images, [1 / images] * images, size=400)
    return np.concatenate([table.mean(axis=1, keepdims=True), table @ counts.T / images], axis=1)


@pytest.mark.parametrize(("of_seed", "of_image"), [(0.0, 1.0), (0.1, 1.0)])
def test_the_interval_holds_the_true_mean_as_often_as_it_says(of_seed: float, of_image: float) -> None:
    """Guards against an interval over seeds alone, or over images alone: both are samples. The true mean is 0."""
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        low, high = mean_interval(drawn(100, 5, of_seed, of_image, random)[:, 1:])
        hits += low <= 0 <= high
    assert 0.88 <= hits / 100 <= 0.99


def test_an_undefined_resample_does_not_undo_the_others() -> None:
    """Guards against an interval of NaN because one resample has no image of a class."""
    values = np.tile(np.linspace(0, 1, 101), (2, 1))
    values[0, 3] = np.nan
    low, high = mean_interval(values)
    assert 0 <= low < 0.1
    assert 0.9 < high <= 1
