"""Splits and subsets as pure functions of (content, class, seed): file order and location do not change them.

A hash of its content identifies a sample. Samples of equal content are never divided, so duplicates are on one side of
a split even if their labels differ. `tlx.data.splits.groups` does the same for groups that samples name, such as
patients.
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
from tlx.data.splits.groups import blocks_of, divide_blocks, rank_of
from tlx.data.splits.samples import ImageSet, Split
from tlx.data.splits.shots import shot_pairs
from tlx.data.splits.similar import groups_near_duplicates, merged_keys, similar_pairs


def content_keys(split: Split) -> list[bytes]:
    """Return a hash of each sample's content: of the bytes of its file, or of its pixels and their shape.

    While files are being checked (`inspection.decoding`), an unreadable file gets a hash of its name instead of an
    error; the check then names all broken files together.

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
    """Return a key of each sample; carving never divides samples with the same key.

    The key is the content hash. Inside `similar.grouping_near_duplicates` files are decoded and compared, also by a
    network (`shots.py`), and near duplicates share one key; without near duplicates the keys are the same.

    Raises:
        TlxError: A file cannot be read.
    """
    keys = content_keys(split)
    if not groups_near_duplicates():
        return keys
    files = [(i, s.source) for i, s in enumerate(split.samples) if isinstance(s.source, Path)]
    thumbnails = [""] * len(keys)
    with decoding(True):
        for (i, _), fact in zip(files, file_facts([path for _, path in files]), strict=True):
            thumbnails[i] = fact.thumbnail
    return merged_keys(keys, [*similar_pairs(keys, thumbnails), *shot_pairs(dict(files), keys, thumbnails)])


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

    Within a class, sets of copies (samples with the same key) are sorted by hash(seed, key). They fill the parts in the
    given order, each up to round(fraction * images of the class); a set of several copies is added if that brings the
    part nearer to this number. The rest is `train`. The first part therefore does not depend on the fraction of the
    second. Copies with contradicting labels count for their most frequent label. A class with more sets of copies than
    there are `fractions` gives at least one image to each part, and every class keeps at least one set in `train`.

    If samples name groups, or show several classes, `tlx.data.splits.groups.divide_blocks` divides them. Samples
    without a class count as one more class.

    Args:
        keys: Key of each sample, from `split_keys` or `content_keys`.
        classes: Classes that each sample shows.
        fractions: Maps a part to its fraction of all samples, in [0, 1); the sum is below 1.
        seed: Any integer.
        groups: The patient, plate or scene of each sample, or None; empty if no sample names one.

    Returns:
        Part -> positions of its samples, ascending.

    Raises:
        TlxError: There are too few groups for the parts.
    """
    if any(group is not None for group in groups) or any(len(shown) > 1 for shown in classes):
        blocks = blocks_of(keys, classes, groups or [None] * len(keys))
        if len(blocks) <= len(fractions):
            raise TlxError(
                f"expected at least {len(fractions) + 1} groups of images to divide among {', '.join(fractions)} and "
                f"train, got {len(blocks)}; change dataset.group_column or dataset.group_pattern, or set it to null"
            )
        return divide_blocks(blocks, fractions, seed)
    copies: dict[bytes, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        copies[key].append(position)
    strata: dict[int, list[bytes]] = defaultdict(list)
    for key, positions in copies.items():
        votes = Counter(label for p in positions for label in classes[p] or (NO_CLASS,))
        strata[min(votes, key=lambda label: (-votes[label], label))].append(key)

    parts: dict[str, list[int]] = {name: [] for name in (*fractions, "train")}
    for members in strata.values():
        members.sort(key=lambda key: rank_of(seed, key))
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
    """Divide one split into train, val and test; `val` and `test` are fractions of all its images, `val` may be 0."""
    parts = _divided(all_, {"test": test, "val": val}, seed, labels)
    shares = f"test ({100 * test:g} %) and val ({100 * val:g} %)" if val else f"no val; test ({100 * test:g} %)"
    rule = f"{shares} carved from all images, {_method(all_)}, seed {seed}"
    train, val_split, test_split = (all_.take(parts[part]) for part in ("train", "val", "test"))
    carved = frozenset({"val", "test"})
    return ImageSet(name, class_names, train, val_split, test_split, rule, carved=carved, labels=labels)


def carve_val(
    name: str, class_names: list[str], train: Split, test: Split, val: float, seed: int, labels: LabelKind = CLASSES
) -> ImageSet:
    """Divide the train split into train and val, which is empty if `val` is 0; the test split stays as it is."""
    parts = _divided(train, {"val": val}, seed, labels)
    carved = f"val ({100 * val:g} %) carved from train, {_method(train)}, seed {seed}" if val else "no val"
    rule = f"official test split; {carved}"
    left, val_split = train.take(parts["train"]), train.take(parts["val"])
    return ImageSet(name, class_names, left, val_split, test, rule, carved=frozenset({"val"}), labels=labels)


def _divided(split: Split, fractions: Mapping[str, float], seed: int, labels: LabelKind) -> dict[str, list[int]]:
    classes = [labels.class_ids(sample.target) for sample in split.samples]
    some = {part: fraction for part, fraction in fractions.items() if fraction}
    return {**{part: [] for part in fractions}, **divide(split_keys(split), classes, some, seed, split.groups)}


def _method(split: Split) -> str:
    known = {group for group in split.groups if group is not None}
    return (
        f"keeping {len(known):,} groups whole, each class as near to its share as they allow"
        if known
        else "class by class, by content"
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

    A sample that shows several classes is kept if it is among the first of any of them. Subsets of one seed are nested:
    5 labels per class are among the 10. Groups such as patients play no role, because omitted samples are in no split.

    Args:
        train: Samples to choose from.
        class_names: Class names, for the message.
        labels_per_class: Images to keep of each class, at least 1; all if a class has fewer. Or None.
        fraction: Fraction of each class to keep, in (0, 1]; rounded, at least one image. Or None.
        seed: Any integer.
        exact: Whether to refuse a class with fewer images than `labels_per_class`.
        labels: Kind of the samples' labels.

    Raises:
        TlxError: Both `labels_per_class` and `fraction` are given; or `exact`, and a class has too few images.
    """
    if labels_per_class is None and fraction is None:
        return train
    if labels_per_class is not None and fraction is not None:
        raise TlxError("expected one of dataset.labels_per_class and dataset.fraction, got both")
    by_class: dict[int, list[tuple[bytes, str, int]]] = defaultdict(list)
    for position, (sample, key) in enumerate(zip(train.samples, content_keys(train), strict=True)):
        for label in labels.class_ids(sample.target) or (NO_CLASS,):
            by_class[label].append((rank_of(seed, key), sample.name, position))
    if labels_per_class is not None and exact:
        short = [
            f"{name} {len(by_class[i])}" for i, name in enumerate(class_names) if len(by_class[i]) < labels_per_class
        ]
        if short:
            raise TlxError(
                f"dataset.labels_per_class: expected at most the number of training images of each class, got "
                f"{labels_per_class}; too few in: {', '.join(short)}; dataset.labels_exact=false uses all there are"
            )
    kept: set[int] = set()
    for ordered in by_class.values():
        ordered.sort()
        seen: Counter[bytes] = Counter()
        copies = []  # (earlier samples with this content, index in the order, position)
        for index, (rank, _, position) in enumerate(ordered):
            copies.append((seen[rank], index, position))
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
