"""The head of a segmenter: class scores of each pixel."""

from __future__ import annotations

from torch import nn

from tlx.tasks.segmentation.decoders import Decoder


def make_head(decoder: Decoder, classes: int) -> nn.Sequential:
    """Return a head from a decoder's features (B, out_channels, h, w) to class scores at the size of the image.

    Args:
        decoder: The decoder.
        classes: Number of classes K.
    """
    kernel = 3 if decoder.stride == 1 else 1  # as in segmentation-models-pytorch
    convolution = nn.Conv2d(decoder.out_channels, classes, kernel, padding=kernel // 2)
    larger = nn.Upsample(scale_factor=decoder.stride, mode="bilinear") if decoder.stride > 1 else nn.Identity()
    return nn.Sequential(convolution, larger)
