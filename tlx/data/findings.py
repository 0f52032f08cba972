"""Findings about a set that may invalidate its metrics: pure functions from labels, content and sizes to lines.

The rules:

- the set has only one class, or a class has no images in a split;
- a class dominates: it has more than 80 % of the training images, or more than ten times the median class;
  this is not checked if images show several classes;
- classes have fewer training images than `labels_per_class`;
- files are copies of another file in their split (the first five are named);
- images are near duplicates (`tlx.data.splits.similar`) or shots of the same thing (`tlx.data.splits.shots`, if `tlx
  check` has looked for them), in one split or two (the first five are named);
- images with equal content are in two splits, or have contradicting labels in one split or two;
- groups (patients, plates, scenes) are in two splits: carving never divides a group, official splits may;
- images of more than 8 bits are dark: no value in the set is above an eighth of 65,535;
- images are far smaller than the input: the shorter side is less than half of the input's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

from tlx.base.printable import counted, enumerated
from tlx.data.splits.samples import ImageSet, Sample, Split
from tlx.data.splits.similar_groups import Pair

DOMINATES = 0.8  # of the training images
DOMINATES_MEDIAN = 10  # times the images of the median class
DARK = 65535 // 8  # largest value of images of 16 bits
_GROUPS_NAMED = 3  # groups of near duplicates
FAR_SMALLER = 0.5  # of the shorter side of the input

Keys = Mapping[str, Sequence[bytes]]  # split -> content hash of each sample


def class_findings(images: ImageSet) -> Iterator[str]:
    """Yield findings about the number of images of each class."""
    if not images.class_names:  # a target domain without labels
        return
    if len(images.class_names) < images.labels.least_classes:
        yield f"the only class is '{images.class_names[0]}': there is nothing to classify"
    for part, split in images.splits.items():
        if not split:
            yield f"{part} has no images"
            continue
        counts = images.counts(split)
        absent = [name for label, name in enumerate(images.class_names) if not counts[label]]
        if absent:
            yield f"{part} has no images of {counted(len(absent), 'class', 'classes')}: {enumerated(absent)}"
    yield from _dominating(images)


def _dominating(images: ImageSet) -> Iterator[str]:
    counts = images.counts(images.train)
    if len(images.class_names) < 2 or not counts:
        return
    largest, most = max(counts.items(), key=lambda item: (item[1], -item[0]))
    middle = median(counts[label] for label in range(len(images.class_names)))
    total = len(images.train)
    if sum(counts.values()) > total:  # images show several classes, such as masks with a background
        return
    if most > DOMINATES * total or most > DOMINATES_MEDIAN * middle:
        share = f"{most:,} of {total:,} training images, the median class has {middle:,.0f}"
        yield f"class '{images.class_names[largest]}' dominates: {share}"


def label_findings(images: ImageSet, labels_per_class: int | None) -> Iterator[str]:
    """Yield the classes that have fewer training images than `labels_per_class`."""
    counts = images.counts(images.train)
    fewer = [
        f"{name} {counts[label]:,}"
        for label, name in enumerate(images.class_names)
        if labels_per_class is not None and 0 < counts[label] < labels_per_class
    ]
    if fewer:
        classes = counted(len(fewer), "class has", "classes have")
        summary = f"labels_per_class={labels_per_class}: {classes} fewer training images, all of which are used"
        yield f"{summary}: {enumerated(fewer)} (dataset.labels_exact=true refuses this)"


def content_findings(images: ImageSet, keys: Keys) -> Iterator[str]:
    """Yield which splits share images, and which labels contradict each other."""
    for seen, held_out in combinations(("train", "val", "test"), 2):
        pairs = identical(images.splits[seen].samples, keys[seen], images.splits[held_out].samples, keys[held_out])
        if pairs:
            count = f"{len(pairs):,} of {len(images.splits[held_out]):,} {held_out} images"
            yield f"{count} are also in {seen}: {_named(pairs)}"
        wrong = [(one, other) for one, other in pairs if images.class_ids(one) != images.class_ids(other)]
        if wrong:
            one, other = (_with_classes(images, sample) for sample in wrong[0])
            count = counted(len(wrong), f"{held_out} image is", f"{held_out} images are")
            summary = f"{count} identical to one of another class in {seen}"
            yield f"{summary}: {other} is {one}{', …' if len(wrong) > 1 else ''}"
    for part, split in images.splits.items():
        pairs = contradictions(images, split, keys[part])
        if pairs:
            names = [_with_classes(images, sample) for sample in pairs[0]]
            what = "training" if part == "train" else part
            count = counted(len(pairs), f"{what} image is", f"{what} images are")
            yield f"{count} identical to one of another class: {' is '.join(names)}{', …' if len(pairs) > 1 else ''}"


def copy_findings(images: ImageSet, keys: Keys) -> Iterator[str]:
    """Yield the files that are copies of another file in their split with the same label."""
    named: list[str] = []
    for part, split in images.splits.items():
        first: dict[tuple[bytes, tuple[int, ...]], Sample] = {}
        for sample, key in zip(split.samples, keys[part], strict=True):
            known = first.setdefault((key, images.class_ids(sample)), sample)
            if known is not sample and isinstance(sample.source, Path):
                named.append(f"{sample.name} is {known.name}")
    if named:
        count = f"{counted(len(named), 'image is a copy', 'images are copies')} of another in the same split"
        yield f"{count}: {enumerated(named, 5)}"


def similar_findings(images: ImageSet, pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield near duplicates: first those across two splits, with the remedy, then those in one split.

    Args:
        images: The set.
        pairs: Near duplicates, as positions in the concatenation of train, val and test.
    """
    places = [(part, sample) for part, split in images.splits.items() for sample in split.samples]
    by_parts: dict[tuple[str, str], dict[str, str]] = {}  # (split, split) -> name -> line about the image
    for one, other, _ in pairs:
        (seen, known), (part, sample) = places[one], places[other]
        by_parts.setdefault((seen, part), {}).setdefault(sample.name, f"{sample.name} is like {known.name}")
    for seen, part in combinations(images.splits, 2):
        named = list(by_parts.get((seen, part), {}).values())
        if named:
            remedy = "dataset.similar=together keeps near duplicates in one split"
            if part not in images.carved:
                remedy = f"tlx does not change official splits: remove near duplicates from {seen}"
            count = counted(len(named), f"{part} image is a near duplicate", f"{part} images are near duplicates")
            yield f"{count} of images in {seen}: {enumerated(named, 5)}; {remedy}"
    inside = [line for part in images.splits for line in by_parts.get((part, part), {}).values()]
    if inside:
        count = counted(len(inside), "image is a near duplicate", "images are near duplicates")
        yield f"{count} of another in the same split: {enumerated(inside, 5)}"


