"""Multiplications of the parts of a detector, counted on the meta device."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from tlx.backbones.backbone import Backbone
from tlx.tasks.detection.head import DetectionHead, Features
from tlx.tasks.detection.pyramid import Pyramid


def group_macs(backbone: Backbone, size: tuple[int, int]) -> dict[str, int]:
    """Return the multiply-accumulate operations of each layer group for one image, 0 where they cannot be counted.

    Args:
        backbone: The backbone; it is not changed.
        size: Height and width of the image in pixels.
    """
    found = dict.fromkeys(backbone.group_names, 0)
    out = torch.empty(1, backbone.in_channels, *size, device="meta")
    try:
        for name, group in backbone.groups.items():
            found[name], out = macs(group, out)
    except Exception:  # a user's network may need values, which the meta device does not have
        pass
    return found


def macs(module: nn.Module, *inputs: Any) -> tuple[int, Any]:
    """Return the multiply-accumulate operations of a module in eval mode, and its output, both on the meta device."""
    modes = [(part, part.training) for part in module.modules()]
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    on_meta = {name: torch.empty_like(value, device="meta") for name, value in tensors.items()}
    try:
        module.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = functional_call(module, on_meta, inputs)
    finally:
        for part, mode in modes:
            part.training = mode
    return counter.get_total_flops() // 2, output


def upper_macs(backbone: Backbone, pyramid: Pyramid, head: DetectionHead, size: tuple[int, int]) -> dict[str, int]:
    """Return the multiply-accumulate operations of the pyramid and of the head for one image, by name.

    Args:
        backbone: The backbone.
        pyramid: The pyramid on its maps.
        head: The head.
        size: Height and width of the image in pixels.
    """
    maps = {
        name: torch.empty(
            1, backbone.channels[name], *(-(-side // backbone.strides[name]) for side in size), device="meta"
        )
        for name in pyramid.reads
    }
    of_pyramid, (found, grid) = macs(pyramid, maps, size)
    of_head, _ = macs(head, Features(found, grid))
    return {"pyramid": of_pyramid, "head": of_head + head.macs_of_regions()}


def cost_line(backbone: Backbone, pyramid: Pyramid, head: DetectionHead, size: tuple[int, int]) -> str:
    """Return what the parts of a detector cost for one image, as one line; the arguments are those of `upper_macs`."""
    groups = group_macs(backbone, size)
    costs = {"backbone": sum(groups.values()), **upper_macs(backbone, pyramid, head, size)}
    parts, below = (", ".join(f"{name} {n / 1e9:.2f}" for name, n in of.items()) for of in (costs, groups))
    return f"GMAC for an input of {size[0]} x {size[1]}: {parts} (backbone: {below})"
