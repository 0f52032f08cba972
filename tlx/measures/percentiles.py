"""The ends of an interval from the values of a metric in resamples of the test images, also where these are all equal.

If a classifier is right on all test images, it is right in every resample, and the middle 95 % of the resamples reach
from 1 to 1. Yet such a result is likely for a classifier that errs on a few images in a hundred. What N images can
rule out is known exactly: an event that none of them showed may still have a probability of 1 - 0.025 ** (1 / N), the
upper end of the interval of Clopper and Pearson (The use of confidence or fiducial limits illustrated in the case of
the binomial, Biometrika 26, 1934), about 3.7 / N. With a one-sided interval it is the "rule of three", 3 / N (Hanley
and Lippman-Hand, If nothing goes wrong, is everything all right?, Journal of the American Medical Association 249,
1983).
"""

from __future__ import annotations

import warnings

import numpy as np

LEVEL = 0.95


def middle(values: np.ndarray) -> np.ndarray:
    """Return the ends of the middle 95 % of values (B, …) that are defined: (2, …)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no resample defines the metric: NaN
        ends: np.ndarray = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return ends


def interval(values: np.ndarray, units: np.ndarray | int = 0, least: float = 0.0) -> np.ndarray:
    """Return the ends of the interval of a metric (2, …); NaN if the resamples say nothing about it.

    Where resamples differ, these are the ends of their middle. Where all have one value, every image had it. A
    fraction of the images that none of N showed, see above, may have any other value that is possible, which moves a
    mean over images towards that value by this fraction. For a proportion of 0 or 1 that is the interval of Clopper
    and Pearson. Metrics that are no means over images, such as an AUROC, have no interval there.

    Args:
        values: The metric in each resample (B, …); NaN where it is not defined.
        units: Number of images, or of groups of them, of which the metric is a mean (…); 0: it is none.
        least: The least value that an image can contribute to this mean; the greatest is 1.
    """
    found = middle(values)
    value, units = found[0], np.asarray(units)
    with np.errstate(divide="ignore"):
        unseen = 1 - ((1 - LEVEL) / 2) ** (1 / units)
    exact = np.stack([value + unseen * (least - value), value + unseen * (1 - value)])
    return np.where(found[0] == found[1], np.where(units > 0, exact, np.nan), found)
