"""Tasks: what stands on a backbone, its loss, its figures, its review and its predictions. A folder a task.

`Classification` is imported on first use, so that `tlx.tasks.catalog` stays free of torch.
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
