"""A small convolutional network for small images, such as digits."""

from __future__ import annotations

from torch import nn

from tlx.backbones.backbone import Backbone
from tlx.backbones.preprocessing import Preprocessing
from tlx.backbones.report import LoadReport
from tlx.base.errors import TlxError


def small_cnn(width: int = 32, in_channels: int = 3, load: bool = True, name: str = "small_cnn") -> Backbone:
    """Build stem, stage1, stage2, stage3: convolutions with BatchNorm at strides 1, 2, 4 and 8, random weights.

    Args:
        width: Channels of the stem; the stages have 2, 4 and 4 times as many.
        in_channels: Channels of the images.
        load: Ignored; there are no weights to load.
        name: Ignored; the name of the configuration node.

    Raises:
        TlxError: `width` or `in_channels` is below 1.
    """
    if width < 1 or in_channels < 1:
        raise TlxError(f"small_cnn: expected width and in_channels of at least 1, got {width} and {in_channels}")
    backbone = Backbone(
        {
            "stem": _block(in_channels, width, stride=1),
            "stage1": _block(width, 2 * width, stride=2),
            "stage2": _block(2 * width, 4 * width, stride=2),
            "stage3": _block(4 * width, 4 * width, stride=2),
        },
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1)),
        architecture={
            "_target_": "tlx.backbones.small_cnn",
            "name": "small_cnn",
            "width": width,
            "in_channels": in_channels,
        },
        preprocessing=Preprocessing(size=32, mean=(0.5,) * in_channels, std=(0.5,) * in_channels),
        num_features=4 * width,
    )
    backbone.original_names = {key: key for key in backbone.state_dict()}
    backbone.report = LoadReport("random")
    return backbone


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
