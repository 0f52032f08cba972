"""Samples, and how they are divided: by content, group and seed.

`tlx.data.splits.carve` is imported on first use: what is known of groups and class names needs no NumPy.
"""

from __future__ import annotations

from typing import Any

__all__ = ["carve"]


def __getattr__(name: str) -> Any:
    if name == "carve":
        from tlx.data.splits.division import carve

        return carve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
