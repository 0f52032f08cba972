"""How the output of a layer group is laid out, and its stride and channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.func import functional_call

if TYPE_CHECKING:
    from tlx.backbones.backbone import Backbone


@dataclass(frozen=True)
class Layout:
    """Layout of a tensor that a layer group gives.

    Args:
        kind: 'map' (B, C, H, W), 'channels_last' (B, H, W, C), 'tokens' (B, prefix + H·W, C) or 'vector' (B, C).
        prefix: Number of tokens before those of the patches, such as a class token.
        patch: Side of a patch in pixels, for tokens.
    """

    kind: Literal["map", "channels_last", "tokens", "vector"]
    prefix: int = 0
    patch: int = 0

    def to_map(self, output: Tensor, image: Tensor) -> Tensor:
        """Return a group's output as a map.

        Args:
            output: The group's output, in this layout.
            image: The image (B, C, H, W) that it was computed from; only its shape is used.

        Returns:
            Shape (B, C, H', W').
        """
        if self.kind == "channels_last":
            return output.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            height, width = image.shape[-2] // self.patch, image.shape[-1] // self.patch
            tokens = output[:, self.prefix :]  # (B, H'·W', C)
            return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, width)
        return output

    def mean(self, output: Tensor, image: Tensor) -> Tensor:
        """Return the mean of a group's output over its places, (B, C); arguments as for `to_map`."""
        return output if self.kind == "vector" else self.to_map(output, image).mean(dim=(2, 3))


def measure(backbone: Backbone) -> dict[str, tuple[int, int]]:
    """Return (stride in pixels, channels) of every layer group's output; stride 0 where it is not a map.

    Runs the groups on the meta device: shapes only, no memory, no arithmetic. Two sizes are run because a network
    without padding gives 13 where 14 would be exact: the difference of two sizes is free of such borders.
    """
    size = backbone.preprocessing.size
    sizes = (size,) if backbone.fixed_size else (256, 512)
    outputs = [_shapes(backbone, s) for s in sizes]
    measures = {}
    for name, layout in backbone.layouts.items():
        if layout.kind == "vector":
            measures[name] = (0, outputs[0][name][1])
        else:
            sides = [0, *(shapes[name][-1] for shapes in outputs)]
            pixels = [0, *sizes]
            measures[name] = (round((pixels[-1] - pixels[-2]) / (sides[-1] - sides[-2])), outputs[0][name][1])
    return measures


def _shapes(backbone: Backbone, size: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every group's output as a map, or as (B, C), for a square image of `size` pixels."""
    shapes = {}
    image = torch.empty(2, backbone.in_channels, size, size, device="meta")
    training = [(module, module.training) for module in backbone.modules()]
    try:
        backbone.eval()
        out = image
        for name, group in backbone.groups.items():
            tensors = {**dict(group.named_parameters()), **dict(group.named_buffers())}
            with torch.no_grad():
                out = functional_call(group, {k: torch.empty_like(v, device="meta") for k, v in tensors.items()}, out)
            layout = backbone.layouts[name]
            shapes[name] = tuple(layout.to_map(out, image).shape)
    finally:
        for module, mode in training:
            module.training = mode
    return shapes
