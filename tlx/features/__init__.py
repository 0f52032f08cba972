"""Outputs of layer groups for images: computed once and cached on disk for all runs, or computed at full speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlx.features.pooled import extract

__all__ = ["extract"]


def __getattr__(name: str) -> Any:
    if name == "extract":  # imports torch, which the command `tlx cache` does not need
        from tlx.features.pooled import extract

        return extract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
