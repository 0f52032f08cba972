"""A page of text, tables and pictures as plain values, written as one HTML file or as one picture."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image, ImageDraw

from tlx.base.legible import legible
from tlx.measures.box_drawing import text_font
from tlx.measures.sheet import sheet

_QUALITY = 85  # of the JPEGs in an HTML file
_SMALLEST = 96  # pixels of the longer side of a shown picture: smaller ones are enlarged, pixel by pixel
_BAND, _HEADING = 30, 16  # pixels: height of the line above the pictures of a block, of its characters
_STYLE = (
    "body{font-family:sans-serif;margin:2em;max-width:1200px}td,th{padding:.1em .8em;text-align:right}"
    "td:last-child,th:last-child{text-align:left}figure{display:inline-block;margin:.3em;vertical-align:top}"
    "figcaption{font-size:.75em;overflow-wrap:anywhere}.row{margin-bottom:.5em}"
)


@dataclass(frozen=True)
class Shown:
    """A picture with a caption: uint8 (H, W, 3)."""

    caption: str
    picture: np.ndarray


@dataclass(frozen=True)
class Block:
    """A part of a page.

    Args:
        heading: Its heading.
        lines: Sentences, one a line.
        table: Rows of cells, the first of them the heading.
        pictures: Rows of pictures.
    """

    heading: str
    lines: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    pictures: Sequence[Sequence[Shown]] = ()


def fitted(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a picture (H, W, 3) whose longer side has at most `side` pixels; small ones are enlarged."""
    longer = max(picture.shape[:2])
    if longer > side:
        height, width = (max(1, round(length * side / longer)) for length in picture.shape[:2])
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
    times = -(-min(_SMALLEST, side) // longer)
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def as_html(title: str, blocks: Sequence[Block], generator: str) -> str:
    """Return the page as one HTML file: pictures are in it as JPEG, there are no scripts and no links.

    Args:
        title: Its title.
        blocks: Its parts.
        generator: What wrote it, for a tag that a reader can look for.
    """
    head = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{generator_tag(generator)}'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>\n<h1>{_text(title)}</h1>\n"
    )
    return head + "".join(part for block in blocks for part in _html(block)) + "</body></html>\n"


def generator_tag(generator: str) -> str:
    """Return the tag that says what wrote an HTML file."""
    return f'<meta name="generator" content="{_text(generator)}">'


def _html(block: Block) -> Iterator[str]:
    yield f"<h2>{_text(block.heading)}</h2>\n"
    yield from (f"<p>{_text(line)}</p>\n" for line in block.lines)
    if block.table:
        head, *rows = block.table
        yield f"<table><tr>{''.join(f'<th>{_text(cell)}</th>' for cell in head)}</tr>\n"
        yield from (f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
        yield "</table>\n"
    for row in block.pictures:
        yield '<div class="row">'
        for one in row:
            yield f'<figure><img alt="" src="data:image/jpeg;base64,{_jpeg(one.picture)}">'
            yield f"<figcaption>{_text(one.caption)}</figcaption></figure>"
        yield "</div>\n"


def _jpeg(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=_QUALITY)
    return b64encode(buffer.getvalue()).decode("ascii")


def _text(text: str) -> str:
    return escape(legible(text), quote=True)


def as_picture(blocks: Sequence[Block], side: int) -> np.ndarray:
    """Return the pictures of a page below the headings of their blocks, uint8 (H, W, 3); its tables are left out.

    Args:
        blocks: Its parts.
        side: Pixels of the longer side of a picture.
    """
    sheets = []
    for block in blocks:
        if block.pictures:
            rows = [[(legible(one.caption), one.picture) for one in row] for row in block.pictures]
            longest = max(max(picture.shape[:2]) for row in rows for _, picture in row)
            sheets.append((block.heading, sheet(rows, min(side, max(longest, _SMALLEST)))))
    width = max((picture.shape[1] for _, picture in sheets), default=side)
    parts = [part for heading, picture in sheets for part in (_band(heading, width), _widened(picture, width))]
    return np.concatenate(parts or [_band("no pictures", width)])


def _band(text: str, width: int) -> np.ndarray:
    band = Image.new("RGB", (width, _BAND), (255, 255, 255))
    ImageDraw.Draw(band).text((8, 8), legible(text), font=text_font(_HEADING), fill=(0, 0, 0))
    return np.asarray(band)


def _widened(picture: np.ndarray, width: int) -> np.ndarray:
    return np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
