"""Splits and subsets as pure functions of (content, class, seed): no order of files or place on disk changes them.

A sample is known by a hash of its content. Samples of equal content form a group, and a group is never divided: a
duplicate cannot lie on both sides of a split, even where its copies carry different labels. Nor can a patient, where
samples say whose they are: `tlx.data.splits.groups` divides those.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import floor
from pathlib import Path

from tlx.base.errors import TlxError
from tlx.data.labels import CLASSES, NO_CLASS, LabelKind
from tlx.data.reading.inspection import decoding, file_facts, is_decoding
from tlx.data.splits.groups import blocks_of, divide_blocks
from tlx.data.splits.samples import ImageSet, Split
from tlx.data.splits.similar import is_kept_together, with_one_key


def content_keys(split: Split) -> list[bytes]:
    """A hash of each sample's content: the bytes of its file, or its pixels with their shape.

    Where files are being checked (`inspection.decoding`), one that cannot be read stands under a hash of its
    name, until the check names it together with the other broken ones.

    Raises:
        TlxError: A file cannot be read.
    """
    files = iter(_file_keys([sample.source for sample in split.samples if isinstance(sample.source, Path)]))
    pixels = None if split.pixels is None else split.pixels.numpy()
    shape = b"" if pixels is None else repr(tuple(pixels.shape[1:])).encode()

    def key(source: Path | int) -> bytes:
        if isinstance(source, Path):
            return next(files)
        assert pixels is not None
        return blake2b(shape + pixels[source].tobytes(), digest_size=16).digest()

    return [key(sample.source) for sample in split.samples]


def split_keys(split: Split) -> list[bytes]:
    """What a split that is carved leaves undivided: content, or one key for pictures that are nearly the same.

    The latter inside `similar.keeping_together`: their files are decoded. Without such pictures there is no
    difference.

    Raises:
        TlxError: A file cannot be read.
    """
    keys = content_keys(split)
    if not is_kept_together():
        return keys
    with decoding(True):
        facts = iter(file_facts([s.source for s in split.samples if isinstance(s.source, Path)]))
    return with_one_key(keys, [next(facts).thumbnail if isinstance(s.source, Path) else "" for s in split.samples])


def _file_keys(paths: list[Path]) -> list[bytes]:
    keys = []
    for path, facts in zip(paths, file_facts(paths), strict=True):
        if facts.key is not None:
            keys.append(bytes.fromhex(facts.key))
        elif is_decoding():
            keys.append(blake2b(os.fsencode(path.name), digest_size=16, person=b"unreadable").digest())
        else:
            raise TlxError(f"cannot read image {path}: {facts.reason}")
    return keys


def divide(
    keys: Sequence[bytes],
    classes: Sequence[Sequence[int]],
    fractions: Mapping[str, float],
    seed: int,
    groups: Sequence[str | None] = (),
) -> dict[str, list[int]]:
    """Divide samples into the named parts and `train`, class by class.

    Within a class, groups of equal content are put in the order of hash(seed, content) and fill the parts in the order
    given, each up to round(fraction * images of the class), taking a group of several where that brings it nearer to
    this number; what is left is `train`. So the first part does not depend on the fraction of the second. A group with
    contradicting labels counts for the label that it carries most often. A class with more groups than there are
    `fractions` gives at least one image to each part; no class gives away its last group.

    Where samples name groups of their own, or show several classes, `tlx.data.splits.groups.divide_blocks` divides
    them. Samples that show none count as one class more.

    Args:
        keys: Content of each sample, from `content_keys`.
        classes: Classes that each sample shows.
        fractions: Part -> fraction of all samples, in [0, 1), in sum below 1.
        seed: Any integer.
        groups: The patient, plate or scene of each sample, or None; empty: nobody knows.

    Returns:
        Part -> positions of its samples, ascending.

    Raises:
        TlxError: There are fewer groups than parts.
    """
    if any(group is not None for group in groups) or any(len(own) > 1 for own in classes):
        blocks = blocks_of(keys, classes, groups or [None] * len(keys))
        if len(blocks) <= len(fractions):
            raise TlxError(
                f"expected at least {len(fractions) + 1} groups of images to divide among {', '.join(fractions)} and "
                f"train, got {len(blocks)}; another dataset.group_column or dataset.group_pattern, or null for none"
            )
        return divide_blocks(blocks, fractions, seed)
    copies: dict[bytes, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        copies[key].append(position)
    strata: dict[int, list[bytes]] = defaultdict(list)
    for key, positions in copies.items():
        votes = Counter(one for p in positions for one in classes[p] or (NO_CLASS,))
        strata[min(votes, key=lambda one: (-votes[one], one))].append(key)

    parts: dict[str, list[int]] = {name: [] for name in (*fractions, "train")}
    for members in strata.values():
        members.sort(key=lambda key: _rank(seed, key))
        room = _quotas(fractions, images=sum(len(copies[key]) for key in members), groups=len(members))
        given_away = 0
        for key in members:
            size = len(copies[key])
            home = next((part for part, free in room.items() if 2 * free >= size), "train")
            if home != "train" and given_away == len(members) - 1:
                home = "train"
            if home != "train":
                room[home] -= size
                given_away += 1
            parts[home] += copies[key]
    return {name: sorted(positions) for name, positions in parts.items()}


def carve(
    name: str, class_names: list[str], all_: Split, val: float, test: float, seed: int, labels: LabelKind = CLASSES
) -> ImageSet:
    """Divide one split into train, val and test; fractions are of all its images."""
    parts = _divided(all_, {"test": test, "val": val}, seed, labels)
    shares = f"test ({100 * test:g} %) and val ({100 * val:g} %)"
    rule = f"{shares} carved from all images, {_manner(all_)}, seed {seed}"
    train, val_split, test_split = (all_.take(parts[part]) for part in ("train", "val", "test"))
    carved = frozenset({"val", "test"})
    return ImageSet(name, class_names, train, val_split, test_split, rule, carved=carved, labels=labels)


def carve_val(
    name: str, class_names: list[str], train: Split, test: Split, val: float, seed: int, labels: LabelKind = CLASSES
) -> ImageSet:
    """Divide the train split into train and val; the test split is the one given."""
    parts = _divided(train, {"val": val}, seed, labels)
    rule = f"own test split; val ({100 * val:g} %) carved from train, {_manner(train)}, seed {seed}"
    left, val_split = train.take(parts["train"]), train.take(parts["val"])
    return ImageSet(name, class_names, left, val_split, test, rule, carved=frozenset({"val"}), labels=labels)


def _divided(split: Split, fractions: Mapping[str, float], seed: int, labels: LabelKind) -> dict[str, list[int]]:
    classes = [labels.class_ids(sample.target) for sample in split.samples]
    return divide(split_keys(split), classes, fractions, seed, split.groups)


def _manner(split: Split) -> str:
    known = {group for group in split.groups if group is not None}
    return (
        f"no group of {len(known):,} divided, classes as near as that allows"
        if known
        else ("a class at a time, by content")
    )


def fewer_labels(
    train: Split,
    class_names: Sequence[str],
    labels_per_class: int | None,
    fraction: float | None,
    seed: int,
    exact: bool = False,
    labels: LabelKind = CLASSES,
) -> Split:
    """Keep only some samples of each class: the first in the order of hash(seed, content), repeated content last.

    A sample that shows several classes is kept if it is among the first of one of them.

    Subsets of one seed are nested: 5 labels a class are among the 10. Patients count for nothing here: what
    is left out lies on no side.

    Args:
        train: Samples to choose from.
        class_names: Class names, for the message.
        labels_per_class: Images kept of each class, at least 1, or all where a class has fewer; or None.
        fraction: Fraction of each class kept, in (0, 1], rounded, at least one image; or None.
        seed: Any integer.
        exact: Whether a class that has fewer than `labels_per_class` is refused.
        labels: What the targets of the samples are.

    Raises:
        TlxError: `exact`, and a class has fewer images than asked for; or both rules are given.
    """
    if labels_per_class is None and fraction is None:
        return train
    if labels_per_class is not None and fraction is not None:
        raise TlxError("expected one of dataset.labels_per_class and dataset.fraction, got both")
    by_class: dict[int, list[tuple[bytes, str, int]]] = defaultdict(list)
    for position, (sample, key) in enumerate(zip(train.samples, content_keys(train), strict=True)):
        for one in labels.class_ids(sample.target) or (NO_CLASS,):
            by_class[one].append((_rank(seed, key), sample.name, position))
    if labels_per_class is not None and exact:
        short = [
            f"{name} {len(by_class[i])}" for i, name in enumerate(class_names) if len(by_class[i]) < labels_per_class
        ]
        if short:
            raise TlxError(
                f"dataset.labels_per_class: expected at most the images that a class has for training, got "
                f"{labels_per_class}; too few in: {', '.join(short)}; dataset.labels_exact=false takes all there are"
            )
    kept: set[int] = set()
    for ordered in by_class.values():
        ordered.sort()
        seen: Counter[bytes] = Counter()
        copies = []  # (how often this content came before, place in the order, position)
        for place, (rank, _, position) in enumerate(ordered):
            copies.append((seen[rank], place, position))
            seen[rank] += 1
        count = labels_per_class if fraction is None else max(1, _round(fraction * len(ordered)))
        kept |= {position for _, _, position in sorted(copies)[:count]}
    return train.take(sorted(kept))


def _quotas(fractions: Mapping[str, float], images: int, groups: int) -> dict[str, int]:
    quotas = {part: _round(fraction * images) for part, fraction in fractions.items()}
    if groups > len(fractions):
        quotas = {part: max(count, 1) if fractions[part] > 0 else 0 for part, count in quotas.items()}
    return quotas


def _round(value: float) -> int:
    return floor(value + 0.5)


def _rank(seed: int, key: bytes) -> bytes:
    return blake2b(key, digest_size=16, salt=(seed % 2**64).to_bytes(8, "little")).digest()
