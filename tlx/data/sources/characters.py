"""Drawn characters: letters of an alphabet, and characters of number plates as cameras see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tlx.base.errors import Mistake, TlxError
from tlx.base.fields import SEED, within
from tlx.data.sources.base import Source
from tlx.data.sources.glyphs import alphabet
from tlx.data.sources.keys import CARVED, SourceKeys
from tlx.data.splits.samples import ImageSet


@dataclass
class CharactersKeys(SourceKeys):
    """Drawn characters."""

    characters: str | list[int | str] = "digits"
    per_class: int = field(default=300, metadata=within(1, 1_000_000))
    draw_seed: int = field(default=0, metadata=SEED)
    test_fraction: float = field(default=0.2, metadata=CARVED)


class CharactersSource(Source):
    """The common part of plates and letters."""

    keys = CharactersKeys
    lists_files = False

    def all_class_names(self) -> list[str]:
        """Return the characters."""
        return list(alphabet(self.node.get("characters", "digits")))

    def own_mistakes(self) -> list[Mistake]:
        """Return a mistake if the characters are invalid."""
        try:
            self.all_class_names()
        except TlxError as error:
            got = f"'{self.node['characters']}'"
            return [Mistake("dataset.characters", "characters to draw", got, str(error))]
        return []

    def content(self) -> dict[str, Any]:
        """Return {}: the keys identify the set."""
        return {}


class PlatesSource(CharactersSource):
    """Characters on number plates."""

    def read(self) -> ImageSet:
        """Draw the set with `plates`."""
        return plates(**self.arguments)


class LettersSource(CharactersSource):
    """An alphabet in many fonts."""

    def read(self) -> ImageSet:
        """Draw the set with `letters`."""
        return letters(**self.arguments)


def plates(
    characters: str | Sequence[int | str] = "digits",
    per_class: int = 300,
    draw_seed: int = 0,
    test_fraction: float = 0.2,
    *,
    name: str = "plates",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return characters as a camera sees them on number plates: RGB, 32 x 32 pixels.

    The plates have the colours of several countries, parts of neighbouring characters, perspective, dirt, uneven light,
    blur and noise.

    Args:
        characters: `digits`, `latin`, `latin_small`, `greek`, `cyrillic`, `hiragana`, `katakana`, or characters.
        per_class: Images per character.
        draw_seed: Seed of the drawing.
        test_fraction: Fraction of all images for the test split.
        name: Name of the set.
        val_fraction: Fraction of all images for validation.
        split_seed: Seed of the split.

    Raises:
        TlxError: No font on this machine has the characters, or a character is repeated.
    """
    from tlx.data.sources.drawn_characters import PLATE, drawn_set
    from tlx.data.splits.division import carve

    drawn = drawn_set(PLATE, alphabet(characters), per_class, draw_seed)
    return carve(name, list(alphabet(characters)), drawn, val_fraction, test_fraction, split_seed)


def letters(
    characters: str | Sequence[int | str] = "latin",
    per_class: int = 300,
    draw_seed: int = 0,
    test_fraction: float = 0.2,
    *,
    name: str = "letters",
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return characters in many fonts, white on black, slightly rotated and tilted: gray, 32 x 32 pixels.

    The arguments are those of `plates`.
    """
    from tlx.data.sources.drawn_characters import LETTER, drawn_set
    from tlx.data.splits.division import carve

    drawn = drawn_set(LETTER, alphabet(characters), per_class, draw_seed)
    return carve(name, list(alphabet(characters)), drawn, val_fraction, test_fraction, split_seed)
