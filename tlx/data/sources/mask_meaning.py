"""Find out which values of masks are classes: as somebody says, or from the values of all masks. No torch here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.printable import enumerated
from tlx.data.ignored import IGNORED
from tlx.data.reading.mask_facts import MaskFacts
from tlx.data.sources.mask_classes import ClassMap, Value
from tlx.data.sources.mask_codes import ClassCodes, Space
from tlx.data.sources.mask_sets import BACKGROUND, BACKGROUNDS, FOREGROUND, outline_classes, two_names

STRAY = 0.005  # of a mask: less of a value that is no class is ignored
_OFTEN = 0.05  # of the masks: a value that is in so many is a class, however few its pixels
_BLURRED = 4  # values between two classes, from which edges are blurred
_NUMBERED = 5  # values, from which they may be numbers of objects


@dataclass(frozen=True)
class Meaning:
    """What the values of the masks of a set mean.

    Args:
        names: The classes.
        codes: Which value means which.
        said: How that was found out, in words.
        notes: Remarks for the user, one line each.
    """

    names: list[str]
    codes: ClassCodes
    said: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Values:
    """The values of all masks: the pixels of each, the masks that have it, and its greatest share of one."""

    pixels: Mapping[Any, int]
    masks: Mapping[Any, int]
    share: Mapping[Any, float]
    count: int

    def classes(self, without: Collection[Any]) -> list[Any]:
        """The values that are no stray ones, ascending."""
        often = max(3, _OFTEN * self.count)
        found = [v for v in self.pixels if v not in without and (self.share[v] >= STRAY or self.masks[v] >= often)]
        return sorted(v for v in found if v is not None)


def meaning_of(
    facts: Sequence[MaskFacts],
    known: ClassMap | None,
    ignore: Sequence[Value] | None,
    binary: bool,
) -> Meaning:
    """Return what the values of masks mean.

    Args:
        facts: Of the masks, without broken ones.
        known: What is known of the classes.
        ignore: Values that count nowhere; None: 255 in a palette, and beside small numbers.
        binary: Whether all values but 0 are one class.

    Raises:
        TlxError: Values are numbers of objects, or not those that `known` names, or there is one value only.
    """
    known = known and known.fitting(any(found.kind == "colours" for found in facts))
    space, by_colour = _space_of(facts, known)
    plain = ClassCodes(space, ((0, 0),), by_colour=by_colour)
    values = _counted(facts, plain)
    ignored = _ignored(values, facts, plain, known, ignore, binary)
    if space == "labels":
        return _of_labels(values, known, ignored, binary)
    if binary:
        names = two_names(known)
        half = _half(values, 0, 255, ignored, facts) if 255 in values.pixels else None
        ground = 0 if 0 in values.pixels or space == "numbers" else max(values.pixels, key=values.pixels.__getitem__)
        codes = ClassCodes(space, ((ground, 0), *_as_ignored(ignored)), 1, half, by_colour)
        return Meaning(names, codes, "every value but the background's is foreground")
    if known is not None and known.values is not None:
        pairs = tuple((_number(value), one) for value, one in known.values)
        half = None
        if len(pairs) == 2 and space == "numbers":
            (low, below), (high, above) = sorted(pairs)
            cut = _half(values, low, high, ignored, facts)
            half = cut and (cut[0], below, above)
        codes = ClassCodes(space, (*pairs, *_as_ignored(ignored)), half=half, by_colour=by_colour)
        return Meaning(list(known.names), codes, f"classes as {known.places} says", _blurred_note(half))
    if space == "numbers":
        _refuse_objects(facts, plain, values, ignored)
    left = [value for value in values.pixels if value is not None and value not in ignored]
    half = _half(values, 0, max(left), ignored, facts) if space == "numbers" and len(left) > _BLURRED else None
    if half is not None and (known is None or len(known.names) == 2):
        codes = ClassCodes(space, ((0, 0), (max(left), 1), *_as_ignored(ignored)), half=half, by_colour=by_colour)
        return Meaning(two_names(known), codes, f"values from {half[0]} on are foreground", _blurred_note(half))
    classes = sorted(left) if _all_classes(left, facts, plain) else values.classes(ignored)
    found = _of_values(classes, values, known, ignored, plain)
    if ignore is None and known is None and 255 in ignored and any(one.kind != "palette" for one in facts):
        note = "255 beside small numbers is read as ignored pixels; dataset.ignore=[] makes it a class"
        return replace(found, notes=(*found.notes, note))
    return found


def _of_values(
    classes: Sequence[int],
    values: _Values,
    known: ClassMap | None,
    ignored: Collection[Any],
    plain: ClassCodes,
) -> Meaning:
    texts = [shown(value, plain.space) for value in classes]
    what = {"numbers": "values", "colours": "colours"}[plain.space]
    if len(classes) < 2 and known is None:
        got = f"{texts[0]} everywhere" if texts else "none"
        raise TlxError(f"expected masks with at least two values, got {got}; what the classes are: dataset.classes")
    if len(classes) > 255:
        hint = "save them without a lossy format, or name the classes: dataset.classes"
        raise TlxError(f"expected masks with at most 255 classes, got {len(values.pixels):,} {what}; {hint}")
    numbers = [(value, place) for place, value in enumerate(classes)]
    if known is not None:
        names = list(known.names)
        if plain.space == "numbers" and all(value < len(names) for value in classes):
            numbers = [(place, place) for place in range(len(names))]
        elif len(classes) != len(names) or (plain.space == "colours" and len(names) > 2):
            got = f"{len(classes)} {what}: {enumerated(texts, 20)}"
            hint = f"such as 'dataset.classes={{{_pair(texts[0], names[0])}, …}}'"
            raise TlxError(f"{known.places}: expected the value of each of {len(names)} classes, got {got}; {hint}")
        said = f"classes as {known.places} says"
    elif len(classes) == 2:
        names, said = [BACKGROUND, FOREGROUND], f"{texts[0]} is background, {texts[1]} foreground"
    else:
        names = [f"class {text}" if plain.space == "numbers" else text for text in texts]
        said = f"classes by their {what}: {enumerated(texts, 20)}"
    if ignored:
        said += f", {enumerated([shown(value, plain.space) for value in sorted(ignored)], 5)} ignored"
    codes = ClassCodes(plain.space, (*numbers, *_as_ignored(ignored)), by_colour=plain.by_colour)
    return Meaning(names, codes, said)


def _of_labels(values: _Values, known: ClassMap | None, ignored: Collection[Any], binary: bool) -> Meaning:
    """Labels of outlines; pixels without an object are background."""
    labels = sorted(label for label in values.pixels if label is not None and label not in ignored)
    if binary:
        pairs = ((None, 0), *((label, 0) for label in labels if label in BACKGROUNDS), *_as_ignored(ignored))
        return Meaning(two_names(known), ClassCodes("labels", pairs, 1), "all outlines are foreground")
    if known is None:
        known = ClassMap(tuple(labels), None)
    names, pairs = outline_classes(known)
    said = f"classes are the labels of outlines: {enumerated(names, 20)}"
    return Meaning(names, ClassCodes("labels", (*pairs, *_as_ignored(ignored))), said)


def _space_of(facts: Sequence[MaskFacts], known: ClassMap | None) -> tuple[Space, bool]:
    """What the values of all masks are, and whether a palette counts by its grays."""
    kinds = Counter(found.kind for found in facts)
    if "labels" in kinds:
        if len(kinds) > 1:
            raise TlxError("expected masks or outlines of labelme, got both; dataset.mask_folder says which")
        return "labels", False
    palettes = [found for found in facts if found.kind == "palette"]
    if known is not None and known.colours:
        return "colours", False
    if known is not None and known.values and kinds["colours"]:
        if 2 * kinds["colours"] > len(facts):
            first = next(f for f in facts if f.kind == "colours")
            got = enumerated([shown(value, "colours") for value, _ in first.values], 5)
            hint = "such as 'dataset.classes={background: \"#000000\", …}'"
            raise TlxError(f"{known.places}: expected colours, as the masks have, got numbers; one has {got}; {hint}")
        return "numbers", False
    if kinds["colours"]:
        return "colours", False
    colours_of: dict[int, set[int]] = defaultdict(set)
    for found in palettes:
        for (value, _), colour in zip(found.values, found.colours, strict=True):
            colours_of[value].add(colour)
    all_gray = all(colour % 256 * 0x010101 == colour for colours in colours_of.values() for colour in colours)
    if palettes and len(palettes) < len(facts):
        return "numbers", all_gray
    if any(
        len(colours) > 1 for colours in colours_of.values()
    ):  # each file has a palette of its own: places mean nothing
        return ("numbers", True) if all_gray else ("colours", False)
    return "numbers", False


def _counted(facts: Sequence[MaskFacts], codes: ClassCodes) -> _Values:
    pixels: Counter[Any] = Counter()
    masks: Counter[Any] = Counter()
    share: dict[Any, float] = defaultdict(float)
    for found in facts:
        for value, count in codes.values_of(found):
            pixels[value] += count
            masks[value] += 1
            share[value] = max(share[value], count / found.pixels)
    return _Values(pixels, masks, share, len(facts))


def _ignored(
    values: _Values,
    facts: Sequence[MaskFacts],
    plain: ClassCodes,
    known: ClassMap | None,
    ignore: Sequence[Value] | None,
    binary: bool,
) -> set[Any]:
    """The values that count nowhere."""
    if ignore is not None:
        return {_number(value) for value in ignore}
    own = {_number(value) for value in (known.ignored if known else ())}
    given = {_number(value) for value, _ in (known.values or ())} if known else set()
    if plain.space != "numbers" or 255 not in values.pixels or 255 in given:
        return own
    if all(found.kind == "palette" for found in facts) and not plain.by_colour:
        return own | {255}
    others = sorted(value for value in values.pixels if value not in (255, None))
    small = len(others) > 1 and others[-1] < 64 and others[-1] < 3 * len(others)
    if not small or given or binary:
        return own
    if others == [0, 1] and known is None:
        _refuse_two_forms(facts)
    return own | {255}


def _refuse_two_forms(facts: Sequence[MaskFacts]) -> None:
    """Refuse masks of which some have 0 and 1 and others 0 and 255: 255 could be the foreground or ignored."""
    have = [{value for value, _ in found.values} & {1, 255} for found in facts]
    if {1, 255} in have:
        return
    counts = f"{have.count({1}):,} masks with 0 and 1, and {have.count({255}):,} with 0 and 255"
    hint = "for one foreground: 'dataset.classes={0: rest, 1: object, 255: object}'; otherwise dataset.ignore=[255]"
    raise TlxError(f"expected masks of one form, got {counts}; {hint}")


def _all_classes(left: Sequence[int], facts: Sequence[MaskFacts], plain: ClassCodes) -> bool:
    """Whether every value there is must be a class: two of them, all below a number, or places in palettes."""
    in_palette = plain.space == "numbers" and not plain.by_colour and all(f.kind == "palette" for f in facts)
    in_row = plain.space == "numbers" and bool(left) and max(left) - min(left) == len(left) - 1 and min(left) <= 1
    return len(left) <= 2 or in_palette or (in_row and max(left) <= 255)


def _half(
    values: _Values, low: int, high: int, ignored: Collection[Any], facts: Sequence[MaskFacts]
) -> tuple[int, int, int] | None:
    """Where to cut masks of two classes whose edges are blurred; None: they are not, or there are more classes."""
    between = {v: n for v, n in values.pixels.items() if v is not None and low < v < high and v not in ignored}
    if low not in values.pixels or high not in values.pixels or len(between) < _BLURRED or high - low < 16:
        return None
    beyond = [v for v in values.pixels if v is not None and not low <= v <= high and v not in ignored]
    margin = (high - low) // 8
    middle = {v: n for v, n in between.items() if low + margin < v < high - margin}
    near = sum(values.pixels[v] for v in (low, high)) + sum(n for v, n in between.items() if v not in middle)
    total = sum(n for v, n in values.pixels.items() if v not in ignored)
    smooth = not middle or max(middle.values()) <= 0.4 * sum(middle.values())
    often = sum(any(v in between for v, _ in found.values) for found in facts) >= 0.3 * len(facts)
    if beyond or not smooth or not often or near < 0.7 * total:
        return None
    return (low + high + 1) // 2, 0, 1


def _blurred_note(half: tuple[int, int, int] | None) -> tuple[str, ...]:
    if half is None:
        return ()
    return (f"masks have values between their two classes, as blurred edges and JPEG leave them: cut at {half[0]}",)


def _refuse_objects(facts: Sequence[MaskFacts], plain: ClassCodes, values: _Values, ignored: Collection[Any]) -> None:
    """Refuse masks that number the objects of each image: every mask has the values 1 to its number of objects."""
    own = [{v for v, _ in plain.values_of(found) if v not in (0, None) and v not in ignored} for found in facts]
    numbers = {v for one in own for v in one}
    in_row = [one for one in own if one and max(one) == len(one)]
    some = [one for one in own if one]
    lengths = {len(one) for one in in_row}
    nested = len(in_row) >= 0.95 * len(some) and len(lengths) >= min(3, len(some))
    enough = len(numbers) >= (_NUMBERED if len(some) >= 10 else 2 * _NUMBERED)
    many = len(numbers) > 255 and max((found.distinct for found in facts), default=0) <= 0.02 * max(
        f.pixels for f in facts
    )
    if (nested and enough and len(lengths) > 1) or many:
        top = max(numbers)
        got = f"values up to {top:,}, {min(map(len, some)):,} to {max(map(len, some)):,} of them in a mask"
        raise TlxError(
            f"expected masks whose values are classes, got what looks like numbers of objects: {got}; "
            "dataset.masks=binary makes them background and foreground; if they are classes, name them: dataset.classes"
        )


def _as_ignored(values: Collection[Any]) -> tuple[tuple[Any, int], ...]:
    return tuple((value, IGNORED) for value in sorted(values, key=str))


def _number(value: Value) -> Any:
    """A colour as a number; other values as they are."""
    return int(value[1:], 16) if isinstance(value, str) and value.startswith("#") else value


def shown(value: Any, space: Space) -> str:
    """Return a value as a person types it: a number, `#rrggbb`, or a label."""
    return f"#{value:06x}" if space == "colours" else str(value)


def _pair(text: str, name: str) -> str:
    """A value and its name as Hydra reads them, whose keys are not quoted."""
    return f'{name}: "{text}"' if text.startswith("#") else f"{text}: {name}"
