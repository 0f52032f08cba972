"""Cut a timm model into layer groups along its chain of modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import isqrt
from typing import Any

from torch import Tensor, nn

from tlx.backbones.block_arguments import Ending, Recorder, Section, Start
from tlx.backbones.layout import Layout
from tlx.backbones.timm_chain import Chain
from tlx.base.compat.torch import shallow_copy
from tlx.base.errors import TlxError


def group_modules(chain: Chain, features: Sequence[str], reductions: Sequence[int]) -> dict[str, list[str]]:
    """Return layer group (stem, stage1, …) -> names of its modules; modules after the last feature are in no group.

    Each of timm's features ends a group. The stem ends with the first feature if that has stride 1 or 2, as in
    torchvision's networks; otherwise the stem consists of the modules before it. A network with a single resolution,
    such as a Vision Transformer, has one feature per block; its blocks are divided into four stages of equal length.

    Args:
        chain: The chain of the model.
        features: Names of the modules whose outputs are timm's features, bottom to top.
        reductions: Stride of each.
    """
    ends = [chain.modules.index(name) + 1 for name in features]
    if len(ends) > 4 and len(set(reductions)) == 1:
        ends = [ends[len(ends) * quarter // 4 - 1] for quarter in (1, 2, 3, 4)]
    first = chain.modules.index(features[0])
    anything_before = first > 0 or not chain.from_image
    if reductions[0] > 2 and anything_before:
        ends.insert(0, first)
    names = ["stem", *(f"stage{i}" for i in range(1, len(ends)))]
    return {name: chain.modules[a:b] for name, (a, b) in zip(names, pairwise([0, *ends]), strict=True)}


def cut(model: Any, chain: Chain, groups: dict[str, list[str]]) -> tuple[dict[str, nn.Module], nn.Module]:
    """Return the layer groups and the pool of a model; its modules are shared, not copied.

    Args:
        model: A timm model without classifier.
        chain: Its chain.
        groups: The result of `group_modules`.
    """
    modules = dict(model.named_modules())
    if chain.arguments:
        return _cut_with_arguments(model, modules, chain, groups)
    parts: dict[str, nn.Module] = {}
    for name, members in groups.items():
        layers = [modules[member] for member in members]
        if members and members[0] in chain.in_place:  # a group must not change its input, which may be cached
            layers.insert(0, Copy())
        if name == "stem" and not chain.from_image:
            instead = {member: Pass() for member in chain.modules}
            layers.insert(0, BeforeChain(_copy_with(model, chain.before, parameters=True, instead=instead)))
        parts[name] = nn.Sequential(*layers) if len(layers) != 1 else layers[0]
    grouped = sum(len(members) for members in groups.values())
    rest = [modules[name] for name in chain.modules[grouped:]]
    head = AfterChain(_copy_with(model, chain.head, parameters=False))
    return parts, nn.Sequential(*rest, head)


def _cut_with_arguments(
    model: Any, modules: dict[str, nn.Module], chain: Chain, groups: dict[str, list[str]]
) -> tuple[dict[str, nn.Module], nn.Module]:
    recorders = {name: Recorder(name) for name in chain.modules}
    kept = [*chain.before, *chain.uncalled]
    start = Start(_copy_with(model, kept, parameters=True, instead=recorders), list(recorders.values()))
    parts: dict[str, nn.Module] = {}
    for name, members in groups.items():
        layers = {member: modules[member] for member in members}
        if members and members[0] in chain.in_place:
            layers = {"copy": Copy(), **layers}
        parts[name] = Section(layers, start if name == next(iter(groups)) else None)
    grouped = sum(len(members) for members in groups.values())
    rest = {name: modules[name] for name in chain.modules[grouped:]}
    return parts, Ending({**rest, "head": AfterChain(_copy_with(model, chain.head, parameters=False))})


def layouts(
    chain: Chain, groups: dict[str, list[str]], channels: dict[str, int], size: int, unrolled: Sequence[int] = ()
) -> dict[str, Layout]:
    """Return the layout of every group's output.

    Args:
        chain: The chain of the model, with the shapes for a square image of `size` pixels.
        groups: The result of `group_modules`.
        channels: Channels of timm's features by module.
        size: Side of the image, in pixels.
        unrolled: For each group, how many times its tokens were reordered; (): never.

    Raises:
        TlxError: An output is neither a map nor the tokens of one.
    """
    found: dict[str, Layout] = {}
    for name, members in reversed(groups.items()):
        # A stem without modules of its own has the layout of the next group's output.
        if not members:
            found[name] = next(reversed(found.values()))
            continue
        shape = chain.shapes[members[-1]]
        found[name] = _layout(shape, channels.get(members[-1]), size, list(found.values()))
    times = unrolled or [0] * len(groups)
    return {name: replace(found[name], unrolled=many) for name, many in zip(groups, times, strict=True)}


def _layout(shape: tuple[int, ...], channels: int | None, size: int, above: list[Layout]) -> Layout:
    if len(shape) == 4:
        last = shape[1] == shape[2] and shape[1] != shape[3]
        if channels is not None and shape[1] != shape[3]:
            last = shape[3] == channels
        elif shape[1] == shape[2] == shape[3]:
            last = bool(above) and above[-1].kind == "channels_last"
        return Layout("channels_last") if last else Layout("map")
    if len(shape) == 3:
        side = isqrt(shape[1])
        prefix = shape[1] - side * side
        if side > 0 and prefix < 16 and size % side == 0:
            return Layout("tokens", prefix=prefix, patch=size // side)
    raise TlxError(f"expected outputs that are maps or the tokens of one, got the shape {shape}")


class BeforeChain(nn.Module):
    """The computation before the chain: image (B, C, H, W) to the input of the chain's first module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model  # its later modules are replaced by the identity

    def forward(self, x: Tensor) -> Tensor:
        """Return the input of the chain's first module for images (B, C, H, W)."""
        given: Tensor = self.model.forward_features(x)  # type: ignore[operator]
        return given


class AfterChain(nn.Module):
    """A model's own pooling: the chain's last output to pooled features (B, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features (B, D)."""
        pooled: Tensor = self.model.forward_head(x, pre_logits=True)  # type: ignore[operator]
        return pooled


class Copy(nn.Module):
    """A copy of the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of a tensor of any shape."""
        return x.clone()


class Pass(nn.Module):
    """The identity, which replaces a module; further arguments are ignored."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the input, of any shape."""
        return x


def _copy_with(
    model: nn.Module,
    names: Iterable[str],
    parameters: bool,
    path: str = "",
    instead: Mapping[str, nn.Module] | None = None,
) -> nn.Module:
    """Return a shallow copy of a model that keeps some of its modules and replaces the others by the identity.

    Args:
        model: It is not changed; the copy shares its modules.
        names: Modules to keep. Containers of kept modules are copied; other modules with tensors become the identity.
        parameters: Whether to keep the model's own parameters, such as a class token.
        path: Name of `model` in the whole model.
        instead: Modules that replace others, by the others' names.
    """
    names, instead = list(names), instead or {}
    clone = shallow_copy(model, parameters)
    for name, child in model.named_children():
        full = f"{path}.{name}" if path else name
        if full in names:
            continue
        if full in instead:
            clone.add_module(name, instead[full])
            continue
        has_tensors = any(True for _ in child.parameters()) or any(True for _ in child.buffers())
        if isinstance(child, (nn.Sequential, nn.ModuleList)) or any(
            n.startswith(f"{full}.") for n in (*names, *instead)
        ):
            clone.add_module(name, _copy_with(child, names, True, full, instead))
        elif has_tensors:
            clone.add_module(name, Pass())
    return clone
