"""Check the values of a classifier's keys against scikit-learn's constraints before any image is read.

This imports scikit-learn, one or two seconds: a class inherits part of its constraints. Only listed classes are
imported; another class checks its values when it is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from tlx.base.compat.sklearn import constraints
from tlx.base.errors import Mistake
from tlx.base.typecheck import show
from tlx.building.listed import CLASSIFIERS


def wrong_values(node: Mapping[str, Any], own: set[str]) -> Iterator[Mistake]:
    """Yield the values that a classifier's class does not accept: C=-1, n_neighbors=0.

    Args:
        node: The classifier node; its `_target_` is a string.
        own: Its keys that are not passed to the class.
    """
    search = node.get("search")
    given = {f"classifier.{key}": (key, value) for key, value in node.items() if key not in own}
    for key, values in search.items() if isinstance(search, Mapping) else ():
        if key not in node and isinstance(values, list):  # a key that is given is not searched
            given |= {f"classifier.search.{key}[{i}]": (key, value) for i, value in enumerate(values)}
    target = str(node["_target_"])
    known = constraints(target) if given and target in CLASSIFIERS else {}
    for path, (key, value) in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            continue  # reported by check_plain
        allowed = known.get(key, [])
        if allowed and not any(one.is_satisfied_by(value) for one in allowed):
            yield Mistake(path, " or ".join(str(one) for one in allowed if not one.hidden), show(value))
