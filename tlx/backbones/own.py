"""A user's own network as layer groups."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.backbones.first_convolution import adapt_first_convolution
from tlx.backbones.layout import Layout
from tlx.backbones.maps import MeanPool
from tlx.backbones.own_cut import cut_at, layout_of, run_in_turn
from tlx.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tlx.backbones.report import LoadReport
from tlx.base.allowed import allowed_by_user
from tlx.base.errors import TlxError
from tlx.building.safety import how_to_allow, locate

CONTRACT = (
    "a function that returns its layer groups, bottom to top, as {name: module}, each of which takes the output of the "
    "one below, or (network, [names of the modules that end a group])"
)


def own_backbone(
    target: str,
    options: Mapping[str, Any] | None = None,
    size: int = 224,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    in_channels: int = 3,
    load: bool = True,
    name: str = "own",
) -> Backbone:
    """Build the layer groups that a user's function returns; the features are the mean of the last map.

    Args:
        target: Dotted path of the function. It returns layer groups, bottom to top, as {name: module}, where each takes
            the output of the one below; or a network, and the names of the modules that end a group.
        options: Arguments of the function.
        size: Side of the images in pixels.
        mean: Mean of each channel, of values in [0, 1].
        std: Standard deviation of each channel.
        in_channels: Channels of the images. The function gets them if it has an argument of that name; otherwise it
            builds a network for as many channels as `mean` has, and the first convolution is adapted.
        load: Passed on as `pretrained` to a function that has an argument of that name.
        name: Ignored; the name of the configuration node.

    Raises:
        TlxError: The function is not allowed, cannot be imported, fails, or returns something else.
    """
    options = dict(options or {})
    preprocessing = Preprocessing(size, tuple(map(float, mean)), tuple(map(float, std)))
    returned, takes_channels = _call(target, options, in_channels, load)
    groups = _groups(target, returned, in_channels if takes_channels else len(preprocessing.mean), size)
    network = nn.ModuleDict(groups)
    note = None if takes_channels else adapt_first_convolution(network, in_channels)
    preprocessing = preprocessing.for_channels(in_channels)
    shapes = run_in_turn(groups, in_channels, size)
    layouts = {group: layout_of(group, shape, size) for group, shape in shapes.items()}
    last = list(groups)[-1]
    backbone = Backbone(
        groups,
        nn.Identity() if layouts[last].kind == "vector" else MeanPool(layouts[last]),
        architecture={
            "_target_": "tlx.backbones.own_backbone",
            "target": target,
            "options": options,
            "size": size,
            "mean": list(mean),
            "std": list(std),
            "in_channels": in_channels,
        },
        preprocessing=preprocessing,
        num_features=_width(shapes[last], layouts[last]),
        layouts=layouts,
    )
    backbone.fixed_size = _has_one_size(groups, in_channels, size)
    backbone.report = LoadReport(target, notes=[note] if note else [])
    return backbone


def _call(target: str, options: dict[str, Any], in_channels: int, load: bool) -> tuple[Any, bool]:
    """Return what the user's function returns, and whether it takes the number of channels."""
    if not allowed_by_user(target):
        allow = how_to_allow(target, "backbone.target")
        raise TlxError(f"backbone.target: expected a function that you allow, got '{target}'; {allow}")
    try:
        function: Callable[..., Any] = locate(target)
        if callable(function):
            locate(target, "backbone.target")  # what counts is where it is defined, not how it is reached
    except TlxError as error:
        reason = str(error).partition(f"got '{target}': ")[2] or str(error)
        top = target.partition(".")[0]
        if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name == top:
            reason += f"; type it in the folder of {top}.py (of a run: python -m tlx …), or PYTHONPATH=FOLDER tlx …"
        raise TlxError(
            f"backbone.target: expected the dotted path of a function; '{target}' cannot be imported: {reason}"
        ) from error
    if not callable(function):
        raise TlxError(f"backbone.target: expected {CONTRACT}; '{target}' is {_kind(function)}")
    known = _parameters(function)
    more = {key: value for key, value in {"in_channels": in_channels, "pretrained": load}.items() if key in known}
    try:
        return function(**{**more, **options}), "in_channels" in known
    except Exception as error:  # the user's code can raise anything
        raise TlxError(f"backbone.target: {target} failed: {type(error).__name__}: {error}") from error


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # written in C
        return set()


def _groups(target: str, returned: Any, channels: int, size: int) -> dict[str, nn.Module]:
    """Return the layer groups in what the user's function returned."""
    where = f"backbone.target: {target}"
    network, ends = returned if isinstance(returned, tuple) and len(returned) == 2 else (None, None)
    if isinstance(network, nn.Module) and isinstance(ends, list | tuple):
        try:
            return cut_at(network, list(ends), channels, size)
        except TlxError as error:
            raise TlxError(f"{where}: {error}") from error
    if isinstance(returned, nn.ModuleDict):
        returned = dict(returned.items())
    elif isinstance(returned, Sequence) and all(isinstance(one, tuple) and len(one) == 2 for one in returned):
        returned = dict(returned)
    if not isinstance(returned, Mapping) or not returned:
        raise TlxError(f"{where}: expected {CONTRACT}; got {_kind(returned)}")
    for name, module in returned.items():
        if not isinstance(name, str) or not name.isidentifier() or name == "head":
            raise TlxError(f"{where}: expected names of layer groups such as 'stage1' and not 'head', got {name!r}")
        if not isinstance(module, nn.Module):
            raise TlxError(f"{where}: expected a module (torch.nn.Module) for '{name}', got {_kind(module)}")
    _refuse_shared(where, returned)
    return dict(returned)


def _refuse_shared(where: str, groups: Mapping[str, nn.Module]) -> None:
    owner: dict[int, str] = {}
    for name, module in groups.items():
        for parameter in module.parameters():
            other = owner.setdefault(id(parameter), name)
            if other != name:
                raise TlxError(
                    f"{where}: expected each weight in one layer group, got one in both '{other}' and '{name}'"
                )


def _has_one_size(groups: Mapping[str, nn.Module], channels: int, size: int) -> bool:
    """Return whether the network refuses images of twice the size."""
    try:
        run_in_turn(groups, channels, 2 * size)
    except TlxError:
        return True
    return False


def _width(shape: Sequence[int], layout: Layout) -> int:
    return int(shape[-1] if layout.kind != "map" else shape[1])


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, nn.Module):
        return f"a network ({type(value).__name__}) without the names at which to cut it"
    return "None (does it lack a return?)" if value is None else f"{type(value).__name__} {value!r}"[:80]


__all__ = ["own_backbone"]
