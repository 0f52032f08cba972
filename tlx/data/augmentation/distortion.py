"""Augmentation of whole batches: drawn for each image on the host, applied wherever the batch is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
# Luma and two differences of colours, in which hue is an angle (NTSC's YIQ), and back.
_TO_YIQ = torch.tensor([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)], dtype=torch.float64)
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)
_SAME_COLOURS = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]
_NUMBERS = 15  # drawn for an image: five of the geometry, four of the colours, five of the rectangle, one for inverting
_ERASED_AREA = (0.02, 0.33)  # of the image; these two as in Zhong et al., Random Erasing (2017)
_ERASED_ASPECT = (0.3, 3.3)


@dataclass(frozen=True)
class Jitter:
    """How far colours may change: factors from 1 - x to 1 + x; the hue by as much of a full turn either way."""

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.05


@dataclass(frozen=True)
class Distortion:
    """Inverts, changes colours and geometry, and erases a part, in this order; what is not asked for is left out.

    What comes out for an image depends on its pixels and on what was drawn for it, not on the rest of the batch.

    Args:
        degrees: Largest rotation either way.
        shift: Largest shift either way, as a fraction of the side.
        shear: Largest horizontal shear either way, in degrees.
        zoom: Smallest and largest size, in times the size that it has; evenly drawn on a logarithmic scale.
        jitter: Of colours, or in gray images of brightness and contrast; alpha and further channels are kept.
        erase: Probability that a rectangle becomes black.
        invert: Probability that dark and bright are exchanged; alpha and further channels are kept.
        beyond: What lies beyond the edge of an image that is moved: `edge`, the nearest pixel, or `background`, the
            median of the outermost pixels, for drawings whose strokes would go on for ever.
    """

    degrees: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    jitter: Jitter | None = None
    erase: float = 0.0
    invert: float = 0.0
    beyond: Literal["edge", "background"] = "edge"

    def draw(self) -> Tensor:
        """Draw for one image, from torch's CPU generator: (21,), float32.

        Six numbers of the geometry, ten of the colours, four of the rectangle, and 1 where it is to be inverted.
        """
        u = torch.rand(
            _NUMBERS, dtype=torch.float64
        ).tolist()  # at once: a call for each would take longer than all else
        inverted = float(u[14] < self.invert)
        return torch.tensor([*self._geometry(u[:5]), *self._colours(u[5:9]), *self._rectangle(u[9:14]), inverted])

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Distort images, uint8 (B, C, H, W), as was drawn for each of them (B, 21)."""
        drawn = drawn.to(images.device)
        pixels = images.float()
        if self.invert:
            pixels = _inverted(pixels, drawn[:, 20])
        if self.jitter is not None:
            pixels = _recolour(pixels, drawn[:, 6:15].view(-1, 3, 3), drawn[:, 15])
        height, width = pixels.shape[-2:]
        grid = self.grid(drawn, (height, width))
        if grid is not None:
            pixels = _move(pixels, grid, self.beyond == "background")
        if self.erase:
            pixels = _erase(pixels, drawn[:, 16:20])
        return pixels.clamp_(0, 255).round_().to(torch.uint8)

    def grid(self, drawn: Tensor, size: tuple[int, int]) -> Tensor | None:
        """Return where each pixel of the result comes from, as torch's `grid_sample` takes it; None: nothing moves.

        Args:
            drawn: As was drawn for each image (B, 21).
            size: Height and width of the images in pixels.

        Returns:
            (B, height, width, 2): x and y in the image, from -1 at the one edge to 1 at the other.
        """
        if not (self.degrees or self.shift or self.shear or self.zoom != (1.0, 1.0)):
            return None
        y = centres(size[0], drawn.device).view(1, -1, 1)
        x = centres(size[1], drawn.device).view(1, 1, -1)
        a, b, c, d, e, f = drawn[:, :6].view(-1, 6, 1, 1).unbind(1)
        return torch.stack([a * x + b * y + c, d * x + e * y + f], dim=-1)

    def _geometry(self, u: list[float]) -> list[float]:
        """Where in the image, from -1 to 1, each pixel of the result comes from: two rows of three numbers."""
        turn = math.radians(_between(u[0], -self.degrees, self.degrees))
        slant = math.tan(math.radians(_between(u[1], -self.shear, self.shear)))
        zoom = math.exp(_between(u[2], math.log(self.zoom[0]), math.log(self.zoom[1])))
        right, down = (2 * _between(one, -self.shift, self.shift) for one in u[3:])
        cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
        rows = ((cos, sin + slant * cos), (-sin, cos - slant * sin))
        return [value for a, b in rows for value in (a, b, -(a * right + b * down))]

    def _colours(self, u: list[float]) -> list[float]:
        """A 3x3 matrix for brightness, saturation and hue, which are linear in the colours; and the contrast."""
        if self.jitter is None:
            return _SAME_COLOURS
        most = (self.jitter.brightness, self.jitter.contrast, self.jitter.saturation)
        brightness, contrast, saturation = (_between(one, 1 - x, 1 + x) for one, x in zip(u, most, strict=False))
        angle = 2 * math.pi * _between(u[3], -self.jitter.hue, self.jitter.hue)
        cos, sin = saturation * math.cos(angle), saturation * math.sin(angle)
        turned = torch.tensor([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]], dtype=torch.float64)
        return [*(brightness * (_FROM_YIQ @ turned @ _TO_YIQ)).flatten().tolist(), contrast]

    def _rectangle(self, u: list[float]) -> list[float]:
        """Left, top, right and bottom as fractions of the sides; all zero: nothing is erased."""
        if u[0] >= self.erase:
            return [0.0] * 4
        area, aspect = _between(u[1], *_ERASED_AREA), math.exp(_between(u[2], *map(math.log, _ERASED_ASPECT)))
        width, height = min(1.0, math.sqrt(area * aspect)), min(1.0, math.sqrt(area / aspect))
        left, top = _between(u[3], 0, 1 - width), _between(u[4], 0, 1 - height)
        return [left, top, left + width, top + height]


