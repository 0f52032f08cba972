"""Private names of scikit-learn."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def constraints(target: str) -> dict[str, list[Any]]:
    """Return the constraints that a class of scikit-learn declares for its arguments; {} if it declares none.

    Args:
        target: Dotted name of the class; its module is imported.

    Returns:
        Constraints by argument. A value is valid if `is_satisfied_by(value)` of one of them is true. `str` of a
        constraint describes it; `hidden` says that it should not be shown.
    """
    module, _, cls = target.rpartition(".")
    try:
        from sklearn.utils._param_validation import make_constraint

        declared = getattr(import_module(module), cls)._parameter_constraints
        listed = {name: allowed for name, allowed in declared.items() if isinstance(allowed, list)}
        return {name: [make_constraint(one) for one in allowed] for name, allowed in listed.items()}
    except (ImportError, AttributeError, ValueError):
        return {}
