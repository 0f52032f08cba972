"""Check which networks of timm can be cut into layer groups, on the meta device: no memory, weights or downloads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from tlx.backbones.backbone import Backbone
from tlx.backbones.timm_models import timm_backbone
from tlx.base.errors import TlxError
from tlx.base.gradients import no_gradients

# Words of names, from the smallest network of a family to larger ones; other names come after these.
_SMALL = [
    "test",
    "zepto",
    "atto",
    "femto",
    "pico",
    "nano",
    "xxs",
    "xxt",
    "xs",
    "wee",
    "tiny",
    "ti",
    "t",
    "t8",
    "s0",
    "b0",
    "m0",
    "m1",
    "mini",
    "lite",
    "small",
    "s",
    "dlittle",
    "little",
]


@dataclass(frozen=True)
class Checked:
    """What the check of a network found.

    Args:
        name: The network.
        groups: Its layer groups, bottom to top.
        wrong: Why it cannot be used; '' if everything is right.
    """

    name: str
    groups: tuple[str, ...] = ()
    wrong: str = ""

    def __str__(self) -> str:
        return f"{self.name}  {self.wrong or ' '.join(self.groups)}"


def families() -> list[str]:
    """Return one small network of each family of timm; a family is a file of timm's with networks."""
    return [min(timm.list_models(module=module), key=_size) for module in timm.list_modules() if
            timm.list_models(module=module)]  # fmt: skip


def _size(name: str) -> tuple[int, int, str]:
    words = name.split("_")
    rank = next((i for i, word in enumerate(_SMALL) if word in words), len(_SMALL))
    return rank, sum(map(int, re.findall(r"\d+", name))), name


@no_gradients()
def check(name: str) -> Checked:
    """Cut a network of timm into layer groups and compare it with the network as a whole.

    Compared are the shape of the features, the multiplications of one pass, the shapes of timm's own feature maps, and
    the shapes of a run that starts in the middle. Each of the network's tensors must belong to exactly one group.
    """
    try:
        with torch.device("meta"):
            backbone = timm_backbone(name, pretrained=False, load=False).eval()
            whole: Any = timm.create_model(name, num_classes=0).eval()
            wrong = "; ".join(_differences(backbone, whole))
    except TlxError as error:
        return Checked(name, wrong=str(error).removeprefix(f"timm's {name} cannot be cut into layer groups: "))
    except Exception as error:  # timm raises anything, for example for networks without pooled features
        return Checked(name, wrong=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return Checked(name, tuple(backbone.group_names), wrong)


def _differences(backbone: Backbone, whole: Any) -> Iterator[str]:
    backbone.requires_grad_(False)  # the counter of operations asks outputs of modules for their gradients
    whole.requires_grad_(False)
    size = backbone.preprocessing.short_side
    image = torch.empty(2, backbone.in_channels, size, size)
    with FlopCounterMode(display=False) as their_work:
        features = whole.forward_head(whole.forward_features(image), pre_logits=True)
    with FlopCounterMode(display=False) as ours:
        found = backbone(image)
    if found.shape != features.shape:
        yield f"expected features {tuple(features.shape)}, got {tuple(found.shape)}"
    if ours.get_total_flops() != their_work.get_total_flops():
        yield f"expected {their_work.get_total_flops():,} operations, got {ours.get_total_flops():,}"
    names = backbone.group_names
    outputs = backbone.run(image, outputs=names)
    middle = names[len(names) // 2]
    if backbone.run(outputs[names[len(names) // 2 - 1]], start=middle)[names[-1]].shape != features.shape:
        yield f"a run that starts at {middle} returns other features"
    tensors = [id(tensor) for name in names for tensor in backbone.group_parameters(name)]
    expected = {key for key, _ in whole.named_parameters()}
    if (
        len(set(tensors)) != len(tensors)
        or {backbone.original_names.get(k) for k, _ in backbone.named_parameters()} != expected
    ):
        yield "some of its weights are in no layer group, or in two"
    maps = [name for name in names if backbone.layouts[name].kind != "vector"]
    try:
        theirs = {tuple(one.shape) for one in whole.forward_intermediates(image, intermediates_only=True)}
    except RuntimeError:  # Gemma's looks at values, which the meta device does not have
        return
    other = [name for name, one in zip(maps, backbone.maps(image, maps), strict=True) if tuple(one.shape) not in theirs]
    if set(other) - set(names[:1]):  # the stem ends before timm's first feature
        yield f"timm has other maps than {', '.join(other)}"


def report(names: Iterable[str]) -> Iterator[str]:
    """Yield one line for each network as soon as it is checked, then how many are right."""
    right = []
    for found in map(check, names):
        right.append(not found.wrong)
        yield str(found)
    yield f"# {sum(right)} of {len(right)} are right"
