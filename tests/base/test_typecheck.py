from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from tlx.base.fields import within
from tlx.base.typecheck import check_node


@dataclass
class Inner:
    name: str
    size: int = 3


@dataclass
class Node:
    lr: float = field(default=1.0, metadata=within(0, 1, open_low=True))
    count: int | None = field(default=None, metadata=within(1))
    mode: Literal["min", "max"] = "max"
    flag: bool | Literal["auto"] = True
    rates: dict[str, float] = field(default_factory=dict, metadata=within(0))
    items: list[Inner] = field(default_factory=list)
    needed: str = "x"


@pytest.mark.parametrize(
    "node",
    [
        {},
        {"lr": 1, "count": None, "mode": "min", "flag": "auto"},
        {"rates": {"head": 0.1, "stem": 0}, "items": [{"name": "a"}, {"name": "b", "size": 4}]},
    ],
)
def test_right_nodes_pass(node):
    """Guards against a check that refuses what is right."""
    assert list(check_node(node, Node, "n")) == []


@pytest.mark.parametrize(
    ("node", "path", "expected", "got", "hint"),
    [
        ({"lr": "fast"}, "n.lr", "a number", "'fast'", ""),
        ({"lr": 0}, "n.lr", "above 0 and at most 1", "0", ""),
        ({"lr": 1.5}, "n.lr", "at most 1", "1.5", ""),
        ({"lr": float("nan")}, "n.lr", "a number", "nan", ""),
        ({"lr": True}, "n.lr", "a number", "true", ""),
        ({"count": 0}, "n.count", "at least 1", "0", ""),
        ({"count": 1.5}, "n.count", "a whole number or null", "1.5", ""),
        ({"mode": "maxx"}, "n.mode", "min or max", "'maxx'", "did you mean 'max'"),
        ({"flag": "yes"}, "n.flag", "true or false or auto", "'yes'", ""),
        ({"rates": {"head": -1}}, "n.rates.head", "at least 0", "-1", ""),
        ({"rates": 3}, "n.rates", "a mapping", "3", ""),
        ({"items": [{"size": 3}]}, "n.items[0].name", "a text", "nothing", ""),
        ({"items": [{"name": "a", "sise": 3}]}, "n.items[0].sise", "a known key", "'sise'", "did you mean 'size'"),
        ({"needed": "???"}, "n.needed", "a value", "nothing", "set it: n.needed=…"),
        ({"lrr": 1}, "n.lrr", "a known key", "'lrr'", "did you mean 'lr'"),
        (3, "n", "a mapping of keys", "3", ""),
    ],
)
def test_each_kind_of_mistake_says_where_what_and_what_instead(node, path, expected, got, hint):
    """Guards against a mistake that passes, or a message that does not help."""
    (mistake,) = check_node(node, Node, "n")
    assert mistake.path == path
    assert expected in mistake.expected
    assert got in mistake.got
    assert hint in mistake.hint


def test_all_mistakes_are_found_at_once():
    """Guards against stopping at the first mistake."""
    node = {"lr": -1, "modee": 1, "flag": 3, "items": [{"size": "x"}]}
    assert len(list(check_node(node, Node, ""))) == 5
