"""A feature pyramid on the maps of any backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from tlx.backbones.backbone import Backbone
from tlx.tasks.dense.levels import SimplePyramid, choose_levels, is_plain, levelled
from tlx.tasks.detection.box_levels import MAPPED
from tlx.tasks.detection.grid import Grid, locations
from tlx.tasks.detection.widths import GROUPS


class Pyramid(nn.Module):
    """Maps of one width at several strides (Lin et al., FPN, 2017), from those of a backbone.

    A stride that the backbone lacks is pooled or enlarged from its nearest map. The levels of a plain transformer come
    from its last map. Levels beyond stride 32 are made by convolutions of stride 2.

    Args:
        backbone: The backbone, see `tlx.backbones.maps.for_maps`.
        strides: Strides of the levels, ascending; each is twice the one before.
        channels: Channels of each level.
    """

    def __init__(self, backbone: Backbone, strides: Sequence[int], channels: int) -> None:
        super().__init__()
        self.levels = tuple(strides)
        self.register_buffer("strides", torch.tensor(self.levels))
        mapped = [stride for stride in strides if stride <= MAPPED]
        self.plain: SimplePyramid | None = None
        self.network: FeaturePyramidNetwork | None = None
        if is_plain(backbone.strides):
            self.reads: tuple[str, ...] = (backbone.group_names[-1],)
            self.plain = SimplePyramid(backbone.channels[self.reads[0]], channels, mapped)
        else:
            self.sources = choose_levels(backbone.strides, backbone.channels, mapped, "resize")
            read = {source.group for source in self.sources}
            self.reads = tuple(name for name in backbone.group_names if name in read)
            widths = [source.channels for source in self.sources]
            self.network = FeaturePyramidNetwork(widths, channels, norm_layer=partial(nn.GroupNorm, GROUPS))
        beyond = len(strides) - len(mapped)
        self.coarser = nn.ModuleList(nn.Conv2d(channels, channels, 3, stride=2, padding=1) for _ in range(beyond))

    def forward(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> tuple[list[Tensor], Grid]:
        """Return a map (B, channels, h, w) for each level, and their locations.

        Args:
            maps: Map of each group in `reads` (B, C, H', W').
            size: Height and width (H, W) of the padded images in pixels.
        """
        height, width = (-(-side // MAPPED) * MAPPED for side in size)
        if self.plain is not None:
            sides = {stride: (height // stride, width // stride) for stride in self.plain.strides}
            found = [_of_size(one, sides[stride]) for stride, one in self.plain(maps[self.reads[0]]).items()]
        else:
            assert self.network is not None
            named = dict(enumerate(levelled(maps, self.sources, (height, width))))
            found = [*self.network(named).values()]
        for convolution in self.coarser:
            found.append(convolution(F.relu(found[-1])))
        return found, locations(found, self.levels, size, MAPPED)


def _of_size(one: Tensor, size: tuple[int, int]) -> Tensor:
    if one.shape[-2:] == size:
        return one
    return F.interpolate(one, size=size, mode="bilinear", align_corners=False)
