"""The values that an override of a multirun sweeps over: the values, their number and their mistakes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from tlx.base.compat.hydra import ConfigLoader
from tlx.base.errors import Mistake

MOST = 100_000  # jobs of a sweep


def sweep_values(override: Override, loader: ConfigLoader | None = None) -> list[str]:
    """Return the values of one swept key to check: all typed values, or the ends of an interval or a range.

    Values between the ends have the same type, and checking all of `range(0,60000)` took minutes.

    Args:
        override: An override with several values.
        loader: Finds the options that a glob matches; without it a glob matches nothing.
    """
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    if isinstance(value, Glob):
        names = loader.repository.get_group_options(override.key_or_group, ObjectType.CONFIG) if loader else []
        return [str(name) for name in value.filter(list(names))]
    try:
        if isinstance(value, RangeSweep):
            return _ends(override)
        return list(override.sweep_string_iterator())
    except (HydraException, ValueError):
        return []


def values_mistakes(overrides: Sequence[str], loader: ConfigLoader) -> Iterator[Mistake]:
    """Yield mistakes in the number of values: no value, or more than MOST jobs."""
    jobs = 1.0
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            continue  # check_override reports it
        if not override.is_sweep_override() or isinstance(override.value(), IntervalSweep):
            continue
        key, typed = override.key_or_group, text.partition("=")[2]
        if key.startswith("hydra"):
            yield Mistake(key, "one value for the whole sweep", f"several: {typed}", "type one command for each value")
            continue
        is_glob = isinstance(override.value(), Glob)
        size = len(sweep_values(override, loader)) if is_glob else size_of(override)
        if size == 0:
            hint = "a glob matches options of a group: strategy='glob(*)'" if is_glob else "such as range(0,3)"
            yield Mistake(key, "several values", f"none: {typed}", hint)
        jobs *= size
    if jobs > MOST:
        many = "infinitely many" if math.isinf(jobs) else f"{jobs:,.0f}"
        yield Mistake("-m", f"at most {MOST:,} jobs", many, "to try only some of them: hydra/sweeper=optuna")


def _ends(override: Override) -> list[str]:
    """Return the first two values of a range, which show whether they are integers, and the last one."""
    size = size_of(override)
    if not 0 < size <= MOST:
        return list(islice(override.sweep_string_iterator(), 2)) if size else []
    values = list(override.sweep_string_iterator())
    return list(dict.fromkeys([*values[:2], values[-1]]))


def size_of(override: Override) -> float:
    """Return the number of values without iterating, because a range may be `range(0,1e12)`; inf: infinitely many."""
    value = override.value()
    if not isinstance(value, RangeSweep):
        return sum(1 for _ in override.sweep_iterator())
    start, stop, step = (float(n if n is not None else 1) for n in (value.start, value.stop, value.step))
    if step == 0 or not all(map(math.isfinite, (start, stop, step))):
        return math.inf if step == 0 and start != stop else 0
    return max(0, math.ceil((stop - start) / step))
