"""Convert a search space from Hydra's sweep syntax to Optuna's distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from tlx.base.errors import ConfigError, Mistake, did_you_mean

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

TAGS = ("log",)


@dataclass(frozen=True)
class Space:
    """The search space, and the overrides that all trials share.

    Args:
        searched: Distribution of each key.
        forms: Form of each key in an override: `++optimizer.lr`.
        fixed: Overrides of every trial.
    """

    searched: dict[str, BaseDistribution]
    forms: dict[str, str]
    fixed: list[str]

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a trial with these values."""
        return [*self.fixed, *(f"{self.forms[key]}={_text(value)}" for key, value in values.items())]


def space(overrides: Sequence[str]) -> Space:
    """Return the search space of a command line.

    | typed | searched |
    | --- | --- |
    | `a,b,c`, `choice(a,b,c)` | one of these |
    | `interval(0.1, 1)` | a number between, both included |
    | `int(interval(1, 9))` | a whole number between, both included |
    | `range(0, 10, 2)`, `range(0.0, 1.0, 0.25)` | 0, 2, …, 8: as Hydra counts, without the end |
    | `tag(log, …)` of an interval, or of whole numbers | the same on a logarithmic scale |

    Raises:
        ConfigError: An interval is empty or has no logarithm, or a tag is unknown.
    """
    searched: dict[str, BaseDistribution] = {}
    forms: dict[str, str] = {}
    fixed: list[str] = []
    mistakes: list[Mistake] = []
    for text in overrides:
        override = OverridesParser.create().parse_override(text)
        if not override.is_sweep_override():
            fixed.append(text)
            continue
        key, shown = override.key_or_group, text.partition("=")[2]
        forms[key] = override.get_key_element()
        for tag in getattr(override.value(), "tags", ()):
            if tag not in TAGS:
                mistakes.append(Mistake(key, "the tag log or none", f"'{tag}'", did_you_mean(tag, TAGS)))
        try:
            searched[key] = _distribution(override)
        except ValueError as error:
            mistakes.append(Mistake(key, "something to search over", shown, str(error)))
    if mistakes:
        raise ConfigError(mistakes)
    return Space(searched, forms, fixed)


def _distribution(override: Override) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    log = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None
        assert high is not None
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    if isinstance(value, RangeSweep):
        values = list(value.range())
        if not values:
            raise ValueError("the range is empty")
        low, high, step = min(values), max(values), abs(value.step)
        if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
            return IntDistribution(low, high, log=log, step=step)
        return FloatDistribution(float(low), float(high), log=log, step=None if log else float(step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)
