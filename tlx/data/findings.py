"""Findings about a set that may invalidate a figure: pure functions from labels, content and sizes to lines.

The rules:

- a set with only one class is named, and so is a class without images in a split;
- a class dominates where it has more than 80 % of the training images, or more than ten times the median class;
  not where images show several classes;
- classes with fewer training images than `labels_per_class` are named;
- files that are copies of another one in their split are named, the first five;
- nearly identical images (`tlx.data.splits.similar`) are named by split, the first five;
- images with equal content in two splits are counted, and so are those with contradicting labels in one split or two;
- groups (patients, plates, scenes) in two splits are counted: carving never divides a group, official splits may;
- images of more than 8 bits are dark if the largest value of all is below an eighth of 65,535;
- an image is far smaller than the input if its shorter side is less than half of the input's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

from tlx.base.printable import counted, enumerated
from tlx.data.splits.samples import ImageSet, Sample, Split

DOMINATES = 0.8  # of the training images
DOMINATES_MEDIAN = 10  # times the images of the median class
DARK = 65535 // 8  # of the values of images of 16 bits
FAR_SMALLER = 0.5  # of the side of the input

Keys = Mapping[str, Sequence[bytes]]  # split -> content of each sample


def class_findings(images: ImageSet) -> Iterator[str]:
    """Yield findings about the number of images of each class."""
    if not images.class_names:  # a target domain without labels
        return
    if len(images.class_names) < images.labels.least_classes:
        yield f"there is one class only, '{images.class_names[0]}': nothing to tell apart"
    for part, split in images.splits.items():
        if not split:
            yield f"{part} has no images"
            continue
        counts = images.counts(split)
        absent = [name for target, name in enumerate(images.class_names) if not counts[target]]
        if absent:
            yield f"{part} has no images of {counted(len(absent), 'class', 'classes')}: {enumerated(absent)}"
    yield from _dominating(images)


def _dominating(images: ImageSet) -> Iterator[str]:
    counts = images.counts(images.train)
    if len(images.class_names) < 2 or not counts:
        return
    target, most = max(counts.items(), key=lambda item: (item[1], -item[0]))
    middle = median(counts[t] for t in range(len(images.class_names)))
    total = len(images.train)
    if sum(counts.values()) > total:  # images show several classes, such as masks with a background
        return
    if most > DOMINATES * total or most > DOMINATES_MEDIAN * middle:
        share = f"{most:,} of {total:,} training images, the median class has {middle:,.0f}"
        yield f"class '{images.class_names[target]}' dominates: {share}"


def label_findings(images: ImageSet, labels_per_class: int | None) -> Iterator[str]:
    """Yield the classes that have fewer training images than `labels_per_class`."""
    counts = images.counts(images.train)
    fewer = [
        f"{name} {counts[target]:,}"
        for target, name in enumerate(images.class_names)
        if labels_per_class is not None and 0 < counts[target] < labels_per_class
    ]
    if fewer:
        classes = counted(len(fewer), "class has", "classes have")
        summary = f"labels_per_class={labels_per_class}: {classes} fewer for training, and all of them are taken"
        yield f"{summary}: {enumerated(fewer)} (dataset.labels_exact=true refuses this)"


def content_findings(images: ImageSet, keys: Keys) -> Iterator[str]:
    """Yield which splits share images, and which labels contradict one another."""
    for seen, held_out in combinations(("train", "val", "test"), 2):
        pairs = identical(images.splits[seen].samples, keys[seen], images.splits[held_out].samples, keys[held_out])
        if pairs:
            count = f"{len(pairs):,} of {len(images.splits[held_out]):,} {held_out} images"
            yield f"{count} are in {seen} as well: {_named(pairs)}"
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


def similar_findings(images: ImageSet, pairs: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yield nearly identical images, pairs across two splits first, with the remedy.

    Args:
        images: The set.
        pairs: Positions of both images in the concatenation of train, val and test, the smaller one first.
    """
    places = [(part, sample) for part, split in images.splits.items() for sample in split.samples]
    by_parts: dict[tuple[str, str], dict[str, str]] = {}  # parts -> name -> what it is like
    for one, other in pairs:
        (seen, known), (part, sample) = places[one], places[other]
        by_parts.setdefault((seen, part), {}).setdefault(sample.name, f"{sample.name} is like {known.name}")
    for seen, part in combinations(images.splits, 2):
        named = list(by_parts.get((seen, part), {}).values())
        if named:
            remedy = "dataset.similar=together keeps such pictures on one side"
            if part not in images.carved:
                remedy = f"these splits are the set's own and stay as they are: move such pictures out of {seen}"
            count = counted(len(named), f"{part} image is", f"{part} images are")
            yield f"{count} nearly the same as one in {seen}: {enumerated(named, 5)}; {remedy}"
    inside = [line for part in images.splits for line in by_parts.get((part, part), {}).values()]
    if inside:
        count = counted(len(inside), "image is", "images are")
        yield f"{count} nearly the same as another in the same split: {enumerated(inside, 5)}"


def group_findings(images: ImageSet) -> Iterator[str]:
    """Yield which splits share groups."""
    groups = {part: {g for g in split.groups if g is not None} for part, split in images.splits.items()}
    for seen, held_out in combinations(groups, 2):
        both = sorted(groups[seen] & groups[held_out])
        if both:
            count = f"{len(both):,} of {counted(len(groups[held_out]), 'group', 'groups')} of {held_out} images"
            verb, more = ("is", "") if len(both) == 1 else ("are", ", …")
            yield f"{count} {verb} in {seen} as well: {both[0]}{more}"


def identical(
    seen: Sequence[Sample], seen_keys: Sequence[bytes], held_out: Sequence[Sample], held_out_keys: Sequence[bytes]
) -> list[tuple[Sample, Sample]]:
    """Return pairs of samples with equal content, one of each split; one pair per held-out sample that was seen."""
    by_key = dict(zip(reversed(seen_keys), reversed(seen), strict=True))
    return [(by_key[key], sample) for key, sample in zip(held_out_keys, held_out, strict=True) if key in by_key]


def contradictions(images: ImageSet, split: Split, keys: Sequence[bytes]) -> list[tuple[Sample, Sample]]:
    """Return pairs (first sample with a content, later sample with this content but another class)."""
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
        names: Names of the images.
        short_sides: Their shorter sides in pixels.
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
    """Yield a finding if 16-bit images use so little of their range that they arrive nearly black.

    Args:
        peaks: The largest value of each 16-bit image.
    """
    top = max(peaks, default=0)
    if 0 < top < DARK:
        width = 1 << top.bit_length()
        what = f"of more than 8 bits: no value is above {top:,} of 65,535, so they arrive nearly black"
        count = counted(len(peaks), "image", "images")
        yield f"{count} {what}; dataset.window=[{width // 2},{width}] shows 0 to {width:,}"


def _with_classes(images: ImageSet, sample: Sample) -> str:
    return f"{sample.name} ({', '.join(images.class_names[one] for one in images.class_ids(sample)) or 'no class'})"


def _named(pairs: Sequence[tuple[Sample, Sample]]) -> str:
    seen, held_out = pairs[0]
    return f"{held_out.name} is {seen.name}{', …' if len(pairs) > 1 else ''}"
