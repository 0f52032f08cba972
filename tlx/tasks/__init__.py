"""Tasks, one folder each: the head on a backbone, its loss, metrics, review and predictions.

`Classification` is imported on first use, so that importing `tlx.tasks.catalog` does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlx.tasks.classification.task import Classification

__all__ = ["Classification"]


def __getattr__(name: str) -> Any:
    if name == "Classification":
        from tlx.tasks.classification.task import Classification

        return Classification
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
