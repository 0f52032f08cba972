"""Open the files of a data set before training, and report broken files and findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from statistics import median_low
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.files import write_text
from tlx.base.printable import counted, one_line
from tlx.data.box_labels import BoxLabels
from tlx.data.catalog import source_of
from tlx.data.files.walk import skipping_unreadable
from tlx.data.findings import (
    class_findings,
    content_findings,
    copy_findings,
    depth_findings,
    group_findings,
    label_findings,
    similar_findings,
    similar_group_findings,
    size_findings,
)
from tlx.data.object_crops import facts_of_crops
from tlx.data.reading.facts import Facts
from tlx.data.reading.facts_store import cache_folder
from tlx.data.reading.inspection import decoding, file_facts
from tlx.data.splits.division import content_keys, fewer_labels
from tlx.data.splits.folds import Folds
from tlx.data.splits.samples import ImageSet, Sample, Split
from tlx.data.splits.shots import SECONDS, shot_pairs, were_compared
from tlx.data.splits.similar import grouping_near_duplicates, is_picture, similar_pairs
from tlx.data.splits.similar_groups import Pair, linked
from tlx.data.splits.tiles import image_sizes

_REMEDY = "repair or remove them, or leave them out: dataset.on_bad=skip"
_NAMED = 20  # broken files that a message lists
_CLASSES = 200  # classes that a report lists
_NOT_OPENED = Facts(None, None)
_ahead: list[tuple[Mapping[str, Any], CheckedSet]] = []  # sets that were loaded before anybody needs them


@dataclass(frozen=True)
class Broken:
    """A file that cannot be read as an image, or whose label cannot be used."""

    sample: Sample
    split: str
    reason: str


@dataclass(frozen=True)
class CheckedSet:
    """A set without its broken files, and what is known about its files.

    Args:
        node: The dataset node.
        images: The set that the source returned, without the broken files.
        broken: The broken files, in the order of the splits.
        facts: Maps a split to the facts of each of its samples; empty if no file was opened.
        by_file: The facts of each file.
        shots: Pairs of shots of the same thing, as positions in the concatenation of train, val and test; None: those
            that an earlier comparison found.
    """

    node: Mapping[str, Any]
    images: ImageSet
    broken: list[Broken]
    facts: dict[str, list[Facts]]
    by_file: Mapping[Path, Facts] = field(default_factory=dict)
    shots: Sequence[Pair] | None = None

    @property
    def opened(self) -> int:
        """Number of files that were opened, now or by an earlier run."""
        return sum(f.decoded for facts in self.facts.values() for f in facts) + len(self.broken)

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The three splits; train is reduced to the configured number of labels."""
        images, node = self.images, self.node
        subset = node.get("labels_per_class"), node.get("fraction"), node.get("subset_seed", 0)
        exact = bool(node.get("labels_exact", False))
        train = fewer_labels(images.train, images.class_names, *subset, exact, images.labels)
        if not train:
            raise TlxError(f"{images.name}: expected training images, got none ({images.rule})")
        return {**images.splits, "train": train}

    @cached_property
    def _size_independent(self) -> list[str]:
        """Findings that do not depend on the size of the input, the most important first.

        First how the files were understood, then what makes figures wrong, then what makes them poor.
        """
        found = [*self.images.notes, *class_findings(self.images)]
        about_groups = list(group_findings(self.images))
        about_labels = list(label_findings(self.images, self.node.get("labels_per_class")))
        parts = self.images.splits
        if not self.facts and any(_files(split) for split in parts.values()):
            return [*found, *about_groups, *about_labels]  # a comparison of contents would open the files
        keys = {part: self._keys(part) for part in parts}
        found += [*content_findings(self.images, keys), *about_groups]
        if self.facts:
            found += similar_findings(self.images, self.near_duplicates)
            found += similar_group_findings(self.groups_alike)
        if self.node.get("window") is None:
            found += depth_findings([f.peak for facts in self.facts.values() for f in facts if f.peak])
        return [*found, *about_labels, *copy_findings(self.images, keys)]

    def compared(self, say: Callable[[str], None], most: int | None) -> CheckedSet:
        """Return the set with the shots of the same thing in it; a network finds them, see `tlx.data.splits.shots`.

        Args:
            say: Is given a line on how long this takes, or why it was not done.
            most: Pictures that are compared at most; with more of them nothing is, unless it was done before.
        """
        if not self.facts:
            return self
        paths, keys, thumbnails = self._looked_at
        many = sum(map(is_picture, thumbnails))
        if most is not None and many > most and not were_compared(paths, keys, thumbnails):
            cost = f"about {max(1, round(many * SECONDS / 60))} minutes"
            say(f"{many:,} pictures: shots of the same thing are not looked for; type --similar all ({cost})")
            return self
        try:
            return replace(self, shots=shot_pairs(paths, keys, thumbnails, say=say))
        except TlxError as error:
            say(f"shots of the same thing are not looked for: {error}")
            return self

    @cached_property
    def near_duplicates(self) -> list[Pair]:
        """Pairs of near duplicates and of shots of the same thing, in the concatenation of train, val and test."""
        if not self.facts:
            return []
        paths, keys, thumbnails = self._looked_at
        shots = shot_pairs(paths, keys, thumbnails, known=True) if self.shots is None else self.shots
        return sorted({(pair.one, pair.other): pair for pair in (*shots, *similar_pairs(keys, thumbnails))}.values())

    @property
    def groups_alike(self) -> list[list[tuple[str, Sample]]]:
        """Groups of near duplicates, the largest first: the split and sample of each."""
        places = [(part, sample) for part, split in self.images.splits.items() for sample in split.samples]
        groups = linked(self._looked_at[1], self.near_duplicates)
        return [[places[i] for i in group] for group in sorted(groups, key=lambda group: (-len(group), group))]

    @property
    def _looked_at(self) -> tuple[dict[int, Path], list[bytes], list[str]]:
        """The files, content hashes and thumbnails of all samples, in the concatenation of train, val and test."""
        parts = self.images.splits
        samples = [sample for split in parts.values() for sample in split.samples]
        paths = {i: sample.source for i, sample in enumerate(samples) if isinstance(sample.source, Path)}
        thumbnails = [fact.thumbnail for part in parts for fact in self.facts.get(part, ())]
        return paths, [key for part in parts for key in self._keys(part)], thumbnails or [""] * len(samples)

    def _keys(self, part: str) -> list[bytes]:
        """Return the content hash of each sample of a split."""
        split = self.images.splits[part]
        known = [bytes.fromhex(facts.key) for facts in self.facts.get(part, ()) if facts.key]
        return known if len(known) == len(split) else content_keys(split)

    def findings(self, input_size: int | None) -> list[str]:
        """Return the findings about the set, one line each; `tlx.data.findings` lists the rules.

        Args:
            input_size: The shorter side of the input in pixels; None if unknown: sizes are then not compared.
        """
        if input_size is None or source_of(self.node).is_enlarged:
            return self._size_independent
        names: list[str] = []
        sides: list[int] = []
        for part, split in self.images.splits.items():
            in_memory = 0 if split.pixels is None else min(split.pixels.shape[-2:])
            of_files = [facts.short_side for facts in self.facts.get(part, ())] or [0] * len(split)
            for sample, side in zip(split.samples, of_files, strict=True):
                if side or in_memory:
                    names.append(sample.name)
                    sides.append(side or in_memory)
        return [*self._size_independent, *size_findings(names, sides, input_size)]

    def report(self, input_size: int | None, about_labels: Sequence[str] = ()) -> str:
        """Return the full report of `tlx check`, with every broken file.

        Args:
            input_size: See `findings`.
            about_labels: Lines that follow the table of classes.
        """
        lines = self.describe() if self.images.train else [f"{self.images.name}: no readable images"]
        lines = [line for line in lines if not line.startswith("  left out")]
        lines += class_table(self.images, self.splits) if self.images.train else []
        lines += [f"  {line}" for line in (self.size_line(), *about_labels) if line]
        lines += [f"  warning: {line}" for line in self.findings(input_size)]
        if self.facts:
            lines.append(f"  {self.opened:,} files opened, {len(self.broken):,} of them broken")
            lines += [f"    {one_line(entry.sample.source)}: {one_line(entry.reason)}" for entry in self.broken]
            if self.broken:
                skips = self.node.get("on_bad") == "skip"
                lines.append("  left out in training: dataset.on_bad=skip" if skips else f"  {_REMEDY}")
        elif any(_files(split) for split in self.images.splits.values()):
            lines.append("  no file was opened, because dataset.check is false")
        else:
            lines.append("  the images are in memory: there are no files to open")
        return "\n".join(lines)

    def size_line(self) -> str:
        """Return a line about the sizes of the images in pixels; '' if no file was opened."""
        found = [size for part, split in self.images.splits.items() for size in self._sizes(part, split)]
        if not found:
            return ""
        (height, width), many = found[0], len(set(found))
        if many == 1:
            return f"sizes: all images have {width:,} x {height:,} pixels"
        widths, heights = (sorted(size[i] for size in found) for i in (1, 0))
        aspects = sorted(wide / high for high, wide in found)
        ends = ((ascending[0], median_low(ascending), ascending[-1]) for ascending in (widths, heights))
        across, along = (f"{least:,} to {most:,} (median {middle:,})" for least, middle, most in ends)
        shapes = f"{aspects[0]:.2f} to {aspects[-1]:.2f} (median {median_low(aspects):.2f})"
        return f"sizes: width {across}, height {along} pixels; width / height {shapes}"

    def _sizes(self, part: str, split: Split) -> list[tuple[int, int]]:
        """Return the height and width of the images of a split, upright; none if its files were not opened."""
        if split.pixels is None and not (self.facts and split):
            return []
        files = (fact.upright for fact in self.facts.get(part, ()))
        return image_sizes(split) if split.pixels is not None else [*files]

    def describe(self) -> list[str]:
        """Return lines with the numbers of images and classes, how the set was split, and the files left out."""
        images = self.images
        classes = f"{counted(len(images.class_names), 'class', 'classes')}; " if images.class_names else ""
        lines = [f"{images.name}: {classes}{images.rule}"]
        for name, split in self.splits.items():
            counts = images.counts(split)
            per_class = [counts[label] for label in range(len(images.class_names))]
            line = f"  {name:<5} {len(split):>7,} images"
            if per_class:
                least, most = min(per_class), max(per_class)
                range_ = f"{least:,}" if least == most else f"{least:,} to {most:,}"
                line += f", each class in {range_}" if images.labels.in_parts else f", {range_} per class"
            if images.labels.marks == "objects":
                empty = sum(not images.class_ids(sample) for sample in split.samples)
                line += f", {sum(images.amounts(split).values()):,} objects, {empty:,} images without"
            groups = {group for group in split.groups if group is not None}
            if groups:
                line += f", {len(groups):,} groups"
            if name == "train" and len(split) < len(images.train):
                line += f", of {len(images.train):,} (subset seed {self.node.get('subset_seed', 0)})"
            lines.append(line)
        if self.broken:
            lines.append(f"  left out: {broken_files(self.broken)}")
        return lines


