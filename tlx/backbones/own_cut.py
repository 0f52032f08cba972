"""Cut a user's network into layer groups, and check that they fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from tlx.backbones.layout import Layout, on_meta
from tlx.backbones.timm_chain import find_chain
from tlx.backbones.timm_groups import cut
from tlx.base.errors import TlxError, did_you_mean
from tlx.base.gradients import no_gradients


def cut_at(network: nn.Module, ends: Sequence[str], channels: int, size: int) -> dict[str, nn.Module]:
    """Return the layer groups stem, stage1, … of a network; what comes after the last one is left out.

    Args:
        network: Its `forward` takes images; a chain of modules computes what it returns.
        ends: Names of the modules that end a group, bottom to top.
        channels: Channels of the images.
        size: Side of the images in pixels.

    Raises:
        TlxError: There is no such module, or no chain of modules leads through them.
    """
    names = [name for name, _ in network.named_modules() if name]
    for end in ends:
        if end not in names:
            raise TlxError(f"expected names of modules at which to cut, got '{end}'; {did_you_mean(str(end), names)}")
    mode = network.training
    try:
        with no_gradients():
            chain = find_chain(network.eval(), torch.zeros(2, channels, size, size), list(ends), to_head=False)
    finally:
        network.train(mode)
    if not chain.from_image:
        raise TlxError(
            f"expected a chain of modules from the image to '{ends[-1]}', got other computation before "
            f"{chain.modules[0]}; return {{name: module}} instead"
        )
    last = [chain.modules.index(end) + 1 for end in ends]
    if any(above <= below for below, above in pairwise(last)):
        raise TlxError(f"expected the names of different modules, bottom to top, got {', '.join(ends)}")
    groups = {
        "stem" if i == 0 else f"stage{i}": chain.modules[first:end]
        for i, (first, end) in enumerate(pairwise([0, *last]))
    }
    return cut(network, chain, groups)[0]


@no_gradients()
def run_in_turn(groups: Mapping[str, nn.Module], channels: int, size: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every group's output for two images, computed on the meta device.

    Raises:
        TlxError: A group does not take the output of the one below it, or returns no tensor.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    x = torch.empty(2, channels, size, size, device="meta")
    for name, group in groups.items():
        below = f"the output of '{list(shapes)[-1]}'" if shapes else "images"
        try:
            output: Any = on_meta(group, x)
        except Exception as error:  # the user's code can raise anything
            reason = " ".join(str(error).split())[:200]
            raise TlxError(
                f"backbone.target: expected the layer group '{name}' to take {below}, {tuple(x.shape)}, got "
                f"{type(error).__name__}: {reason}"
            ) from error
        if not isinstance(output, Tensor):
            raise TlxError(
                f"backbone.target: expected the layer group '{name}' to return a tensor, got {type(output).__name__}"
            )
        shapes[name], x = tuple(output.shape), output
    return shapes


def layout_of(name: str, shape: Sequence[int], size: int) -> Layout:
    """Return the layout of a group's output.

    Args:
        name: The group.
        shape: The shape of its output for two images.
        size: Side of the images in pixels.

    Raises:
        TlxError: It is neither a map (B, C, H, W), nor tokens (B, N, C), nor a vector (B, C).
    """
    if len(shape) == 4:
        return Layout("channels_last" if shape[1] == shape[2] != shape[3] else "map")
    if len(shape) == 2:
        return Layout("vector")
    if len(shape) == 3:
        side = isqrt(shape[1])
        prefix = shape[1] - side * side
        if side > 0 and prefix < 16 and size % side == 0:
            return Layout("tokens", prefix=prefix, patch=size // side)
    raise TlxError(
        f"backbone.target: expected the layer group '{name}' to return a map (B, C, H, W), tokens of one (B, N, C), "
        f"or a vector (B, C), got {tuple(shape)}"
    )
