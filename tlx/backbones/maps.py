"""The part of a backbone that gives maps: what pyramids and decoders are built on."""

from __future__ import annotations

from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.backbones.layout import Layout
from tlx.base.errors import TlxError

_WIDENING = 1.5  # times as many channels out as in: such a last 1x1 convolution prepares the pool of a classifier


class MeanPool(nn.Module):
    """The mean of a group's output over its places, without parameters.

    Args:
        layout: Layout of the output.
        size: Height and width of the image in pixels, for tokens; None: a square.
    """

    def __init__(self, layout: Layout, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.layout, self.size = layout, size

    def forward(self, output: Tensor) -> Tensor:
        """Return (B, C) for the output of the last group."""
        return self.layout.mean(output, self.size)


def for_maps(backbone: Backbone) -> Backbone:
    """Leave out, in place, what only a classifier needs above the last map; return the backbone.

    These are groups that give vectors (VGG's `dense`), a last 1x1 convolution that widens the map before it is pooled
    (1,280 channels of 320 in EfficientNet-Lite0), and the parameters of the pool. Calling it again changes nothing.

    Raises:
        TlxError: No group gives a map.
    """
    if isinstance(backbone.pool, MeanPool):
        return backbone
    names = [name for name in backbone.group_names if backbone.layouts[name].kind != "vector"]
    if not names:
        raise TlxError("backbone: expected at least one layer group that gives a map, got none; take another backbone")
    last = names[-1]
    backbone.left_out = tuple(backbone.group_names[backbone.group_names.index(last) + 1 :])
    for name in backbone.left_out:
        del backbone.groups[name]
    backbone.layouts = {name: backbone.layouts[name] for name in names}
    narrower = without_widening(backbone.groups[last])
    if narrower is not backbone.groups[last]:
        backbone.groups[last] = narrower
    size = backbone.preprocessing.height_width if backbone.fixed_size else None
    backbone.pool = MeanPool(backbone.layouts[last], size)
    backbone.forget_measures()
    backbone.num_features = backbone.channels[last]
    if backbone.report is not None:  # tensors that were cut off are neither loaded nor missing
        backbone.report = backbone.report.only(backbone.state_dict())
    return backbone


def without_widening(group: nn.Module) -> nn.Module:
    """Return a group without its last child, and what follows that, if it is a 1x1 convolution that widens the map."""
    if not isinstance(group, nn.Sequential):
        return group
    children = list(group.children())
    for place in range(len(children) - 1, 0, -1):
        convolutions = [module for module in children[place].modules() if isinstance(module, nn.Conv2d)]
        if not convolutions:
            continue
        only = convolutions[0]
        widens = only.out_channels >= _WIDENING * only.in_channels and only.kernel_size == (1, 1)
        return group[:place] if len(convolutions) == 1 and widens and only.stride == (1, 1) else group
    return group
