"""Draw characters as an alphabet in many fonts, or as number plates that a camera sees.

An image is a function of draw_seed, alphabet, character and number, so a larger set contains the images of a smaller
one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, pad

from tlx.data.augmentation.distortion import centres
from tlx.data.augmentation.randomness import mix
from tlx.data.sources.glyphs import CANVAS, draw, fonts_for
from tlx.data.splits.samples import Sample, Split

SIDE = 32  # pixels of an image
_FINE = 2 * SIDE  # pixels in which an image is composed before it is reduced
_AT_ONCE = 500  # images drawn together
_NUMBERS = 32  # random numbers for an image, without its noise

Colour = tuple[int, int, int]
# Background and ink of plates of different countries and kinds of vehicle.
_PLATES: tuple[tuple[Colour, Colour], ...] = (
    ((232, 232, 226), (22, 22, 26)),
    ((236, 196, 44), (26, 24, 20)),
    ((28, 62, 150), (236, 238, 240)),
    ((24, 24, 26), (232, 232, 230)),
    ((196, 224, 200), (20, 56, 40)),
    ((176, 34, 40), (238, 232, 230)),
)


@dataclass(frozen=True)
class Style:
    """Distortions of a drawn character. Except for `size`, amounts are maxima.

    Args:
        colours: Pairs of background and ink.
        channels: Channels of the image.
        neighbours: Whether parts of the characters to the left and right are visible.
        size: Smallest and largest side of the character's square, as a fraction of the image's side.
        turn: Rotation in either direction, in degrees.
        tilt: Shift of each corner by the perspective, as a fraction of the side.
        shift: Shift of the centre in either direction, as a fraction of the side.
        dirt: Opacity of the spots of dirt.
        light: How much darker the dark side of the image is, as a fraction.
        blur: Standard deviation along each axis, in pixels of the image.
        noise: Standard deviation, of 255.
    """

    colours: tuple[tuple[Colour, Colour], ...]
    channels: int
    neighbours: bool
    size: tuple[float, float]
    turn: float
    tilt: float
    shift: float
    dirt: float = 0.0
    light: float = 0.0
    blur: float = 0.5
    noise: float = 4.0


PLATE = Style(_PLATES, 3, True, (0.75, 1.15), 8.0, 0.12, 0.08, dirt=0.7, light=0.6, blur=1.2, noise=14.0)
LETTER = Style((((0, 0, 0), (255, 255, 255)),), 1, False, (0.8, 1.2), 12.0, 0.08, 0.08)


def drawn_set(style: Style, characters: Sequence[str], per_class: int, seed: int) -> Split:
    """Return `per_class` images of each character; labels are indices into `characters`.

    Raises:
        TlxError: No font on this machine has the characters.
    """
    fonts = fonts_for(characters)
    glyphs = torch.stack([torch.stack([torch.tensor(draw(one, font)) for one in characters]) for font in fonts])
    targets = [target for target in range(len(characters)) for _ in range(per_class)]
    samples = [Sample(i, t, f"{characters[t]} {i % per_class}") for i, t in enumerate(targets)]
    pixels = [
        _draw(style, glyphs, characters, targets[start : start + _AT_ONCE], start, per_class, seed)
        for start in range(0, len(targets), _AT_ONCE)
    ]
    return Split(samples, torch.cat(pixels))


def _draw(
    style: Style, glyphs: Tensor, characters: Sequence[str], targets: list[int], start: int, per_class: int, seed: int
) -> Tensor:
    """Draw images (N, C, SIDE, SIDE) from glyphs (fonts, characters, CANVAS, CANVAS)."""
    numbers, noises = [], []
    for i, target in enumerate(targets, start):
        generator = torch.Generator().manual_seed(mix(seed, "character", characters[target], i % per_class))
        numbers.append(torch.rand(_NUMBERS, generator=generator))
        noises.append(torch.randn(style.channels, SIDE, SIDE, generator=generator))
    u = torch.stack(numbers)
    ink = _projected(style, _lettering(style, glyphs, torch.tensor(targets), u), u)
    colours = torch.tensor(style.colours, dtype=torch.float32)[:, :, : style.channels]  # (pairs, 2, C)
    pair = colours[(u[:, 0] * len(colours)).long()] + 24 * (u[:, 1:3, None] - 0.5) * (len(colours) > 1)
    background, foreground = pair[:, 0, :, None, None], pair[:, 1, :, None, None]
    picture = background + (foreground - background) * ink
    if style.dirt:
        picture = _dirty(picture, style.dirt, u)
    if style.light:
        picture = picture * _light(style.light, u)
    picture = avg_pool2d(_blurred(picture, style.blur, u), _FINE // SIDE)
    sigma = (style.noise * u[:, 3]).view(-1, 1, 1, 1)
    return (picture + sigma * torch.stack(noises)).clamp(0, 255).round().to(torch.uint8)


def _lettering(style: Style, glyphs: Tensor, targets: Tensor, u: Tensor) -> Tensor:
    """Return the character, with its neighbours if the style has them: ink from 0 to 1, (N, 1, CANVAS, 3 * CANVAS)."""
    font = (u[:, 4] * len(glyphs)).long()
    count = glyphs.shape[1]
    row = torch.zeros(len(u), 1, CANVAS, 3 * CANVAS)
    own = glyphs[font, targets].float() / 255
    if style.neighbours:
        step = CANVAS * 11 // 16  # from one character to the next
        for which, at in ((5, CANVAS - step), (6, CANVAS + step)):
            other = glyphs[font, (u[:, which] * count).long()].float() / 255
            place = row[:, 0, :, at : at + CANVAS]
            torch.maximum(place, other, out=place)
    middle = row[:, 0, :, CANVAS : 2 * CANVAS]
    torch.maximum(middle, own, out=middle)
    return row


def _projected(style: Style, row: Tensor, u: Tensor) -> Tensor:
    """Return the visible part of the lettering in perspective: (N, 1, _FINE, _FINE)."""
    size = style.size[0] + (style.size[1] - style.size[0]) * u[:, 7]
    angle = torch.deg2rad(style.turn * (2 * u[:, 8] - 1))
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    moved = corners + 2 * style.tilt * (2 * u[:, 9:17].view(-1, 4, 2) - 1)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    turned = torch.stack([cos * moved[..., 0] - sin * moved[..., 1], sin * moved[..., 0] + cos * moved[..., 1]], -1)
    there = turned / size.view(-1, 1, 1) + 2 * style.shift * (2 * u[:, None, 17:19] - 1)
    matrix = _homography(corners.expand_as(there), there)
    y, x = torch.meshgrid(centres(_FINE), centres(_FINE), indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, -1, 3) @ matrix.transpose(1, 2)
    grid = (points[..., :2] / points[..., 2:]).view(-1, _FINE, _FINE, 2)
    grid = grid * torch.tensor([1 / 3, 1.0])  # the row is three squares wide
    return grid_sample(row, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _homography(source: Tensor, target: Tensor) -> Tensor:
    """Return matrices (N, 3, 3) that map four points (N, 4, 2) to four others (direct linear transformation)."""
    x, y = source[..., 0], source[..., 1]
    one, nil = torch.ones_like(x), torch.zeros_like(x)
    rows = []
    for axis in range(2):
        t = target[..., axis]
        own, other = torch.stack([x, y, one], -1), torch.stack([nil, nil, nil], -1)
        pair = [own, other] if axis == 0 else [other, own]
        rows.append(torch.cat([*pair, torch.stack([-x * t, -y * t], -1)], dim=-1))
    solved = torch.linalg.solve(torch.cat(rows, dim=1), torch.cat([target[..., 0], target[..., 1]], dim=1))
    return torch.cat([solved, torch.ones(len(solved), 1)], dim=1).view(-1, 3, 3)


def _dirty(picture: Tensor, most: float, u: Tensor) -> Tensor:
    """Cover spots with the colour of mud, where a coarse pattern of sines is high."""
    x, y = centres(_FINE).view(1, 1, -1), centres(_FINE).view(1, -1, 1)
    phase = (2 * math.pi * u[:, 19:23]).view(-1, 4, 1, 1).unbind(1)
    waves = (3 * x + phase[0]).sin() * (4 * y + phase[1]).sin() + 0.6 * (7 * x - 5 * y + phase[2]).sin()
    spots = ((waves + 0.3 * (11 * y + phase[3]).sin() - 0.8) * 4).sigmoid().unsqueeze(1)
    cover = most * u[:, 23].pow(2).view(-1, 1, 1, 1) * spots
    mud = torch.tensor([96.0, 78.0, 58.0])[: picture.shape[1]].view(1, -1, 1, 1)
    return picture + (mud - picture) * cover


def _light(most: float, u: Tensor) -> Tensor:
    """Return the brightness of each pixel, at most 1: a gradient towards one side, times an overall brightness."""
    x, y = centres(_FINE).view(1, 1, -1), centres(_FINE).view(1, -1, 1)
    angle = (2 * math.pi * u[:, 24]).view(-1, 1, 1)
    along = (angle.cos() * x + angle.sin() * y) / math.sqrt(2)
    slope = (most * u[:, 25]).view(-1, 1, 1) * (along + 1) / 2
    whole = (1 - most * u[:, 26].pow(2)).view(-1, 1, 1)
    return ((1 - slope) * whole).unsqueeze(1)


def _blurred(picture: Tensor, most: float, u: Tensor) -> Tensor:
    """Blur along each axis with its own strength, which can look like motion blur."""
    radius = math.ceil(2.5 * most * _FINE / SIDE)
    at = torch.arange(-radius, radius + 1)
    count, channels = picture.shape[:2]
    for which, shape in ((27, (1, -1)), (28, (-1, 1))):
        sigma = (0.05 + most * u[:, which].pow(2)) * _FINE / SIDE
        kernel = (-0.5 * (at / sigma[:, None]) ** 2).exp()
        kernel = (kernel / kernel.sum(1, keepdim=True)).view(count, 1, *shape).repeat_interleave(channels, 0)
        sides = (radius, radius, 0, 0) if shape == (1, -1) else (0, 0, radius, radius)
        flat = pad(picture.reshape(1, count * channels, _FINE, _FINE), sides, mode="replicate")
        picture = conv2d(flat, kernel.view(count * channels, 1, *kernel.shape[2:]), groups=count * channels)
        picture = picture.view(count, channels, _FINE, _FINE)
    return picture
