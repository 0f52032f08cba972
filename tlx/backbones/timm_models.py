"""Backbones from timm: any model whose features are computed by a chain of modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import nn

from tlx.backbones.backbone import Backbone
from tlx.backbones.layout import SIZES, measure
from tlx.backbones.original import original_names, tensor_names
from tlx.backbones.preprocessing import INTERPOLATIONS, Preprocessing
from tlx.backbones.report import LoadReport
from tlx.backbones.timm_chain import Chain, find_chain
from tlx.backbones.timm_groups import cut, group_modules, layouts
from tlx.backbones.timm_rewrites import rewrite, unrolled
from tlx.backbones.timm_weights import check_reachable, local_file
from tlx.base.errors import TlxError, did_you_mean
from tlx.base.gradients import no_gradients


def timm_backbone(name: str, pretrained: bool = True, in_channels: int = 3, load: bool = True) -> Backbone:
    """Build a timm model without its classifier as stem, stage1, … .

    The features equal `forward_head(forward_features(x), pre_logits=True)` exactly.

    Args:
        name: A name for `timm.create_model`, with or without a tag, such as 'convnext_tiny.fb_in22k'.
        pretrained: Whether to load timm's pretrained weights, from a local cache or the network.
        in_channels: Channels of the images; timm adapts the first convolution by the rule of `adapt_kernel`.
        load: False: only the architecture, with random weights; no file is read.

    Raises:
        TlxError: The model is unknown, no chain of modules computes its features, or its weights are not available.
    """
    _check_name(name, pretrained)
    with _shapes_only():
        skeleton: Any = timm.create_model(name, pretrained=False, num_classes=0, in_chans=in_channels).eval()
    preprocessing = _preprocessing(skeleton).for_channels(in_channels)
    rewrite(skeleton)
    info: list[dict[str, Any]] = list(getattr(skeleton, "feature_info", None) or [])
    features = [str(entry["module"]) for entry in info]
    try:
        chain = _chain(skeleton, features, in_channels, preprocessing.short_side)
        groups = group_modules(chain, features, [int(entry["reduction"]) for entry in info])
        reductions = {str(entry["module"]): int(entry["reduction"]) for entry in info}
        channels = {str(entry["module"]): int(entry["num_chs"]) for entry in info}
        output_layouts = layouts(chain, groups, channels, preprocessing.short_side, unrolled(skeleton))
    except TlxError as error:
        raise TlxError(f"timm's {name} cannot be cut into layer groups: {error}") from error

    model = _create(name, pretrained and load, in_channels)
    names = tensor_names(model)
    rewrite(model)
    parts, pool = cut(model, chain, groups)
    backbone = Backbone(
        parts,
        pool,
        architecture={
            "_target_": "tlx.backbones.timm_backbone",
            "name": name,
            "pretrained": pretrained,
            "in_channels": in_channels,
        },
        preprocessing=preprocessing,
        num_features=chain.num_features,
        layouts=output_layouts,
        strides={
            name: reductions[members[-1]] for name, members in groups.items() if members and members[-1] in channels
        },
        fixed_size=_has_one_size(skeleton, chain),
    )
    # Some networks accept one size only (or its multiples) although timm does not mark them so.
    backbone.fixed_size = backbone.fixed_size or not _accepts_other_sizes(backbone)
    backbone.original_names = original_names(backbone, names)
    notes = [f"first convolution: {in_channels} input channels, adapted by timm"] if in_channels != 3 else []
    backbone.report = LoadReport(f"timm {name}" if pretrained and load else "random", notes=notes)
    return backbone


def _check_name(name: str, pretrained: bool) -> None:
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        hint = did_you_mean(base, timm.list_models())
        raise TlxError(f"backbone.name: expected a timm model, got '{name}'; {hint}".rstrip("; "))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in tags:
        hint = did_you_mean(name, [f"{base}.{t}" for t in tags])
        raise TlxError(f"backbone.name: expected a tag of timm's {base} ({', '.join(tags)}), got '{tag}'; {hint}")
    if pretrained and not timm.models.is_model_pretrained(base):
        raise TlxError(
            f"backbone: expected a model with pretrained weights, got {name}, for which timm has none; "
            "set backbone.pretrained=false"
        )


def _chain(skeleton: nn.Module, features: list[str], in_channels: int, size: int) -> Chain:
    with _shapes_only():
        try:
            return find_chain(skeleton, torch.empty(2, in_channels, size, size), features)
        except TlxError:
            skeleton.requires_grad_(False)
            with torch.enable_grad():
                image = torch.empty(2, in_channels, size, size, requires_grad=True).clone()
                return find_chain(skeleton, image, features, arguments=True)


@contextmanager
def _shapes_only() -> Iterator[None]:
    """Create tensors on the meta device: they have a shape and count changes in place, but have no memory."""
    with torch.device("meta"), no_gradients():
        yield


def _has_one_size(model: Any, chain: Chain) -> bool:
    """Return whether timm says so. It says so of every Vision Transformer, even if it was trained at many sizes."""
    dynamic = bool(chain.arguments) and getattr(model, "dynamic_img_size", False)
    return bool(model.pretrained_cfg.get("fixed_input_size")) and not dynamic


def _accepts_other_sizes(backbone: Backbone) -> bool:
    try:
        measure(backbone.groups, backbone.layouts, backbone.in_channels, SIZES)
    except (AssertionError, RuntimeError, TlxError):
        return False
    return True


def _preprocessing(model: nn.Module) -> Preprocessing:
    config: dict[str, Any] = timm.data.resolve_model_data_config(model)
    size = config["input_size"][-1]
    interpolation = config["interpolation"] if config["interpolation"] in INTERPOLATIONS else "bicubic"
    return Preprocessing(size, tuple(config["mean"]), tuple(config["std"]), interpolation, float(config["crop_pct"]))


def _create(name: str, pretrained: bool, in_channels: int) -> nn.Module:
    overlay = None
    if pretrained:
        config = timm.get_pretrained_cfg(name)
        file = local_file(config)
        if file is None:
            check_reachable(name, config)
        else:
            overlay = {"file": file}  # read it without asking the hub for a newer version
    return timm.create_model(
        name, pretrained=pretrained, num_classes=0, in_chans=in_channels, pretrained_cfg_overlay=overlay
    )
