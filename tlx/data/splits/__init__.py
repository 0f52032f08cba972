"""Samples, and how they are divided into splits by content, group and seed.

`carve` is imported on first use, so that groups and class names can be used without importing NumPy.
"""

from __future__ import annotations

from typing import Any

__all__ = ["carve"]


def __getattr__(name: str) -> Any:
    if name == "carve":
        from tlx.data.splits.division import carve

        return carve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