def class_table(images: ImageSet, splits: Mapping[str, Split]) -> list[str]:
    """Return a heading, a line for each class with its images in each split, and the number of classes not listed.

    The share of a split's pixels that have the class, or its objects, follow its images where labels mark them.
    """
    class_names = images.class_names
    if not class_names:
        return []
    counts = [images.counts(split) for split in splits.values()]
    width = max(len(f"{count:,}") for by_class in (*counts, {0: 10_000}) for count in by_class.values())
    amounts = [images.amounts(split) for split in splits.values()]
    marks = images.labels.marks if any(amounts) else ""
    beside = f"   {marks}" if marks else ""
    lines = ["  " + "  ".join(f"{part:>{width}}{beside}" for part in splits) + "  class"]
    for label, name in enumerate(class_names[:_CLASSES]):
        cells = [
            f"{by_class[label]:>{width},}" + _amount(marks, amount, label)
            for by_class, amount in zip(counts, amounts, strict=True)
        ]
        lines.append("  " + "  ".join(cells) + f"  {name}")
    rest = len(class_names) - _CLASSES
    return [*lines, f"  and {rest:,} more classes"] if rest > 0 else lines


def _amount(marks: str, amounts: Mapping[int, int], label: int) -> str:
    """Return the cell beside the images of a class: a share of the pixels, or a number of objects."""
    if not marks:
        return ""
    if marks != "pixels":
        return f"  {amounts.get(label, 0):>8,}"
    return f"  {100 * amounts.get(label, 0) / max(sum(amounts.values()), 1):>5.2f} %"


