"""How scenes are drawn: characters as with a thick pen on a textured background, with exact masks and boxes.

A scene is a function of characters, seed, split and index: more of them leave those that were there as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tlx.data.augmentation.randomness import mix
from tlx.data.sources.glyphs import fonts_for
from tlx.data.sources.textures import background, ink

HEIGHT, WIDTH = 160, 192  # pixels of a scene
MOST = 6  # objects
SMALLEST, LARGEST = 48, 110  # pixels, the longer side of an object before it is rotated
STROKE = 6  # pixels, the least width of a stroke
_PEN = 3  # pixels that are added around the strokes of a font, whose thinnest lines have about one pixel
_EMPTY = 0.04  # share of scenes without objects
_ROTATION = 20  # degrees, either way
_MARGIN = 2  # pixels between an object and the edge of the scene
_TRIES = 30  # places that are tried for an object
_OVERLAP = 0.05  # of the smaller of two boxes; an object that would share more is left out
_GRAIN = 8  # the largest standard deviation of the noise on all pixels, of 255

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """A picture and what it shows.

    Args:
        pixels: uint8 (3, HEIGHT, WIDTH).
        mask: uint8 (HEIGHT, WIDTH): 0 for the background, 1 + the class of the object on top.
        boxes: float32 (N, 4): left, top, right and bottom of each object in pixels, as if nothing covered it; right and
            bottom are the edges behind its last pixels.
        classes: int64 (N,): places in `characters`, from 0. Later objects are on top.
    """

    pixels: Array
    mask: Array
    boxes: Array
    classes: Array


def draw_scene(characters: Sequence[str], seed: int, split: str, index: int) -> Scene:
    """Draw one scene.

    Args:
        characters: The classes; see `tlx.data.sources.glyphs.alphabet`.
        seed: Seed of the whole set.
        split: `train`, `val` or `test`.
        index: Number of the scene in its split, from 0.

    Raises:
        TlxError: No font of this machine has the characters.
    """
    random = np.random.default_rng(mix(seed, "scene", split, index))
    picture, luminance = background(random, HEIGHT, WIDTH)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    boxes: list[Box] = []
    classes: list[int] = []
    for longer in _sizes(random):
        character = int(random.random() * len(characters))
        cover = _object(random, characters[character], _thin_fonts(tuple(characters)), longer)
        colour = ink(random, luminance)
        box = _place(random, _inside(cover), boxes)
        if box is None:
            continue
        _paint(picture, mask, cover, box, colour, 1 + character)
        boxes.append(box)
        classes.append(character)
    picture += random.uniform(0, _GRAIN) * random.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32)
    pixels = np.ascontiguousarray(picture.clip(0, 255).round().astype(np.uint8).transpose(2, 0, 1))
    return Scene(pixels, mask, np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64))


def _sizes(random: np.random.Generator) -> list[float]:
    """Return the longer side of each object in pixels: the more objects, the smaller, so that they have room."""
    count = 0 if random.random() < _EMPTY else 1 + int(random.random() * MOST)
    largest = min(LARGEST, 150 / max(count, 1) ** 0.5)
    sizes: list[float] = random.uniform(SMALLEST, max(SMALLEST, largest), count).tolist()
    return sorted(sizes, reverse=True)  # large ones find no room among many small ones


def _object(random: np.random.Generator, character: str, fonts: Sequence[Path], longer: float) -> Array:
    """Return how much of each pixel a rotated character covers, uint8 (h, w) from 0 to 255, with an empty edge."""
    font = fonts[int(random.random() * len(fonts))]
    size = min(100 * (longer - 2 * _PEN) / _extent(character, font), 3 * longer)
    opened = ImageFont.truetype(font, size)  # not kept: hundreds of sizes would be as many open files
    left, top, right, bottom = (round(edge) for edge in opened.getbbox(character, stroke_width=_PEN))
    upright = Image.new("L", (right - left + 4, bottom - top + 4))
    place = (2 - left, 2 - top)
    ImageDraw.Draw(upright).text(place, character, fill=255, font=opened, stroke_width=_PEN)
    angle = random.uniform(-_ROTATION, _ROTATION)
    return np.asarray(upright.rotate(angle, resample=Image.Resampling.BICUBIC, expand=True))


def _inside(cover: Array) -> Box:
    """Return the box around the pixels that are covered by half or more."""
    rows, columns = np.flatnonzero((cover >= 128).any(1)), np.flatnonzero((cover >= 128).any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _place(random: np.random.Generator, own: Box, others: Sequence[Box]) -> Box | None:
    """Return a box of the size of `own` where the scene is free, or nearly; None: there is no such place."""
    width, height = own[2] - own[0], own[3] - own[1]
    best, least = None, _OVERLAP
    for across, down in random.random((_TRIES, 2)).tolist():
        left = _MARGIN + int(across * (WIDTH - 2 * _MARGIN - width + 1))
        top = _MARGIN + int(down * (HEIGHT - 2 * _MARGIN - height + 1))
        box = (left, top, left + width, top + height)
        shared = max((_shared(box, other) for other in others), default=0.0)
        if shared == 0:
            return box
        if shared < least:
            best, least = box, shared
    return best


def _shared(one: Box, other: Box) -> float:
    """Return the part of the smaller of two boxes that both share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(width, 0) * max(height, 0) / min(areas)


def _paint(picture: Array, mask: Array, cover: Array, box: Box, colour: Array, value: int) -> None:
    """Put an object into a picture (H, W, 3) and a mask (H, W), so that its visible pixels fill the box."""
    left, top, right, bottom = _inside(cover)
    soft = cover[top - 1 : bottom + 1, left - 1 : right + 1].astype(np.float32)[..., None] / 255  # a soft edge outside
    around = np.s_[box[1] - 1 : box[3] + 1, box[0] - 1 : box[2] + 1]
    picture[around] += (colour - picture[around]) * soft
    mask[around][soft[..., 0] >= 0.5] = value


@functools.cache
def _thin_fonts(characters: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the fonts for characters without the bold ones, whose holes a thick pen would fill."""
    fonts = fonts_for(characters, "dataset.classes")
    thin = tuple(font for font in fonts if "Bol" not in font.stem and font.stem != "cmb10")
    return thin or tuple(fonts)


@functools.cache
def _extent(character: str, font: Path) -> float:
    """Return the longer side of a character in a font of 100 pixels."""
    left, top, right, bottom = ImageFont.truetype(font, 100).getbbox(character)
    return max(right - left, bottom - top, 1)
