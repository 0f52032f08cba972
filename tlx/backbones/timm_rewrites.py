"""Networks of timm whose features come from more than a chain of modules, rewritten as one.

Some of timm's networks compute between their modules: they add a class token halfway, or reshape tokens into a map.
Here that computation becomes part of a module. The network computes the same and has the same tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tlx.backbones.timm_modules import (
    AddPosition,
    EmbedAndDrop,
    OutputOnly,
    Permuted,
    PrependToken,
    ToGrid,
    TokenAlone,
    TokenStage,
    ToTokens,
)
from tlx.base.compat.timm import encoded_by_gemma, with_positions


def rewrite(model: Any) -> None:
    """Change a timm model, in place, so that a chain of modules computes its features, if it is one of these networks.

    Args:
        model: The model; its `feature_info` then names the modules whose outputs are timm's features.
    """
    change = _REWRITES.get(type(model).__name__)
    if change is not None:
        change(model)


def unrolled(model: Any) -> Sequence[int]:
    """Return how many times each layer group of a rewritten model reorders its tokens, see `Layout`; (): none does."""
    found: Sequence[int] = getattr(model, "unrolled", ())
    return found


def _becomes(model: Any, forward_features: Callable[[Any, Tensor], Tensor]) -> None:
    """Replace the method by which a model computes its features; copies of the model have it, too."""
    model.__class__ = type(type(model).__name__, (type(model),), {"forward_features": forward_features})


def _features_at(model: Any, names: Sequence[str]) -> None:
    model.feature_info = [{**entry, "module": name} for entry, name in zip(model.feature_info, names, strict=True)]


def _cait(model: Any) -> None:
    if model.blocks_token_only is not None:
        model.norm = nn.Sequential(TokenAlone(model.cls_token, model.blocks_token_only), model.norm)
        model.cls_token = model.blocks_token_only = None


def _xcit(model: Any) -> None:
    if model.cls_attn_blocks is not None:
        model.norm = nn.Sequential(PrependToken(model.cls_token), *model.cls_attn_blocks, model.norm)
        model.cls_token = model.cls_attn_blocks = None


def _convit(model: Any) -> None:
    first = model.local_up_to_layer
    if model.cls_token is not None and first < len(model.blocks):
        model.blocks[first] = nn.Sequential(PrependToken(model.cls_token), model.blocks[first])
        model.cls_token = None


def _volo(model: Any) -> None:
    end: list[nn.Module] = [ToTokens(channels_last=True)]
    if model.post_network is not None:
        end += [PrependToken(model.cls_token), *model.post_network]
        model.cls_token = model.post_network = None
    if model.pos_embed is not None:
        model.network[2] = nn.Sequential(AddPosition(model.pos_embed), model.pos_drop, model.network[2])
        model.pos_embed = None
    model.norm = nn.Sequential(*end, model.norm)

    def forward_features(self: Any, x: Tensor) -> Tensor:
        x = self.patch_embed(x).permute(0, 2, 3, 1)
        for block in self.network:
            x = block(x)
        output: Tensor = self.norm(x)
        return output

    _becomes(model, forward_features)


def _nest(model: Any) -> None:
    model.norm = Permuted(model.norm, (0, 2, 3, 1), (0, 3, 1, 2))

    def forward_features(self: Any, x: Tensor) -> Tensor:
        output: Tensor = self.norm(self.levels(self.patch_embed(x)))
        return output

    _becomes(model, forward_features)


def _sam(model: Any) -> None:
    from timm.layers import resample_abs_pos_embed_nhwc

    model.neck = Permuted(model.neck, (0, 3, 1, 2))

    def forward_features(self: Any, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        if self.pos_embed is not None:
            x = x + resample_abs_pos_embed_nhwc(self.pos_embed, x.shape[1:3])
        output: Tensor = self.neck(self.blocks(self.norm_pre(self.patch_drop(self.pos_drop(x)))))
        return output

    _becomes(model, forward_features)


def _vision_language(model: Any) -> None:
    """The vision towers of DeepSeek and Qwen: an encoder in a classifier, with a projector at its end or without."""
    model.to_grid = ToGrid()

    def forward_features(self: Any, x: Tensor) -> Tensor:
        encoder = self.encoder
        x = encoder.patch_embed(x)
        height, width = x.shape[1:3]
        x, rope = with_positions(encoder, x)
        for block in encoder.blocks:
            x = block(x, rope=rope)
        x = encoder.norm(x) if hasattr(encoder, "norm") else x
        projector = encoder.aligner if hasattr(encoder, "aligner") else encoder.merger
        output: Tensor = x if projector is None else projector(self.to_grid(x, height, width))
        return output

    _becomes(model, forward_features)


def _gemma(model: Any) -> None:
    def forward_features(self: Any, x: Tensor) -> Tensor:
        x, positions, padding = self.encoder.patch_embed(x)
        return encoded_by_gemma(self.encoder, x, positions, padding)

    if model.encoder.global_pool in ("", "none"):
        _becomes(model, forward_features)
        _features_at(model, [f"encoder.{entry['module']}" for entry in model.feature_info])


def _twins(model: Any) -> None:
    parts = zip(model.patch_embeds, model.pos_drops, model.blocks, model.pos_block, strict=True)
    model.stages = nn.ModuleList(
        TokenStage(EmbedAndDrop(embed, drop), [blocks[0], position, *blocks[1:]])
        for embed, drop, blocks, position in parts
    )
    model.norm = nn.Sequential(ToTokens(), model.norm)
    del model.patch_embeds, model.pos_drops, model.blocks, model.pos_block
    _through_stages(model)


def _coat(model: Any) -> None:
    if model.parallel_blocks is not None:
        return
    stages = [
        TokenStage(
            getattr(model, f"patch_embed{i}"), getattr(model, f"serial_blocks{i}"), getattr(model, f"cls_token{i}"),
            keeps_tokens=i == 4, embed_gives_size=False,
        )
        for i in (1, 2, 3, 4)
    ]  # fmt: skip
    for i in (1, 2, 3, 4):
        for name in ("patch_embed", "serial_blocks", "cls_token"):
            delattr(model, f"{name}{i}")
    model.stages, model.norm = nn.ModuleList(stages), model.norm4
    del model.norm4
    _through_stages(model)


def _hiera(model: Any) -> None:
    ends = [end + 1 for end in model.stage_ends]
    model.stages = nn.ModuleList(
        nn.Sequential(*model.blocks[first:end]) for first, end in zip([0, *ends[:-1]], ends, strict=True)
    )
    del model.blocks

    def forward_features(self: Any, x: Tensor) -> Tensor:
        x = self.unroll(with_positions(self, self.patch_embed(x)))
        for stage in self.stages:
            x = stage(x)
        return x

    _becomes(model, forward_features)
    _features_at(model, [f"stages.{i}" for i in range(len(ends))])
    pools = (
        len(ends) - 1
    )  # tokens that are pooled together come one after the other; each pooling undoes one reordering
    model.unrolled = [pools, *(pools - min(stage, model.q_pool) for stage in range(len(ends)))]


def _mvit(model: Any) -> None:
    strides = [1, *(int(entry["reduction"]) for entry in model.feature_info)]
    strides[0] = max(model.patch_embed.proj.stride)
    model.scales = [above // below for below, above in itertools.pairwise(strides)]
    model.stages = nn.ModuleList(OutputOnly(stage) for stage in model.stages)

    def forward_features(self: Any, x: Tensor) -> Tensor:
        x, size = self.patch_embed(x)
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        for stage, scale in zip(self.stages, self.scales, strict=True):
            x = stage(x, size)
            size = [-(-side // scale) for side in size]
        output: Tensor = self.norm(x)
        return output

    _becomes(model, forward_features)
    _features_at(model, [f"stages.{i}" for i in range(len(model.stages))])


def _visformer(model: Any) -> None:
    stages = []
    for i in (1, 2, 3):
        position, embed = getattr(model, f"pos_embed{i}"), getattr(model, f"patch_embed{i}")
        before = [] if embed is None else [embed]
        if position is not None and embed is not None:
            before += [AddPosition(position), model.pos_drop]
        stages.append(nn.Sequential(*before, *getattr(model, f"stage{i}")))
        for name in ("pos_embed", "patch_embed", "stage"):
            delattr(model, f"{name}{i}")
    if model.stem is not None:
        stages[0] = nn.Sequential(model.stem, *stages[0])
    del model.stem
    model.stages = nn.ModuleList(stages)
    _through_stages(model)


def _tresnet(model: Any) -> None:
    model.feature_info = [entry for entry in model.feature_info if entry["module"]]  # the first one names no module


def _through_stages(model: Any) -> None:
    """Make a model run its `stages`, whose outputs are timm's features, then its `norm`."""

    def forward_features(self: Any, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        output: Tensor = self.norm(x)
        return output

    _becomes(model, forward_features)
    _features_at(model, [f"stages.{i}" for i in range(len(model.stages))])


_REWRITES: dict[str, Callable[[Any], None]] = {
    "Cait": _cait,
    "CoaT": _coat,
    "ConVit": _convit,
    "DeepseekVitClassifier": _vision_language,
    "Gemma4VitClassifier": _gemma,
    "Hiera": _hiera,
    "MultiScaleVit": _mvit,
    "Nest": _nest,
    "Qwen3VitClassifier": _vision_language,
    "TResNet": _tresnet,
    "Twins": _twins,
    "VOLO": _volo,
    "VisionTransformerSAM": _sam,
    "Visformer": _visformer,
    "Xcit": _xcit,
}
