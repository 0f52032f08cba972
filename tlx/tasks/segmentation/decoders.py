"""Decoders of segmentation-models-pytorch on the maps of any backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from tlx.backbones.backbone import Backbone
from tlx.base.errors import TlxError
from tlx.tasks.dense.levels import Level, SimplePyramid, choose_levels, is_plain, levelled

NAMES = ("unet", "fpn", "deeplabv3plus")
_UNET_WIDTHS = (256, 128, 64, 32, 16)  # channels from the top down, as in segmentation-models-pytorch
_WIDTH = 256  # channels of the pyramids, and of DeepLabV3+'s decoder
_PYRAMID = (4, 8, 16, 32)  # strides that FPN expects
_RATES = (12, 24, 36)  # dilations of DeepLabV3+'s spatial pyramid pooling

Make = Callable[[Sequence[int]], nn.Module]  # from the channels of the levels to a decoder


class Decoder(nn.Module):
    """From maps of layer groups to a map of features: a decoder of segmentation-models-pytorch, fed with its levels.

    The levels of a plain transformer, whose groups have one stride, come from a pyramid on its last map.

    Args:
        backbone: The backbone, see `tlx.backbones.maps.for_maps`.
        levels: Its input maps by ascending stride.
        make: Makes the decoder.
        stride: Pixels of the image per pixel of its output.
        out_channels: Channels of its output.
        unread: Number of maps that the decoder expects below the levels without reading them.
    """

    def __init__(
        self, backbone: Backbone, levels: Sequence[Level], make: Make, stride: int, out_channels: int, unread: int
    ) -> None:
        super().__init__()
        self.stride, self.out_channels, self.unread = stride, out_channels, unread
        self.pyramid: SimplePyramid | None = None
        self.levels = list(levels)
        if is_plain(backbone.strides):
            last = backbone.group_names[-1]
            strides = [level.stride for level in levels if level.stride in SimplePyramid.STRIDES]
            self.pyramid = SimplePyramid(backbone.channels[last], _WIDTH, strides)
            self.levels = [Level(one.stride, _WIDTH if one.stride in strides else 0, last) for one in levels]
        read = {level.group for level in self.levels if level.channels}
        self.reads = tuple(name for name in backbone.group_names if name in read)
        self.decoder = make([level.channels for level in self.levels])

    def forward(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Return features (B, out_channels, H / stride, W / stride).

        Args:
            maps: Map of each group in `reads` (B, C, H', W').
            size: Height and width (H, W) of the padded images in pixels. They are rounded up to a multiple of the
                largest level's stride where the stride of a transformer is no power of two: the maps are stretched.
        """
        largest = self.levels[-1].stride
        height, width = (-(-side // largest) * largest for side in size)
        if self.pyramid is None:
            features = levelled(maps, self.levels, (height, width))
        else:
            found = self.pyramid(maps[self.reads[0]])
            features = [_of_pyramid(found, level, (height, width)) for level in self.levels]
        first = features[0]
        features = [first.new_empty(len(first), 0, height, width)] * self.unread + features
        decoded: Tensor = self.decoder(features)
        return decoded


def make_decoder(name: str, backbone: Backbone) -> Decoder:
    """Return a decoder for the maps of a backbone.

    Args:
        name: One of `NAMES`.
        backbone: The backbone, see `tlx.backbones.maps.for_maps`.

    Raises:
        TlxError: There is no such decoder.
    """
    strides, channels = backbone.strides, backbone.channels
    if name == "unet":
        top = max(strides.values()) if not is_plain(backbone.strides) else _PYRAMID[-1]
        wanted = [2**k for k in range(1, max(top.bit_length(), 3)) if 2**k <= max(top, 4)]
        levels = choose_levels(strides, channels, wanted, "skip")
        return Decoder(backbone, levels, _unet, 1, _UNET_WIDTHS[-1], unread=1)
    if name == "fpn":
        levels = choose_levels(strides, channels, _PYRAMID, "resize")
        return Decoder(backbone, levels, _fpn, _PYRAMID[0], _WIDTH // 2, unread=0)
    if name == "deeplabv3plus":
        # It expects its last map at stride 16. Dilating the backbone would change its outputs, so the map is enlarged.
        last = backbone.group_names[-1]
        lower = choose_levels(strides, channels, _PYRAMID[:1], "resize")
        return Decoder(backbone, [*lower, Level(16, channels[last], last)], _deeplab, _PYRAMID[0], _WIDTH, unread=2)
    raise TlxError(f"task.decoder: expected one of {', '.join(NAMES)}, got '{name}'")


def _of_pyramid(found: Mapping[int, Tensor], level: Level, size: tuple[int, int]) -> Tensor:
    height, width = (side // level.stride for side in size)
    source = found.get(level.stride)
    if source is None:
        lowest = found[min(found)]
        return lowest.new_empty(len(lowest), 0, height, width)
    same = source.shape[-2:] == (height, width)
    return source if same else F.interpolate(source, size=(height, width), mode="bilinear", align_corners=False)


def _unet(channels: Sequence[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

    decoder: nn.Module = UnetDecoder([0, *channels], _UNET_WIDTHS[-len(channels) :], n_blocks=len(channels))
    return decoder


def _fpn(channels: Sequence[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder

    decoder: nn.Module = FPNDecoder([0, 0, *channels], pyramid_channels=_WIDTH, segmentation_channels=_WIDTH // 2)
    return decoder


def _deeplab(channels: Sequence[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder

    decoder: nn.Module = DeepLabV3PlusDecoder(
        [0, 0, *channels], 5, _WIDTH, atrous_rates=_RATES, output_stride=16, aspp_separable=True, aspp_dropout=0.5
    )
    return decoder