def similar_group_findings(groups: Sequence[Sequence[tuple[str, Sample]]]) -> Iterator[str]:
    """Yield how many groups near duplicates form, if any has more than two, and the names in the first ones.

    Args:
        groups: The split and sample of each image, the largest group first.
    """
    if groups and len(groups[0]) > 2:
        least, most = len(groups[-1]), len(groups[0])
        sizes = f"{least:,} to {most:,}" if least < most else f"{most:,}"
        named = [enumerated([sample.name for _, sample in group], 6) for group in groups[:_GROUPS_NAMED]]
        more = f"; and {len(groups) - _GROUPS_NAMED:,} more" if len(groups) > _GROUPS_NAMED else ""
        count = counted(len(groups), "group", "groups")
        yield f"near duplicates form {count} of {sizes} images: {'; '.join(named)}{more}"


def group_findings(images: ImageSet) -> Iterator[str]:
    """Yield which splits share groups."""
    groups = {part: {g for g in split.groups if g is not None} for part, split in images.splits.items()}
    for seen, held_out in combinations(groups, 2):
        both = sorted(groups[seen] & groups[held_out])
        if both:
            count = f"{len(both):,} of {counted(len(groups[held_out]), 'group', 'groups')} of {held_out} images"
            verb, more = ("is", "") if len(both) == 1 else ("are", ", …")
            yield f"{count} {verb} also in {seen}: {both[0]}{more}"


def identical(
    seen: Sequence[Sample], seen_keys: Sequence[bytes], held_out: Sequence[Sample], held_out_keys: Sequence[bytes]
) -> list[tuple[Sample, Sample]]:
    """Return pairs (seen sample, held-out sample) of equal content, one pair for each such held-out sample."""
    by_key = dict(zip(reversed(seen_keys), reversed(seen), strict=True))
    return [(by_key[key], sample) for key, sample in zip(held_out_keys, held_out, strict=True) if key in by_key]


def contradictions(images: ImageSet, split: Split, keys: Sequence[bytes]) -> list[tuple[Sample, Sample]]:
    """Return pairs (first sample with some content, later sample with the same content but other classes)."""
    first: dict[bytes, Sample] = {}
    pairs = []
    for sample, key in zip(split.samples, keys, strict=True):
        known = first.setdefault(key, sample)
        if images.class_ids(known) != images.class_ids(sample):
            pairs.append((known, sample))
    return pairs


def size_findings(names: Sequence[str], short_sides: Sequence[int], input_size: int) -> Iterator[str]:
    """Yield how many images are far smaller than the input.

    Args:
        names: Name of each image.
        short_sides: Shorter side of each image in pixels.
        input_size: The shorter side of the input in pixels.
    """
    small = [(side, name) for side, name in zip(short_sides, names, strict=True) if side < FAR_SMALLER * input_size]
    if small:
        side, name = min(small)
        count = f"{len(small):,} of {len(names):,} images"
        what = (
            f"are far smaller than the input of {input_size} pixels (shorter side under {FAR_SMALLER * input_size:g})"
        )
        yield f"{count} {what}: the smallest has {side}, {name}"


def depth_findings(peaks: Sequence[int]) -> Iterator[str]:
    """Yield a finding if 16-bit images use so little of their range that they appear nearly black.

    Args:
        peaks: Largest value of each 16-bit image.
    """
    top = max(peaks, default=0)
    if 0 < top < DARK:
        width = 1 << top.bit_length()
        what = f"more than 8 bits but no value above {top:,} of 65,535, so they appear nearly black"
        count = counted(len(peaks), "image has", "images have")
        yield f"{count} {what}; dataset.window=[{width // 2},{width}] shows 0 to {width:,}"


def _with_classes(images: ImageSet, sample: Sample) -> str:
    return f"{sample.name} ({', '.join(images.class_names[label] for label in images.class_ids(sample)) or 'no class'})"


def _named(pairs: Sequence[tuple[Sample, Sample]]) -> str:
    seen, held_out = pairs[0]
    return f"{held_out.name} is {seen.name}{', …' if len(pairs) > 1 else ''}"
