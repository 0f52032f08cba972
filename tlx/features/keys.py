"""The key of a cache entry and the label of its segments: hashes of all that determines a frozen prefix's output."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import PIL
import torch
import torchvision

if TYPE_CHECKING:
    from tlx.backbones.backbone import Backbone
    from tlx.backbones.preprocessing import Preprocessing
    from tlx.data.labels import LabelKind

_VERSION = 2  # of the stored rows; a change invalidates all entries


def weights_hash(backbone: Backbone, groups: Sequence[str]) -> str:
    """Return a hash of the weights and buffers of layer groups, with their names, types and shapes."""
    digest = blake2b(digest_size=16)
    for group in groups:
        for number, module in enumerate(backbone.group_modules(group)):
            for name, tensor in module.state_dict().items():
                plain = tensor.detach().cpu().contiguous()
                digest.update(repr((group, number, name, str(plain.dtype), tuple(plain.shape))).encode())
                digest.update(memoryview(plain.flatten().view(torch.uint8).numpy()))
    return digest.hexdigest()


def prefix_key(
    backbone: Backbone, groups: Sequence[str], preprocessing: Preprocessing, channels: int, **how: str
) -> str:
    """Return the cache key of the output of a frozen prefix.

    Args:
        backbone: The network.
        groups: The prefix, bottom to top.
        preprocessing: Preprocessing of the images.
        channels: Channels of the images.
        how: Other settings that change the last digits: precision, memory format, device.
    """
    values = {
        "version": _VERSION, "weights": weights_hash(backbone, groups), "groups": list(groups),
        "architecture": backbone.architecture, "preprocessing": preprocessing.to_dict(), "channels": channels,
        "torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__, **how,
    }  # fmt: skip
    if backbone.tiles is not None:
        values["tiles"] = dataclasses.asdict(backbone.tiles)
    return _short_hash(values, 16)


def labels_key(kind: LabelKind, preprocessing: Preprocessing, channels: int) -> str:
    """Return the cache key of labels that moved with images of this preprocessing and number of channels."""
    values = {
        "version": _VERSION, "labels": f"{type(kind).__module__}.{type(kind).__qualname__}",
        "preprocessing": preprocessing.to_dict(), "channels": channels,
        "torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__,
    }  # fmt: skip
    return _short_hash(values, 16)


def label(drawing: Mapping[str, Any]) -> str:
    """Return the label of segments whose images were drawn in the same way."""
    return _short_hash(drawing, 6)


def _short_hash(values: Mapping[str, Any], size: int) -> str:
    return blake2b(json.dumps(values, sort_keys=True, default=str).encode(), digest_size=size).hexdigest()
