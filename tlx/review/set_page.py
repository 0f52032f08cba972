"""A page that shows a data set: counts, sizes, findings, samples of its classes, and how training draws them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, PngImagePlugin

from tlx.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tlx.base.errors import TlxError
from tlx.base.files import write_text, writing
from tlx.base.printable import counted, one_line
from tlx.data.checked import CheckedSet
from tlx.data.splits.samples import Sample, Split
from tlx.measures.page import Block, Shown, as_html, as_picture, generator_tag
from tlx.review.labelled_picture import picture_of, with_label

SHOWN = {"train": 16, "val": 4, "test": 4}  # images of each split, if images show several classes
PICTURES, CLASSES = 180, 30  # of classes; classes of which images are shown
PER_CLASS = (4, 18)  # images of a class, at least and at most
GROUPS = 12  # of near duplicates
AUGMENTED, DRAWS = 6, 3  # images that are shown augmented, and how often each
_ROWS = 200  # classes in the table
_COLUMNS = 6  # pictures in a row
T = TypeVar("T")
_SIDE, _LARGE_SIDE = 180, 400  # pixels of the longer side of pictures; of those with labels drawn on them
_INPUT = 224  # pixels of the input, if the backbone's is not known before it is built
_GENERATOR = "tlx check"
_MARK = ("Software", _GENERATOR)  # in a PNG, so that no other picture is replaced


def refuse_page(name: str) -> None:
    """Refuse a path to which no page can be written, before files are opened.

    Raises:
        TlxError: It is neither HTML nor PNG, its folder does not exist, or another file has its name.
    """
    path = Path(name).expanduser()
    named = f"--pictures: expected a new file such as check.html or check.png, got '{one_line(name)}'"
    if path.suffix.lower() not in (".html", ".htm", ".png") or not path.parent.is_dir():
        raise TlxError(f"{named}; name an HTML file or a PNG in a folder that exists")
    if (path.exists() or path.is_symlink()) and not _is_ours(path):
        raise TlxError(f"{named}, which tlx check did not write; remove it, or name another file")


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    try:
        if path.suffix.lower() != ".png":
            with path.open("rb") as file:
                return generator_tag(_GENERATOR).encode() in file.read(1024)
        with Image.open(path) as there:
            return bool(there.info.get(_MARK[0]) == _MARK[1])
    except OSError:
        return False


def write_set_page(checked: CheckedSet, name: str, side: int | None, findings: Sequence[str]) -> int:
    """Write the page as HTML or PNG, by its extension; return the number of pictures.

    The choice of images is fixed: evenly spaced in the order of a split or class.

    Args:
        checked: The set.
        name: Path of the page.
        side: Side of the backbone's input in pixels; None: not known.
        findings: What the check found.

    Raises:
        TlxError: The page cannot be written there.
    """
    refuse_page(name)
    path = Path(name).expanduser()
    blocks = [_overview(checked, findings), *_alike(checked), *_samples(checked), *_augmented(checked, side or _INPUT)]
    if path.suffix.lower() == ".png":
        note = PngImagePlugin.PngInfo()
        note.add_text(*_MARK)
        with writing(path) as file:
            Image.fromarray(as_picture(blocks, _side(checked))).save(file, format="PNG", pnginfo=note)
    else:
        write_text(path, as_html(checked.images.name, blocks, _GENERATOR))
    return sum(len(row) for block in blocks for row in block.pictures)


def _overview(checked: CheckedSet, findings: Sequence[str]) -> Block:
    """Return the counts of each class in each split, sizes and findings."""
    images, splits = checked.images, checked.splits
    counts = [images.counts(split) for split in splits.values()]
    table = [[*splits, "class"]]
    table += [
        [*(f"{by_class[label]:,}" for by_class in counts), name]
        for label, name in enumerate(images.class_names[:_ROWS])
    ]
    rest = len(images.class_names) - _ROWS
    table += [[*("" for _ in splits), f"and {rest:,} more classes"]] if rest > 0 else []
    table += [[*(f"{len(split):,}" for split in splits.values()), "all"]]
    sizes = checked.size_line()
    lines = [images.rule, *([sizes] if sizes else []), *(f"Warning: {line}" for line in findings)]
    broken = len(checked.broken)
    lines += [f"{counted(broken, 'broken file', 'broken files')}: tlx check lists them"] if broken else []
    return Block("Images", lines, table)


def _alike(checked: CheckedSet) -> Iterator[Block]:
    """Yield the largest groups of near duplicates, a row each."""
    groups = checked.groups_alike
    if not groups:
        return
    rows = [
        [_cell(checked, part, checked.images.splits[part], one) for part, one in group[:_COLUMNS]]
        for group in groups[:GROUPS]
    ]
    line = f"Shown are {len(rows):,} of {counted(len(groups), 'group', 'groups')}, at most {_COLUMNS} images of each."
    yield Block("Nearly the same", [line], pictures=rows)


def _samples(checked: CheckedSet) -> Iterator[Block]:
    """Yield pictures of training images by class; of images that show several classes, pictures of each split."""
    images, splits = checked.images, checked.splits
    if images.labels.moves or not images.class_names:
        cells = [
            _cell(checked, part, split, sample)
            for part, split in splits.items()
            for sample in _spaced(split.samples, SHOWN[part])
        ]
        shown = ", ".join(
            f"{min(SHOWN[part], len(split)):,} of {len(split):,} {part}" for part, split in splits.items()
        )
        yield Block("Samples", [f"Images shown: {shown}."], pictures=_in_rows(cells, 4))
        if images.labels.marks == "pixels":
            yield Block("Colours of the classes", pictures=_in_rows([*_legend(images.class_names)], 10))
        return
    by_class: dict[int, list[Sample]] = {label: [] for label in range(min(len(images.class_names), CLASSES))}
    for sample in splits["train"].samples:
        for label in images.class_ids(sample):
            if label in by_class:
                by_class[label].append(sample)
    most = min(max(PICTURES // max(len(by_class), 1), PER_CLASS[0]), PER_CLASS[1])
    if len(images.class_names) > CLASSES:
        yield Block("Samples", [f"Shown are the first {CLASSES} of {len(images.class_names):,} classes."])
    for label, samples in by_class.items():
        cells = [_cell(checked, "train", splits["train"], sample) for sample in _spaced(samples, most)]
        count = f"{len(cells):,} of {counted(len(samples), 'training image', 'training images')}"
        yield Block(f"{images.class_names[label]}: {count}", pictures=_in_rows(cells, _COLUMNS))


def _legend(class_names: Sequence[str]) -> Iterator[Shown]:
    """Yield a patch in the colour of each class."""
    from tlx.tasks.segmentation.colours import palette

    for name, colour in zip(class_names[:CLASSES], palette(class_names), strict=False):
        yield Shown(name, np.broadcast_to(colour, (24, 96, 3)).copy())


def _cell(checked: CheckedSet, part: str, split: Split, sample: Sample) -> Shown:
    window, side = checked.node.get("window"), _side(checked)
    caption = f"{part}: {sample.name}"
    if checked.images.labels.marks == "objects":
        caption += f", {counted(len(sample.target), 'box', 'boxes')}"
    return Shown(caption, picture_of(checked.images, split, sample, window, side))


def _augmented(checked: CheckedSet, side: int) -> Iterator[Block]:
    """Yield some training images beside what the first epochs draw of them."""
    if not checked.splits["train"]:
        return
    from tlx.data.datamodule import ImageDataModule
    from tlx.tasks.shown import showable

    node: Mapping[str, Any] = {**checked.node, "num_workers": 0}
    data = ImageDataModule(node, Preprocessing(side, IMAGENET_MEAN, IMAGENET_STD), seed=0)
    data.checked = checked
    images, train = checked.images, checked.splits["train"]
    rows = []
    for index in _spaced(range(len(train)), AUGMENTED):
        sample = train.samples[index]
        row = [_cell(checked, "as it is", train, sample)]
        for draw in range(DRAWS):
            batch = data.training_batch([index], draw)
            label = batch["target"][0].numpy() if images.labels.moves else None
            drawn = with_label(
                np.ascontiguousarray(showable(batch["image"][0])), label, images.class_names, _side(checked)
            )
            row.append(Shown(f"epoch {draw + 1}", drawn))
        rows.append(row)
    height, width = data.preprocessing.height_width
    how = f"Input of {width:,} x {height:,} pixels, dataset.augment={node.get('augment', 'light')}."
    yield Block("As training sees them", [how], pictures=rows)


def _side(checked: CheckedSet) -> int:
    return _LARGE_SIDE if checked.images.labels.moves else _SIDE


def _spaced(items: Sequence[T], most: int) -> list[T]:
    """Return at most this many items, evenly spaced."""
    count = min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _in_rows(cells: Sequence[Shown], columns: int) -> list[Sequence[Shown]]:
    return [cells[start : start + columns] for start in range(0, len(cells), columns)]
