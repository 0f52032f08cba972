"""Check a strategy against layer groups: a selector that matches nothing, a stage that trains nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlx.base.errors import Mistake
from tlx.strategies.plan import plan_stages
from tlx.strategies.selectors import HEAD, SelectorError, select

Node = Mapping[str, Any]


def check_plan(strategy: Node, optimizer: Node, names: list[str], upper: Sequence[str] = (HEAD,)) -> list[Mistake]:
    """Return the mistakes of strategy and optimizer for these layer groups (bottom to top, the upper ones last)."""
    mistakes: list[Mistake] = []
    if strategy.get("groups") is not None:
        return check_groups(names, strategy["groups"], "strategy.groups", "features", upper)
    for i, stage in enumerate(strategy["stages"]):
        path, what = f"strategy.stages[{i}].train", f"stage '{stage['name']}'"
        mistakes += _check_selector(names, stage["train"], path, what, upper)
    for selector in optimizer.get("group_lr") or {}:
        mistakes += _check_selector(names, selector, "optimizer.group_lr", "a learning rate", upper)
    if not strategy["stages"]:
        mistakes.append(Mistake("strategy.stages", "at least one stage", "none"))
    if mistakes:
        return mistakes
    for stage in plan_stages(strategy, {"lr": 1.0, **optimizer}, names, upper=upper):
        if not any(rate > 0 for rate in stage.peak_lr):
            rates = "learning rates of 0" if stage.trained else "no layer group"
            expected = f"a stage '{stage.name}' that trains at least one layer group"
            mistakes.append(Mistake("strategy.stages", expected, rates, "layer groups: " + ", ".join(names)))
    return mistakes


def check_groups(
    names: list[str], selector: Any, path: str, what: str, upper: Sequence[str] = (HEAD,)
) -> list[Mistake]:
    """Return the mistakes of a selector that must name a layer group of the backbone.

    Args:
        names: All layer groups, bottom to top, the upper ones last.
        selector: What is typed: a selector, or a list of them.
        path: Its dotted key.
        what: The purpose of the groups, a word or two.
        upper: The groups above the backbone.
    """
    mistakes, hint = [*_check_selector(names, selector, path, what, upper)], f"such as {names[-1 - len(upper)]}"
    if not selector:
        mistakes.append(Mistake(path, "at least one layer group", "none", hint))
    if not mistakes and set(select(names, selector, upper)) <= set(upper):
        mistakes.append(Mistake(path, "layer groups below the head", "the head", hint))
    return mistakes


def _check_selector(names: list[str], selector: Any, path: str, what: str, upper: Sequence[str]) -> Iterator[Mistake]:
    for part in [selector] if isinstance(selector, str) else selector:
        try:
            select(names, part, upper)
        except SelectorError as error:
            yield Mistake(path, f"{error.expected} for {what}", f"'{error.selector}'", error.hint)
