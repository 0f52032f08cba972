"""Private names of scikit-learn."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def constraints(target: str) -> dict[str, list[Any]]:
    """Return what each argument of a class of scikit-learn may be, as far as it says so; {} where it does not.

    Args:
        target: Dotted name of the class; its module is imported.

    Returns:
        By argument; a value is right where `is_satisfied_by(value)` of one of them is true. `str` of one says what it
        allows, `hidden` whether that should not be shown.
    """
    module, _, cls = target.rpartition(".")
    try:
        from sklearn.utils._param_validation import make_constraint

        declared = getattr(import_module(module), cls)._parameter_constraints
        listed = {name: allowed for name, allowed in declared.items() if isinstance(allowed, list)}
        return {name: [make_constraint(one) for one in allowed] for name, allowed in listed.items()}
    except (ImportError, AttributeError, ValueError):
        return {}
