"""Backgrounds with a pattern, and colours of a given luminance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

Floats = np.ndarray[tuple[Any, ...], np.dtype[Any]]  # float32

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue: ITU-R BT.601
DARKEST, BRIGHTEST = 50, 205  # mean luminance of a background; room is left for objects below or above
_PATTERN = 24  # the largest difference in luminance between the two colours of a pattern
_CONTRAST = 85  # the least difference in luminance between an object and the mean of its background


def background(random: np.random.Generator, height: int, width: int) -> tuple[Floats, float]:
    """Return a textured background (height, width, 3) with values from 0 to 255, and its luminance without the pattern.

    Two colours are mixed by a pattern on a gradient.
    """
    luminance = random.uniform(DARKEST, BRIGHTEST)
    base = coloured(random, luminance)
    other = coloured(random, luminance + random.uniform(-_PATTERN, _PATTERN))
    other = base + random.uniform(0.4, 1) * (other - base)
    y, x = np.meshgrid(np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing="ij")
    pattern = _PATTERNS[int(random.random() * len(_PATTERNS))](random, x, y)
    share = random.uniform(0.5, 1)
    mixed = share * pattern + (1 - share) * _gradient(random, x, y)
    return base + mixed[..., None] * (other - base), float(luminance)


def ink(random: np.random.Generator, luminance: float) -> Floats:
    """Return a colour (3,) that stands out from a background of this luminance: far darker or far brighter."""
    below, above = max(0.0, luminance - _CONTRAST - 8), max(0.0, 247 - luminance - _CONTRAST)
    place = random.uniform(0, below + above)
    return coloured(random, 8 + place if place < below else luminance + _CONTRAST + place - below)


def coloured(random: np.random.Generator, luminance: float) -> Floats:
    """Return a random colour (3,) of this luminance, each value from 0 to 255."""
    colour: Floats = (255 * random.random(3)).astype(np.float32)
    own = float(colour @ _LUMINANCE)
    if luminance <= own:
        colour *= np.float32(luminance / max(own, 1e-6))
    else:
        colour += (255 - colour) * np.float32((luminance - own) / (255 - own))
    return colour


def _gradient(random: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """From 0 on one side to 1 on the other."""
    along: Floats = _along(random, x, y)
    along -= along.min()
    along /= along.max()
    return along


def _stripes(random: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """Stripes with soft or hard edges, 8 to 40 pixels from one to the next."""
    period, phase, hardness = random.uniform(8, 40), random.uniform(0, 2 * np.pi), random.uniform(1, 5)
    wave: Floats = np.sin(_along(random, x, y) * np.float32(2 * np.pi / period) + np.float32(phase))
    return np.clip(hardness * wave, -1, 1) / 2 + 0.5


def _checks(random: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """A checkered cloth: two sets of stripes across one another."""
    angle, period, hardness = random.uniform(0, np.pi), random.uniform(16, 48), random.uniform(1, 5)
    cos, sin, step = np.float32(np.cos(angle)), np.float32(np.sin(angle)), np.float32(2 * np.pi / period)
    wave = np.sin((cos * x + sin * y) * step) * np.sin((cos * y - sin * x) * step)
    return np.clip(hardness * wave, -1, 1) / 2 + 0.5


def _clouds(random: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """Smooth noise of two sizes."""
    height, width = x.shape
    cells = int(3 + 9 * random.random())
    layers = []
    for count in (cells, 3 * cells):
        grid = random.random((count, count), dtype=np.float32)
        layers.append(np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)))
    return np.clip(0.7 * layers[0] + 0.3 * layers[1], 0, 1)


def _along(random: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """How far each pixel lies in a random direction, in pixels."""
    angle = random.uniform(0, 2 * np.pi)
    return np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y


_PATTERNS: tuple[Callable[[np.random.Generator, Floats, Floats], Floats], ...] = (
    _gradient,
    _stripes,
    _checks,
    _clouds,
)
