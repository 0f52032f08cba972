"""Compare settings by runs that were tested on the same images: intervals of their means, differences, ranks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tlx.measures.names import interval_of
from tlx.measures.pigeonhole import Difference, mean_difference, mean_interval
from tlx.records.resamples import Resamples


@dataclass(frozen=True)
class Tested:
    """A finished run of a setting.

    Args:
        seeds: The swept keys that are seeds, with their values; runs of two settings with equal ones are compared.
        metrics: Its metrics.
        resamples: Its metrics in resamples of the test images; None: unknown.
    """

    seeds: tuple[tuple[str, str], ...]
    metrics: Mapping[str, float]
    resamples: Resamples | None

    def values(self, name: str) -> np.ndarray | None:
        """Return a metric in each resample (B,); None if it is unknown."""
        return None if self.resamples is None else self.resamples.figures.get(name)


def interval(runs: Sequence[Tested], name: str) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of a metric over runs; None if it is not known.

    If one of several runs has no resamples (tlx 0.1), or if all resamples agree, it is the mean of the runs' own
    intervals, over test images alone.
    """
    values = [run.values(name) for run in runs]
    known = [one for one in values if one is not None]
    if len(known) == len(runs) and len({len(one) for one in known}) == 1:
        resampled = mean_interval(np.stack(known), len({run.resamples.images for run in runs if run.resamples}) == 1)
        if not math.isnan(resampled[0]):
            return resampled
    ends = [found for run in runs if "/" in name and (found := interval_of(run.metrics, name)) is not None]
    if len(ends) < len(runs):
        return None
    low, high = (statistics.fmean(side) for side in zip(*ends, strict=True))
    return low, high


def difference(own: Sequence[Tested], other: Sequence[Tested], name: str) -> Difference | None:
    """Return the mean difference of a metric between the runs of two settings that share seeds and test images.

    None if they share none: then the difference may come from the images.
    """
    others = {run.seeds: run for run in other}
    pairs = [(run, others[run.seeds]) for run in own if run.seeds in others]
    values, measured, units, images = [], [], list[int](), set()
    for one, two in pairs:
        first, second = one.values(name), two.values(name)
        if one.resamples is None or two.resamples is None or first is None or second is None:
            continue
        if one.resamples.images == two.resamples.images and len(first) == len(second):
            values.append(first - second)
            measured.append(one.metrics.get(name, math.nan) - two.metrics.get(name, math.nan))
            images.add(one.resamples.images)
            units.append(one.resamples.units)
    if not values or len({len(one) for one in values}) > 1:
        return None
    return mean_difference(name, statistics.fmean(measured), np.stack(values), min(units), len(images) == 1)


def leaders(settings: Sequence[Sequence[Tested]], name: str) -> list[int | None]:
    """Return the rank of each setting, in their order; None if it cannot be compared with those before it.

    A setting has the rank of the one before it, unless it is worse than the first of that rank beyond what images and
    seeds explain: then its rank is its place, from 1.

    Args:
        settings: The runs of each setting, best first.
        name: The metric; larger is better.
    """
    ranks: list[int | None] = [1]
    first = rank = 0
    for place in range(1, len(settings)):
        found = difference(settings[place], settings[first], name)
        if found is not None and found.worse:
            first = rank = place
        ranks.append(None if found is None else rank + 1)
    return ranks if any(ranks[1:]) else [None] * len(settings)