def _between(u: float, low: float, high: float) -> float:
    return low + (high - low) * u


# Sums of three products, written out, and sums of whole numbers: a matrix product rounds differently in other batches.


def _colour_channels(pixels: Tensor) -> int:
    return 1 if pixels.shape[1] < 3 else 3


def _inverted(pixels: Tensor, which: Tensor) -> Tensor:
    colours = _colour_channels(pixels)
    before, flag = pixels[:, :colours], which.view(-1, 1, 1, 1)
    return torch.cat([before + flag * (255 - 2 * before), pixels[:, colours:]], dim=1)


def _recolour(pixels: Tensor, matrix: Tensor, contrast: Tensor) -> Tensor:
    """Apply a matrix (B, 3, 3) to colours, or its brightness to gray, then the contrast (B,) about the mean luma."""
    colours = _colour_channels(pixels)
    before = pixels[:, :colours]
    if colours == 1:  # of a gray colour the matrix changes the brightness only
        after = before * (matrix[:, 0, 0] + matrix[:, 0, 1] + matrix[:, 0, 2]).view(-1, 1, 1, 1)
        luma = after
    else:
        weights = matrix.view(*matrix.shape, 1, 1, 1)
        after = torch.cat([_sum_of_three(before, weights[:, row]) for row in range(3)], dim=1)
        luma = _sum_of_three(after, torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1, 1))
    whole = luma.clamp(0, 255).round_().long()
    mean = (whole.sum(dim=(1, 2, 3)) / whole[0].numel()).view(-1, 1, 1, 1)
    factor = contrast.view(-1, 1, 1, 1)
    after = (after - mean) * factor + mean
    return torch.cat([after.clamp_(0, 255), pixels[:, colours:]], dim=1)


def _sum_of_three(colours: Tensor, weights: Tensor) -> Tensor:
    """Return (B, 1, H, W) from colours (B, 3, H, W) and weights that broadcast as (B, 3, 1, 1, 1)."""
    return colours[:, 0:1] * weights[:, 0] + colours[:, 1:2] * weights[:, 1] + colours[:, 2:3] * weights[:, 2]


def _move(pixels: Tensor, grid: Tensor, onto_background: bool) -> Tensor:
    """Take each pixel from where the grid (B, H, W, 2) points to, bilinearly."""
    if not onto_background:
        return grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    background = _background(pixels)
    moved = grid_sample(pixels - background, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved + background


def _background(pixels: Tensor) -> Tensor:
    """Return the median of the outermost pixels of each channel: (B, C, 1, 1)."""
    rows, columns = pixels[..., [0, -1], :], pixels[..., 1:-1, [0, -1]]
    outermost = torch.cat([rows.flatten(2), columns.flatten(2)], dim=2)
    return outermost.median(dim=2).values[..., None, None]


def _erase(pixels: Tensor, rectangle: Tensor) -> Tensor:
    height, width = pixels.shape[-2:]
    y = (centres(height, pixels.device).view(1, -1, 1) + 1) / 2
    x = (centres(width, pixels.device).view(1, 1, -1) + 1) / 2
    left, top, right, bottom = rectangle.view(-1, 4, 1, 1).unbind(1)
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return pixels.masked_fill(inside.unsqueeze(1), 0.0)


def centres(count: int, device: torch.device | None = None) -> Tensor:
    """Return the centres (count,) of so many pixels, from -1 at the one edge to 1 at the other."""
    return (torch.arange(count, device=device, dtype=torch.float32) * 2 + 1) / count - 1
