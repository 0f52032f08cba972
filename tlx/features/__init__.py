"""What layer groups give for images: computed once, kept on disk, shared by runs; or computed as fast as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlx.features.pooled import extract

__all__ = ["extract"]


def __getattr__(name: str) -> Any:
    if name == "extract":  # imports torch, which the command `tlx cache` does without
        from tlx.features.pooled import extract

        return extract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
