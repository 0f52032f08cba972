"""Cut torchvision's networks into layer groups, with one function per construction.

A group begins where the resolution halves, except within the stem: it ends at stride 4 if only plain layers lead there
(convolution and max-pool, or patches), otherwise at stride 2. A pool or a patch merging between two stages belongs to
the upper one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from tlx.backbones import catalog
from tlx.backbones.layout import Layout


@dataclass(frozen=True)
class Cut:
    """The parts of a network: groups from bottom to top, the pool, and the layouts that are not (B, C, H, W)."""

    groups: dict[str, nn.Module]
    pool: nn.Module
    layouts: dict[str, Layout] = field(default_factory=dict)


# Index in `features` (MNASNet: `layers`) at which each stage begins, by family, or by model if they differ in a family.
_STAGE_STARTS: dict[str, tuple[int, ...]] = {
    "convnext": (1, 2, 4, 6),
    "densenet": (4, 5, 7, 9),
    "efficientnet_b": (2, 3, 4, 6),
    "efficientnet_v2": (2, 3, 4, 6),
    "mnasnet": (8, 9, 10, 12),
    "mobilenet_v2": (2, 4, 7, 14),
    "mobilenet_v3_large": (2, 4, 7, 13),
    "mobilenet_v3_small": (1, 2, 4, 9),
    "squeezenet1_0": (3, 6, 11),
    "squeezenet1_1": (3, 5, 8),
    "swin": (1, 2, 4, 6),
    "swin_v2": (1, 2, 4, 6),
}


def cut(name: str, model: Any) -> Cut:
    """Cut a torchvision model into the layer groups of `catalog.group_names(name)`; modules are shared, not copied.

    Args:
        name: A name of `catalog.TORCHVISION`.
        model: The model of that name.
    """
    family = catalog.family(name)
    if family in _CUTS:
        return _CUTS[family](model)
    starts = _STAGE_STARTS[family if family in _STAGE_STARTS else name]
    layers = list(model.layers if family == "mnasnet" else model.features)
    if family == "densenet":  # torchvision applies this ReLU as a function, after `features`
        layers.append(nn.ReLU(inplace=True))
    groups = _pyramid(layers, starts)
    if family == "mobilenet_v3":
        groups["dense"] = nn.Sequential(model.avgpool, nn.Flatten(1), *model.classifier[:2])
        return Cut(groups, nn.Identity(), {"dense": Layout("vector")})
    if family == "convnext":
        return Cut(groups, nn.Sequential(model.avgpool, *model.classifier[:2]))
    if family in ("swin", "swin_v2"):
        pool = nn.Sequential(model.norm, model.permute, model.avgpool, model.flatten)
        return Cut(groups, pool, dict.fromkeys(groups, Layout("channels_last")))
    if family == "mnasnet":
        return Cut(groups, SpatialMean())
    return Cut(groups, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1)))


def _pyramid(layers: Sequence[nn.Module], starts: tuple[int, ...]) -> dict[str, nn.Module]:
    """Divide a chain of layers into stem, stage1, …; the stages begin at the indices `starts`."""
    bounds = [0, *starts, len(layers)]
    names = ["stem", *(f"stage{i}" for i in range(1, len(bounds) - 1))]
    parts = [nn.Sequential(*layers[a:b]) for a, b in pairwise(bounds)]
    return dict(zip(names, parts, strict=True))


def _resnet(model: Any) -> Cut:
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    stages = {f"stage{i}": getattr(model, f"layer{i}") for i in range(1, 5)}
    return Cut({"stem": stem, **stages}, nn.Sequential(model.avgpool, nn.Flatten(1)))


def _regnet(model: Any) -> Cut:
    stages = {f"stage{i}": block for i, block in enumerate(model.trunk_output, start=1)}
    return Cut({"stem": model.stem, **stages}, nn.Sequential(model.avgpool, nn.Flatten(1)))


def _shufflenet(model: Any) -> Cut:
    groups = {
        "stem": nn.Sequential(model.conv1, model.maxpool),
        "stage1": model.stage2,
        "stage2": model.stage3,
        "stage3": nn.Sequential(model.stage4, model.conv5),
    }
    return Cut(groups, SpatialMean())


def _blocks(model: Any) -> Cut:
    """AlexNet and VGG: five blocks of convolutions, then all dense layers except the last one."""
    layers = list(model.features)
    pools = [i + 1 for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    # VGG: every block ends with its max-pool. AlexNet: its last three convolutions share one, so each is a block.
    ends = pools if len(pools) == 5 else [3, 6, 8, 10, 13]
    blocks = [nn.Sequential(*layers[a:b]) for a, b in pairwise([0, *ends])]
    groups: dict[str, nn.Module] = {f"block{i}": block for i, block in enumerate(blocks, start=1)}
    classifier = list(model.classifier[:-1])  # without the last Linear
    if isinstance(classifier[-1], nn.Dropout):  # the dropout before the last Linear belongs to the head
        classifier.pop()
    groups["dense"] = nn.Sequential(model.avgpool, nn.Flatten(1), *classifier)
    return Cut(groups, nn.Identity(), {"dense": Layout("vector")})


def _vit(model: Any) -> Cut:
    layers = list(model.encoder.layers)
    depth = len(layers) // 4  # layers per stage
    stages = {f"stage{i + 1}": nn.Sequential(*layers[i * depth : (i + 1) * depth]) for i in range(4)}
    groups = {"stem": TokenStem(model), **stages}
    return Cut(
        groups,
        nn.Sequential(model.encoder.ln, ClassToken()),
        dict.fromkeys(groups, Layout("tokens", prefix=1, patch=model.patch_size)),
    )


_CUTS: dict[str, Callable[[Any], Cut]] = {
    "alexnet": _blocks,
    "regnet": _regnet,
    "resnet": _resnet,
    "resnext": _resnet,
    "shufflenet_v2": _shufflenet,
    "vgg": _blocks,
    "vit": _vit,
    "wide_resnet": _resnet,
}


class TokenStem(nn.Module):
    """First layers of a Vision Transformer: image (B, C, H, W) to tokens with positions (B, 1 + H/p · W/p, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.conv_proj = model.conv_proj
        self.class_token = model.class_token
        self.pos_embedding = model.encoder.pos_embedding
        self.dropout = model.encoder.dropout

    def forward(self, x: Tensor) -> Tensor:
        """Return the class token and the patch tokens: (B, 1 + H/p · W/p, D)."""
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)  # (B, H/p · W/p, D)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), patches], dim=1)
        output: Tensor = self.dropout(tokens + self.pos_embedding)
        return output


class ClassToken(nn.Module):
    """Selects the first of the tokens (B, N, D)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the first token (B, D)."""
        return x[:, 0]


class SpatialMean(nn.Module):
    """Averages maps (B, C, H, W) over their pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over the pixels (B, C)."""
        return x.mean([2, 3])
