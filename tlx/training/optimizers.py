"""Build an optimizer with named parameter groups for all layer groups, from the start of the run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn, optim

from tlx.base.compat.torch import NormBase
from tlx.base.errors import TlxError
from tlx.building.safety import locate
from tlx.strategies.parameter_groups import NO_DECAY
from tlx.tasks.layer_groups import Owned

OWN_KEYS = {"_target_", "lr", "weight_decay", "layer_decay", "group_lr", "decay_norm_and_bias", "fused", "keep_source"}
FUSED_ON = {"cpu", "cuda"}  # device types on which torch has fused kernels for every optimizer that takes `fused`


def build_optimizer(
    node: Mapping[str, Any], groups: Mapping[str, Sequence[Owned]], may_fuse: bool = True
) -> optim.Optimizer:
    """Build the optimizer of a node, with one or two parameter groups per layer group.

    The norms and biases of a layer group form a separate parameter group, `NAME/no_decay`, without weight decay. All
    groups start with lr 0; the stage callback sets the planned rate before every step.

    Args:
        node: A composed optimizer node as plain values.
        groups: Layer group -> (owning module, parameter name, parameter).
        may_fuse: Whether `fused=auto` may choose torch's fused kernels, which update all tensors of a group at once, if
            the class and the device have them.

    Raises:
        TlxError: `fused=true` for a class without fused kernels.
    """
    weight_decay = float(node.get("weight_decay", 0.0))
    parameter_groups: list[dict[str, Any]] = []
    seen: set[int] = set()
    for name, owned in groups.items():
        split: dict[str, list[nn.Parameter]] = {name: [], name + NO_DECAY: []}
        for owner, key, parameter in owned:
            if id(parameter) in seen:  # a shared parameter belongs to the lowest group that has it
                continue
            seen.add(id(parameter))
            decays = bool(node.get("decay_norm_and_bias")) or not _is_norm_or_bias(owner, key, parameter)
            split[name if decays else name + NO_DECAY].append(parameter)
        for key, parameters in split.items():
            if parameters:
                decay = 0.0 if key.endswith(NO_DECAY) else weight_decay
                parameter_groups.append({"params": parameters, "name": key, "lr": 0.0, "weight_decay": decay})
    cls = locate(str(node["_target_"]))
    extra = {k: tuple(v) if isinstance(v, list) else v for k, v in node.items() if k not in OWN_KEYS}
    if "weight_decay" not in inspect.signature(cls).parameters:
        for group in parameter_groups:
            del group["weight_decay"]
    if _fuses(node.get("fused", "auto"), cls, [p for group in parameter_groups for p in group["params"]], may_fuse):
        extra["fused"] = True
    optimizer: optim.Optimizer = cls(parameter_groups, lr=float(node["lr"]), **extra)
    return optimizer


def _fuses(choice: bool | str, cls: type, parameters: Sequence[nn.Parameter], may_fuse: bool) -> bool:
    takes = "fused" in inspect.signature(cls).parameters
    if choice is True and not takes:
        raise TlxError(
            f"optimizer.fused: expected auto or false for {cls.__name__}, which has no fused kernels, got true; "
            "torch.optim.AdamW, Adam, SGD and Adagrad have them"
        )
    if choice != "auto":
        return bool(choice)
    kinds = {parameter.device.type for parameter in parameters}
    return may_fuse and takes and cls.__module__.startswith("torch.optim.") and kinds <= FUSED_ON


def _is_norm_or_bias(owner: nn.Module, key: str, parameter: nn.Parameter) -> bool:
    is_norm = isinstance(owner, (NormBase, nn.LayerNorm, nn.GroupNorm)) or "norm" in type(owner).__name__.lower()
    # ndim <= 1 covers biases of any name, layer scale and similar parameters.
    return is_norm or key == "bias" or parameter.ndim <= 1
