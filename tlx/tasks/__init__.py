"""Tasks, one folder each: what stands above a backbone, its loss, metrics, review and predictions.

A task is imported on first use, so that importing `tlx.tasks.catalog` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlx.tasks.classification.task import Classification
    from tlx.tasks.detection.task import Detection
    from tlx.tasks.segmentation.task import Segmentation

__all__ = ["Classification", "Detection", "Segmentation"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{name.lower()}.task"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
