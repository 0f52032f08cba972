"""The dimensions of a layer group's output, its stride and its channels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tlx.backbones.block_arguments import plain
from tlx.base.errors import TlxError

SIZES = (256, 512)  # sides in pixels of the images that measure a network without a fixed size


@dataclass(frozen=True)
class Layout:
    """The order and meaning of the dimensions of a layer group's output.

    Args:
        kind: 'map' (B, C, H, W), 'channels_last' (B, H, W, C), 'tokens' (B, prefix + H·W, C) or 'vector' (B, C).
        prefix: Number of tokens before the patch tokens, such as a class token.
        patch: Side of a patch in pixels, for tokens.
        unrolled: For tokens, how many times they were reordered by their place in each 2 x 2 block: first come all
            upper left ones, then all upper right ones, …. Repeated, it is the order of Hiera, in which neighbours are
            pooled along one dimension.
    """

    kind: Literal["map", "channels_last", "tokens", "vector"]
    prefix: int = 0
    patch: int = 0
    unrolled: int = 0

    def to_map(self, output: Tensor, size: tuple[int, int] | None) -> Tensor:
        """Return a group's output as a map.

        Args:
            output: The group's output, in this layout.
            size: Height and width in pixels of the image that it was computed from; None: a square image.

        Returns:
            Shape (B, C, H', W'); a vector (B, C) is returned unchanged.

        Raises:
            TlxError: An image of that size has another number of tokens.
        """
        if self.kind == "channels_last":
            return output.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            tokens = output[:, self.prefix :]  # (B, H'·W', C)
            side = math.isqrt(tokens.shape[1])
            height, width = (side, side) if size is None else (size[0] // self.patch, size[1] // self.patch)
            if tokens.shape[1] != height * width:
                shown = "a square image" if size is None else f"an image of {size[0]} x {size[1]} pixels"
                raise TlxError(f"backbone: expected the tokens of {shown}, got {tokens.shape[1]}; run from the image")
            if self.unrolled:
                tokens = _rolled(tokens, height, width, self.unrolled)
            return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, width)
        return output

    def size_of_image(self, output: Tensor, own: tuple[int, int], stride: int) -> tuple[int, int]:
        """Return the height and width in pixels of the image that a group's output was computed from.

        Args:
            output: The group's output (B, …), in this layout.
            own: The size that images usually have; it is returned if the output has its number of tokens.
            stride: Pixels of the image per pixel of the output.

        Raises:
            TlxError: Neither an image of that size nor a square one has this number of tokens.
        """
        if self.kind == "tokens":
            count = output.shape[1] - self.prefix
            if count == (own[0] // self.patch) * (own[1] // self.patch):
                return own
            side = math.isqrt(count)
            if side * side != count:
                raise TlxError(
                    f"backbone: expected the tokens of a square image, or of {own[0]} x {own[1]} pixels, got {count}; "
                    f"run from the image, or call with size=(height, width)"
                )
            return side * self.patch, side * self.patch
        height, width = self.to_map(output, None).shape[-2:]
        return height * stride, width * stride

    def mean(self, output: Tensor, size: tuple[int, int] | None) -> Tensor:
        """Return the mean of a group's output over its positions, (B, C); arguments as for `to_map`."""
        if self.kind == "tokens" and size is None and math.isqrt(count := output.shape[1] - self.prefix) ** 2 != count:
            return output[:, self.prefix :].mean(dim=1)  # of an image that is no square
        return output if self.kind == "vector" else self.to_map(output, size).mean(dim=(2, 3))


def _rolled(tokens: Tensor, height: int, width: int, times: int) -> Tensor:
    """Return tokens (B, H·W, C), unrolled so many times, in the order of the image."""
    batch, _, channels = tokens.shape
    apart = tokens.reshape(batch, *(2, 2) * times, height >> times, width >> times, channels)
    rows, columns = range(2 * times + 1, 0, -2), range(2 * times + 2, 0, -2)
    return apart.permute(0, *rows, *columns, -1).reshape(batch, height * width, channels)


def measure(
    groups: nn.ModuleDict, layouts: Mapping[str, Layout], channels: int, sizes: tuple[int, ...]
) -> dict[str, tuple[int, int]]:
    """Return (stride in pixels, channels) of every layer group's output; the stride of a vector is 0.

    Runs the groups on the meta device, which computes shapes only. It runs two sizes because a network without padding
    loses pixels at the borders (13 instead of 14); the difference of two sizes is free of that loss.

    Args:
        groups: Layer groups, bottom to top.
        layouts: Layouts of their outputs.
        channels: Channels of the images.
        sizes: Sides in pixels of the images to run: the only one that the network accepts, or `SIZES`.
    """
    outputs = [_shapes(groups, layouts, channels, size) for size in sizes]
    measures = {}
    for name, layout in layouts.items():
        if layout.kind == "vector":
            measures[name] = (0, outputs[0][name][1])
        else:
            sides = [0, *(shapes[name][-1] for shapes in outputs)]
            pixels = [0, *sizes]
            measures[name] = (round((pixels[-1] - pixels[-2]) / (sides[-1] - sides[-2])), outputs[0][name][1])
    return measures


@contextmanager
def evaluating(group: nn.Module) -> Iterator[None]:
    """Keep a module in eval mode inside the block, so that an image without meaning moves no BatchNorm statistics."""
    training = [(module, module.training) for module in group.modules()]
    try:
        group.eval()
        yield
    finally:
        for module, mode in training:
            module.training = mode


def on_meta(group: nn.Module, x: Any) -> Any:
    """Return what a layer group in eval mode returns for `x` (B, …) on the meta device; the group stays as it is."""
    tensors = {**dict(group.named_parameters()), **dict(group.named_buffers())}
    with evaluating(group), torch.no_grad():
        return functional_call(group, {k: torch.empty_like(v, device="meta") for k, v in tensors.items()}, (x,))


def _shapes(
    groups: nn.ModuleDict, layouts: Mapping[str, Layout], channels: int, size: int
) -> dict[str, tuple[int, ...]]:
    """Return the shape of every group's output as a map, or as (B, C), for a square image of `size` pixels."""
    shapes = {}
    out: Any = torch.empty(2, channels, size, size, device="meta")
    for name, group in groups.items():
        out = on_meta(group, out)
        shapes[name] = tuple(layouts[name].to_map(plain(out), (size, size)).shape)
    return shapes