def load_ahead(node: Mapping[str, Any]) -> None:
    """Load a set of files now, so that its mistakes are reported before torch is imported.

    The next `load_checked` of the same node returns it. A set in memory needs torch itself, and is left alone.

    Raises:
        TlxError: As for `load_checked`.
    """
    if source_of(node).lists_files:
        _ahead.append((dict(node), load_checked(node)))


def load_checked(node: Mapping[str, Any], *, stop: bool = True) -> CheckedSet:
    """Return the set of a composed dataset node; its files are opened unless `check` is false.

    Broken files are removed after the split, so that they do not change the split of other images.

    Args:
        node: The dataset node. `_target_` names the source.
        stop: Whether broken files raise an error if `on_bad` is `stop`.

    Raises:
        TlxError: Files are broken, and the message names them; or the source cannot load the set.
    """
    if stop and (loaded := next((one for one in _ahead if one[0] == node), None)):
        _ahead.remove(loaded)
        return loaded[1]
    return load_divided(node, lambda images: _held_out(images, node), stop=stop)


def load_divided(node: Mapping[str, Any], divide: Callable[[ImageSet], ImageSet], *, stop: bool = True) -> CheckedSet:
    """Return the set of a composed dataset node as `load_checked` does, with splits that are divided again.

    Args:
        node: The dataset node.
        divide: Divides what the source returned, before broken files are removed and objects become images.
        stop: As for `load_checked`.

    Raises:
        TlxError: As for `load_checked`, or from `divide`.
    """
    check = bool(node.get("check", True))
    skips = node.get("on_bad", "stop") == "skip"
    together = node.get("similar") == "together"
    with decoding(check), grouping_near_duplicates(together), skipping_unreadable(skips) as unreadable:
        source = source_of(node)
        images = divide(source.load())
        if unreadable:
            images = replace(images, notes=(*images.notes, skipped_folders(unreadable)))
        opens = check and any(_files(split) for split in images.splits.values())
        if not opens and not isinstance(images.labels, BoxLabels):
            return CheckedSet(node, source.finished(images), [], {})  # a mask that is broken is refused when it is read
        facts = iter(file_facts([path for split in images.splits.values() for path in _files(split)] if opens else []))
    broken: list[Broken] = []
    known: dict[str, list[Facts]] = {}
    kept: dict[str, Split] = {}
    for part, split in images.splits.items():
        found = [next(facts) if opens and isinstance(s.source, Path) else _NOT_OPENED for s in split.samples]
        reasons = [f.reason or images.labels.problem(s.target) for s, f in zip(split.samples, found, strict=True)]
        good = [i for i, reason in enumerate(reasons) if reason is None]
        broken += [Broken(split.samples[i], part, reason) for i, reason in enumerate(reasons) if reason is not None]
        kept[part] = split if len(good) == len(found) else split.take(good)
        known[part] = [found[i] for i in good]
    if broken and stop and not skips:
        raise TlxError(f"dataset '{images.name}': {broken_files(broken)}\n{_REMEDY}")
    images = replace(images, train=kept["train"], val=kept["val"], test=kept["test"])
    if not opens:
        return CheckedSet(node, source.finished(images), broken, {})
    files = {s.source: f for part, split in kept.items() for s, f in zip(split.samples, known[part], strict=True)}
    made = source.finished(images)
    if made is not images:
        own = {part: [files[sample.source] for sample in split.samples] for part, split in made.splits.items()}
        known = {part: facts_of_crops(split.samples, own[part]) for part, split in made.splits.items()}
    return CheckedSet(node, made, broken, known, {path: f for path, f in files.items() if isinstance(path, Path)})


