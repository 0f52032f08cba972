"""Alphabets and fonts. Nothing heavy is imported before a font is opened."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tlx.base.errors import TlxError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from PIL import ImageFont


def _range(first: str, last: str, without: str = "") -> str:
    return "".join(chr(code) for code in range(ord(first), ord(last) + 1) if chr(code) not in without)


ALPHABETS = {
    "digits": "0123456789",
    "latin": _range("A", "Z"),
    "latin_small": _range("a", "z"),
    "greek": _range("Α", "Ω", without="\u03a2"),  # a gap in Unicode
    "cyrillic": _range("А", "Я"),
    "hiragana": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん",
    "katakana": "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン",
}
# Text fonts that come with matplotlib, so they are the same on every machine.
_TEXT_FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)
CANVAS = 64  # pixels; side of the square in which a character is drawn
_FONT_SIZE = 52


def alphabet(characters: str | Sequence[int | str]) -> tuple[str, ...]:
    """Return the characters of a named alphabet, or the given characters.

    Raises:
        TlxError: There are fewer than two characters, one is repeated, or an entry is not one visible character.
    """
    chosen = tuple(ALPHABETS.get(characters, characters) if isinstance(characters, str) else map(str, characters))
    if isinstance(characters, str) and len(set(chosen)) != len(chosen):
        hint = did_you_mean(characters, ALPHABETS)
        raise TlxError(f"expected one of {', '.join(ALPHABETS)} or different characters, got '{characters}'; {hint}")
    if len(chosen) < 2 or len(set(chosen)) != len(chosen) or any(len(one) != 1 or one.isspace() for one in chosen):
        raise TlxError(f"expected at least two different characters, got {list(chosen)}")
    return chosen


def fonts_for(characters: Sequence[str], key: str = "dataset.characters") -> list[Path]:
    """Return the fonts that have all characters: matplotlib's, or if none of these does, the machine's.

    Args:
        characters: Single characters.
        key: Configuration key of the characters, for the message.

    Raises:
        TlxError: No font has all characters.
    """
    from matplotlib import font_manager, get_data_path

    wanted = {ord(one) for one in characters}
    folder = Path(get_data_path()) / "fonts" / "ttf"
    found = [path for name in _TEXT_FONTS if wanted <= _characters_of(path := folder / f"{name}.ttf")]
    if not found:
        installed = (Path(path) for path in sorted(font_manager.findSystemFonts()))
        found = [path for path in installed if wanted <= _characters_of(path)]
    if not found:
        raise TlxError(
            f"{key}: expected characters for which this machine has a font, got {''.join(characters)}; "
            "install one, such as Noto Sans CJK for kana, or choose greek, cyrillic or latin"
        )
    return found


def draw(character: str, font: Path) -> np.ndarray:
    """Draw a character in the centre of a square, from 0 (background) to 255 (ink): uint8 (CANVAS, CANVAS)."""
    import numpy as np
    from PIL import Image, ImageDraw

    picture = Image.new("L", (CANVAS, CANVAS))
    place = (CANVAS / 2, CANVAS / 2)
    pen, opened = ImageDraw.Draw(picture), _opened(font)
    left, top, right, bottom = pen.textbbox((0, 0), character, font=opened)
    pen.text((place[0] - (left + right) / 2, place[1] - (top + bottom) / 2), character, fill=255, font=opened)
    return np.asarray(picture)


@functools.cache
def _opened(font: Path) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(font, _FONT_SIZE)


@functools.cache
def _characters_of(font: Path) -> frozenset[int]:
    from fontTools.ttLib import TTCollection, TTFont, TTLibError

    try:
        opened = TTCollection(font).fonts[0] if font.suffix.lower() == ".ttc" else TTFont(font, lazy=True)
        return frozenset(opened.getBestCmap() or ())
    except (TTLibError, OSError):
        return frozenset()
