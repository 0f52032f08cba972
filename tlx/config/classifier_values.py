"""Values of a classifier's keys, compared with what scikit-learn says of them before any image is read.

Its modules are imported for it, which takes a second or two: what a class takes is made up of those that it inherits
from. Only listed classes are imported; of another one the values are told when it is fitted.
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
    """Yield the values that a classifier's class does not take: a C of -1, no neighbours.

    Args:
        node: The classifier node; its `_target_` is a text.
        own: Its keys that do not go to the class.
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
            continue  # told wherever it stands
        allowed = known.get(key, [])
        if allowed and not any(one.is_satisfied_by(value) for one in allowed):
            yield Mistake(path, " or ".join(str(one) for one in allowed if not one.hidden), show(value))
