"""Backbones: pretrained networks as ordered lists of layer groups.

Names are imported on first use, so that importing `tlx.backbones.catalog` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlx.backbones.backbone import Backbone
    from tlx.backbones.files import file_backbone
    from tlx.backbones.lite0 import efficientnet_lite0
    from tlx.backbones.own import own_backbone
    from tlx.backbones.preprocessing import Preprocessing
    from tlx.backbones.rebuild import build
    from tlx.backbones.report import LoadReport, UpperSource
    from tlx.backbones.runs import run_backbone
    from tlx.backbones.small import small_cnn
    from tlx.backbones.timm_models import timm_backbone
    from tlx.backbones.torchvision_models import torchvision_backbone

__all__ = [
    "Backbone",
    "LoadReport",
    "Preprocessing",
    "UpperSource",
    "build",
    "efficientnet_lite0",
    "file_backbone",
    "own_backbone",
    "run_backbone",
    "small_cnn",
    "timm_backbone",
    "torchvision_backbone",
]

# No file has the name of a function in it: importing the file would replace the function by the module.
_FILES = {
    "Backbone": "backbone",
    "LoadReport": "report",
    "Preprocessing": "preprocessing",
    "UpperSource": "report",
    "build": "rebuild",
    "efficientnet_lite0": "lite0",
    "file_backbone": "files",
    "own_backbone": "own",
    "run_backbone": "runs",
    "small_cnn": "small",
    "timm_backbone": "timm_models",
    "torchvision_backbone": "torchvision_models",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
