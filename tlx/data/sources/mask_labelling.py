"""Look at images and masks, and make the label of each image: opened files, stored facts, one verdict a mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlx.base.printable import counted, enumerated
from tlx.data.ignored import IGNORED
from tlx.data.reading.facts import Facts
from tlx.data.reading.inspection import decoding, facts_of, file_facts
from tlx.data.reading.mask_facts import MaskFacts
from tlx.data.sources.content import size_of
from tlx.data.sources.mask_classes import ClassMap, Value
from tlx.data.sources.mask_codes import ClassCodes
from tlx.data.sources.mask_file import MaskFile
from tlx.data.sources.mask_meaning import STRAY, Meaning, meaning_of, shown
from tlx.data.sources.mask_pairs import Pair
from tlx.data.sources.turns import Frame, Sizes, turns

_LOSSY = "it is a JPEG, which changes the values of pixels: save it as PNG"
_BLURRED = 16  # other values than the classes', from which they look blurred


@dataclass(frozen=True)
class Labelled:
    """The labels of the images of a set.

    Args:
        class_names: The classes.
        masks: Of each image; one with a fault where something is wrong.
        said: How classes were found, in words.
        notes: Remarks for the user, one line each.
    """

    class_names: list[str]
    masks: list[MaskFile]
    said: str
    notes: tuple[str, ...]


def labelled(
    pairs: Sequence[Pair],
    names: Sequence[Sequence[str]],
    known: ClassMap | None,
    ignore: Sequence[Value] | None,
    binary: bool,
    exif: Frame,
) -> Labelled:
    """Return the label of each image.

    Args:
        pairs: Images and masks.
        names: What a person calls the files of each pair, the image first.
        known: What is known of the classes.
        ignore: Values that count nowhere; None: see `meaning_of`.
        binary: Whether all values but the background's are one class.
        exif: See `tlx.data.sources.turns.turns`.

    Raises:
        TlxError: The values of the masks are no classes.
    """
    with decoding(True):
        images = file_facts([pair.image for pair in pairs])
    looked = iter(facts_of(MaskFacts, [pair.masks[0] for pair in pairs if len(pair.masks) == 1]))
    facts = [next(looked) if len(pair.masks) == 1 else None for pair in pairs]
    usable = [found for found in facts if found is not None and found.reason is None and not found.lossy]
    if usable:
        meaning = meaning_of(usable, known, ignore, binary)
    else:  # every mask has a fault, which is reported for each
        meaning = Meaning(
            list(known.names) if known else [], ClassCodes("numbers", ((0, IGNORED),)), "no mask can be read"
        )
    sizes = [_sizes(image, found) for image, found in zip(images, facts, strict=True)]
    turned, notes = turns([size for size in sizes if size is not None and size.frame is not None], exif)
    turn = iter(turned)
    strays: list[str] = []
    made = []
    for pair, own, found, size in zip(pairs, names, facts, sizes, strict=True):
        mask = _made(pair, own, found, size, meaning.codes, strays)
        made.append(replace(mask, turn=next(turn)) if size is not None and size.frame is not None else mask)
    if strays:
        what = f"values that are no class, on under {100 * STRAY:g} % of a mask, are ignored pixels in"
        notes.append(f"{what} {counted(len(strays), 'mask', 'masks')}: {enumerated(strays, 5)}")
    clear = sum(found is not None and found.transparent > 0 for found in facts)
    if clear:
        notes.append(f"transparent pixels of {counted(clear, 'mask', 'masks')} are read as the value 0")
    return Labelled(meaning.names, made, meaning.said, (*meaning.notes, *notes))


def _sizes(image: Facts, found: MaskFacts | None) -> Sizes | None:
    """The sizes to compare; None: there is no mask that can be read."""
    if found is None or found.reason is not None:
        return None
    return Sizes((image.width, image.height), image.turn, (found.width, found.height))


def _made(
    pair: Pair, names: Sequence[str], found: MaskFacts | None, size: Sizes | None, codes: ClassCodes, strays: list[str]
) -> MaskFile:
    """The label of one image; what is ignored in its mask is added to `strays`."""
    if found is None:
        got = f"it has {len(pair.masks)} masks: {enumerated(names[1:], 3)}" if pair.masks else "it has no mask"
        return MaskFile(pair.masks[0] if pair.masks else pair.image, names[-1], codes, fault=got)
    fault, counts, stray = _verdict(found, size, codes)
    if stray and fault is None:
        strays.append(f"{names[1]} ({stray})")
    path: Path = pair.masks[0]
    whole = None if fault is None else f"mask {names[1]}: {fault}"
    return MaskFile(path, names[1], codes, counts, size=size_of(path), fault=whole)


def _verdict(found: MaskFacts, size: Sizes | None, codes: ClassCodes) -> tuple[str | None, dict[int, int], str]:
    """What is wrong with a mask, the pixels of each class, and which stray values are ignored in it."""
    if found.reason is not None:
        return found.reason, {}, ""
    if found.lossy:
        return _LOSSY, {}, ""
    if size is not None and size.frame is None:
        (width, height), (own, high) = size.shown, size.drawn
        return f"expected {width} x {height} pixels, as its image has, got {own} x {high}", {}, ""
    counts: Counter[int] = Counter()
    strange: list[tuple[str, int]] = []
    for (original, _), (value, count) in zip(found.values, codes.values_of(found), strict=True):
        if codes.is_known(value):
            counts[codes.class_of(value)] += count
        else:
            strange.append((str(original) if value is None else shown(value, codes.space), count))
    listed = sum(count for _, count in found.values)
    outside = sum(count for _, count in strange) + found.pixels - listed
    others = len(strange) + max(0, found.distinct - len(found.values))
    counts.pop(IGNORED, None)
    stray = f"{enumerated([value for value, _ in strange], 5)}: {counted(outside, 'pixel', 'pixels')}"
    if outside >= STRAY * found.pixels:
        share = f"{100 * outside / found.pixels:.3g} % of its pixels have values outside the classes"
        blurred = "; blurred edges, as of a JPEG or of resizing, have such values" if others > _BLURRED else ""
        return f"{share}: {enumerated([value for value, _ in strange], 5)}{blurred}", {}, ""
    if not counts:
        return "no pixel of it has a class", {}, ""
    return None, dict(sorted(counts.items())), stray if outside else ""