def _held_out(images: ImageSet, node: Mapping[str, Any]) -> ImageSet:
    """Return a set whose validation split is a fold of the images that train and validate, if the node names one."""
    folds, fold = node.get("folds"), node.get("fold")
    if folds is None or fold is None:
        return images
    return Folds(images, folds, int(node.get("split_seed", 0))).held_out(fold)


def skipped_folders(folders: Collection[str]) -> str:
    """Return a line that counts the unreadable folders and names the first 20."""
    names = ", ".join(one_line(folder) for folder in sorted(folders)[:_NAMED])
    more = f" and {len(folders) - _NAMED:,} more" if len(folders) > _NAMED else ""
    return f"left out {counted(len(folders), 'unreadable folder', 'unreadable folders')}: {names}{more}"


def broken_files(broken: Sequence[Broken]) -> str:
    """Return lines that count the broken files and name the first 20; a file in the cache lists all of them."""
    lines = [f"{len(broken):,} broken file{'s' if len(broken) > 1 else ''}"]
    lines += [f"    {one_line(entry.sample.source)}: {one_line(entry.reason)}" for entry in broken[:_NAMED]]
    if len(broken) > _NAMED:
        lines.append(f"    and {len(broken) - _NAMED:,} more; all of them: {_write_list(broken) or 'tlx check'}")
    return "\n".join(lines)


def _write_list(broken: Sequence[Broken]) -> Path | None:
    """Write the broken files to a file in the cache; return its path, or None if that is impossible."""
    folder = cache_folder()
    text = "".join(f"{one_line(entry.sample.source)}\t{one_line(entry.reason)}\n" for entry in broken)
    try:
        if folder is None:
            return None
        path = folder / f"broken-{blake2b(text.encode(errors='replace'), digest_size=4).hexdigest()}.txt"
        write_text(path, text.encode(errors="backslashreplace").decode())
    except OSError:
        return None
    return path


def _files(split: Split) -> list[Path]:
    return [sample.source for sample in split.samples if isinstance(sample.source, Path)]
