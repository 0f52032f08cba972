"""Backbones from torchvision, with its weights and their preprocessing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlparse

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision.models import WeightsEnum

from tlx.backbones.backbone import Backbone
from tlx.backbones.catalog import TORCHVISION, takes_one_size
from tlx.backbones.first_convolution import adapt_first_convolution
from tlx.backbones.original import original_names, tensor_names
from tlx.backbones.preprocessing import Preprocessing
from tlx.backbones.report import LoadReport
from tlx.backbones.torchvision_groups import cut
from tlx.base.errors import TlxError, did_you_mean


def torchvision_backbone(
    name: str, weights: str | None = "DEFAULT", in_channels: int = 3, load: bool = True
) -> Backbone:
    """Build a torchvision network without its classifier.

    The features equal the input of the original's last linear layer exactly (without the dropout before it). SqueezeNet
    has no linear layer; its features are the pooled `features`.

    Args:
        name: A name of `tlx.backbones.catalog.TORCHVISION`.
        weights: Name in torchvision's weights enum of that model, such as 'IMAGENET1K_V1' or 'DEFAULT'; None: random.
        in_channels: Channels of the images; if not 3, see `adapt_kernel`.
        load: False: only the architecture, with random weights; no file is read.

    Raises:
        TlxError: The name or the weights are unknown, or the weights can be neither found nor downloaded.
    """
    if name not in TORCHVISION:
        hint = did_you_mean(name, TORCHVISION)
        raise TlxError(f"backbone.name: expected a torchvision model, got '{name}'; {hint}".rstrip("; "))
    enum = torchvision.models.get_model_weights(name)
    entry = _entry(name, enum, weights)
    # A network with random weights gets the image size and normalisation of the default weights.
    preprocessing = _preprocessing(entry or enum["DEFAULT"])
    options: dict[str, Any] = {"image_size": preprocessing.short_side} if name.startswith("vit") else {}
    if entry is not None and load:
        model = _download(name, entry)
    else:
        with _ValuesOnCpu() if name.startswith("regnet") else nullcontext():
            model = torchvision.models.get_model(name, weights=None, **options)
    note = adapt_first_convolution(model, in_channels)

    parts = cut(name, model)
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1:]
    backbone = Backbone(
        parts.groups,
        parts.pool,
        architecture={
            "_target_": "tlx.backbones.torchvision_backbone",
            "name": name,
            "weights": weights,
            "in_channels": in_channels,
        },
        preprocessing=preprocessing.for_channels(in_channels),
        num_features=head[0].in_features if not name.startswith("squeezenet") else 512,
        layouts=parts.layouts,
        fixed_size=takes_one_size(name),
    )
    backbone.original_names = original_names(backbone, tensor_names(model))
    source = f"torchvision {name} {entry.name}" if entry is not None and load else "random"
    backbone.report = LoadReport(source, notes=[note] if note else [])
    return backbone


def _entry(name: str, enum: type[WeightsEnum], weights: str | None) -> WeightsEnum | None:
    if weights is None:
        return None
    valid = ["DEFAULT", *(w.name for w in enum)]
    short = str(weights).removeprefix(f"{enum.__name__}.")
    if short not in valid:
        hint = did_you_mean(short, valid)
        raise TlxError(
            f"backbone.weights: expected one of {', '.join(valid)} or null for {name}, got '{weights}'; {hint}"
        )
    return enum[short]


def _preprocessing(entry: WeightsEnum) -> Preprocessing:
    preset = entry.transforms()
    size = preset.crop_size[0]
    return Preprocessing(
        size=size,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
        crop=size / preset.resize_size[0],
    )


def _download(name: str, entry: WeightsEnum) -> nn.Module:
    try:
        model: nn.Module = torchvision.models.get_model(name, weights=entry)
    except OSError as error:  # no network, no such URL or a full disk
        folder = os.path.join(torch.hub.get_dir(), "checkpoints")
        file = os.path.basename(urlparse(entry.url).path)
        raise TlxError(
            f"backbone: expected the weights {name} {entry.name} in {os.path.join(folder, file)}, or a network to "
            f"download them, got: {error}\n"
            f"Put the file of {entry.url} there, or set backbone.weights=null, or backbone=efficientnet_lite0, whose "
            f"weights are installed."
        ) from error
    return model


class _ValuesOnCpu(TorchFunctionMode):
    """Create the tensors of which torchvision computes RegNet's widths on the CPU, even on the meta device."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.arange, torch.tensor):
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)
