"""Intervals of a figure that was averaged over runs: it is uncertain because of the test images and of the seeds.

The networks of S seeds are tested on the same N images, so their figures form a table of seeds and images, and both are
samples: another seed or other images would have given other figures. The spread over seeds alone says nothing about
the images: two networks that are both right on the same 18 of 20 images have a spread of 0.

The pigeonhole bootstrap (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007) draws rows and columns
of such a table independently. Here a resample draws the images once for all seeds, and S of the seeds. As S drawn
seeds differ too little among themselves, their deviation is multiplied by sqrt(S / (S - 1)) (Rao and Wu, Resampling
inference with complex survey data, Journal of the American Statistical Association 83, 1988).

Runs that were divided by different seeds have different test images of one pool, so their errors are not independent
(Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003). Their resamples are paired by
rank, as if the errors went together completely: no dependence makes the mean's spread larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlx.measures.interval_text import with_interval
from tlx.measures.percentiles import interval

PROPORTIONS = ("test/accuracy",)  # compared metrics that are means over images
_SEED = 0


@dataclass(frozen=True)
class Difference:
    """A difference between two figures and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """The difference with its interval, all with their signs."""
        return with_interval(self.value, (self.low, self.high), "+.4f")

    @property
    def worse(self) -> bool:
        """Whether the first figure is smaller, beyond what images and seeds explain."""
        return self.high < 0

    @property
    def better(self) -> bool:
        """Whether the first figure is larger, beyond what images and seeds explain."""
        return self.low > 0


def mean_interval(values: np.ndarray, together: bool = True, units: int = 0, least: float = 0.0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a figure over S runs; NaN if all resamples agree on no proportion.

    Args:
        values: The figure of each run in each resample of its test images (S, B).
        together: Whether all runs were tested on the same images.
        units: Number of images or groups that were drawn from, if the figure is a proportion of them; 0: it is none.
        least: The least value that an image can contribute: 0, or -1 for a difference.
    """
    low, high = interval(_means(values if together else np.sort(values, axis=1)), units, least)
    return float(low), float(high)


def mean_difference(name: str, value: float, differences: np.ndarray, units: int, together: bool = True) -> Difference:
    """Return the mean difference of a metric between S pairs of runs, with its interval.

    Args:
        name: The metric, such as `test/accuracy`.
        value: Its mean difference.
        differences: The difference of each pair in each resample of its test images (S, B).
        units: Number of images or groups that were drawn from.
        together: Whether all pairs were tested on the same images.
    """
    units = units if name in PROPORTIONS else 0
    return Difference(value, *mean_interval(differences, together, units, least=-1.0))


def _means(values: np.ndarray) -> np.ndarray:
    """Return the mean over drawn runs in each resample (B,), within the range of the values (S, B)."""
    runs, resamples = values.shape
    mean: np.ndarray = values.mean(axis=0)
    if runs < 2:
        return mean
    drawn = np.random.default_rng(_SEED).integers(runs, size=(runs, resamples))
    deviation = np.take_along_axis(values, drawn, axis=0).mean(axis=0) - mean
    least, most = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
    found: np.ndarray = np.clip(mean + deviation * np.sqrt(runs / (runs - 1)), least, most)
    return found
