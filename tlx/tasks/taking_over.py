"""Take over the layer groups above the backbone of a run: rows of classes by name, other weights as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from tlx.backbones.report import UpperSource
from tlx.base.printable import one_line
from tlx.tasks.kind import TaskKind


def take_over(
    kind: TaskKind,
    own: Mapping[str, Tensor],
    class_names: Sequence[str],
    source: UpperSource,
    shaped_by: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[str], str]:
    """Copy the weights of a run's upper groups into new ones: all of them, or none if any does not fit.

    Parameters with one row for each class are copied row by row for classes of the same name.

    Args:
        kind: The kind of the new task.
        own: The parameters and buffers of its upper groups, by name; changed in place.
        class_names: Its class names, in the order of the rows.
        source: The upper groups of the run.
        shaped_by: Keys of the task that decide the layers of its upper groups, with their values.

    Returns:
        The classes whose rows were copied; one line that says what was taken over and what is new.
    """
    not_taken = f"{', '.join(kind.upper_groups)}: not carried over"
    if source.kind not in (None, kind.name):
        return [], f"{not_taken}; the run has another task, {source.task}"
    for key, chosen in shaped_by.items():
        if source.shaped_by.get(key, chosen) != chosen:
            there = f"task.{key}={one_line(source.shaped_by[key])}"
            return [], f"{not_taken}; the run has {there}, this one task.{key}={chosen}; to carry them over: {there}"
    if source.unfit is not None:
        return [], f"{not_taken}; {source.unfit}"
    for name, value in own.items():
        expected = _shape(kind, name, value, len(class_names))
        given = source.state.get(name)
        got = None if given is None else _shape(kind, name, given, len(source.class_names))
        if got != expected:
            return [], f"{not_taken}; {name}: expected {expected}, got {got or 'none'} in the run"
    shared = [label for label in class_names if label in source.class_names]
    with torch.no_grad():
        for name, value in own.items():
            given = source.state[name]
            if name not in kind.class_rows:
                value.copy_(given)
                continue
            rows = kind.by_class(name, value, len(class_names))
            others = kind.by_class(name, given, len(source.class_names))
            first = len(rows) - len(class_names)  # rows of no class
            rows[:first] = others[:first].to(value.dtype)
            for label in shared:
                row, old = first + class_names.index(label), first + source.class_names.index(label)
                rows[row] = others[old].to(value.dtype)
    of_classes = {name.partition(".")[0] for name in kind.class_rows}
    lines = [f"{group}: carried over" for group in kind.upper_groups if group not in of_classes]
    if of_classes:
        lines.append(f"{' and '.join(sorted(of_classes))}: {_counted(class_names, shared)}")
    return shared if of_classes else [], "; ".join(lines)


def _shape(kind: TaskKind, name: str, value: Tensor, classes: int) -> str | None:
    """Return the shape as text, without the number of classes where it has rows for each; None: it has not."""
    if name not in kind.class_rows:
        return f"shape {tuple(value.shape)}"
    rows = kind.by_class(name, value, classes) if value.ndim else None
    return None if rows is None else f"rows of shape {tuple(rows.shape[1:])}"


def _counted(class_names: Sequence[str], shared: Sequence[str]) -> str:
    new = ", ".join(name for name in class_names if name not in shared) or "none"
    return f"{len(shared)} of {len(class_names)} classes carried over by name; new: {new}"
