"""The keys of every dataset node, and their checks. Only the standard library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from tlx.base.errors import Mistake
from tlx.base.fields import AT_LEAST_1, NAME, SEED, within

CARVED = within(0, 0.9, open_low=True)  # fraction of the images for a carved split
Classes = list[int | float | str | bool | None]  # class names as YAML reads them


@dataclass
class SourceKeys:
    """The keys of every dataset node; a source adds its own keys in a subclass."""

    _target_: str
    name: str = field(metadata=NAME)
    channels: int = field(default=3, metadata=within(1, 65_536))
    image_size: int | list[int] | None = field(default=None, metadata=within(8, 100_000))
    batch_size: int | Literal["auto"] = field(default="auto", metadata=within(1, 1_000_000))
    micro_batch: int | Literal["auto"] | None = field(default=None, metadata=AT_LEAST_1)
    num_workers: int | Literal["auto"] = field(default="auto", metadata=within(0, 1024))
    decode: Literal["reduced", "full"] = "reduced"
    window: list[float] | None = None
    augment: Literal["none", "light", "strong", "affine", "characters", "trivial", "mosaic"] = "light"
    horizontal_flip: bool = True
    val_fraction: float = field(default=0.2, metadata=within(0, 0.9))
    split_seed: int = field(default=0, metadata=SEED)
    folds: int | None = field(default=None, metadata=within(2, 1000))
    fold: int | None = field(default=None, metadata=AT_LEAST_1)
    labels_per_class: int | None = field(default=None, metadata=AT_LEAST_1)
    labels_exact: bool = False
    fraction: float | None = field(default=None, metadata=within(0, 1, open_low=True))
    subset_seed: int = 0
    sampling: Literal["balanced"] | None = None
    similar: Literal["report", "together"] = "report"
    check: bool = True
    on_bad: Literal["stop", "skip"] = "stop"


@dataclass
class CropKeys(SourceKeys):
    """The keys of a set of images that are trained on in crops."""

    repeats: int | None = field(default=None, metadata=AT_LEAST_1)


@dataclass
class BoxKeys(CropKeys):
    """The keys of a set of images with boxes."""

    min_side: int | None = field(default=None, metadata=within(8, 100_000))
    max_side: int | None = field(default=None, metadata=within(8, 100_000))


@dataclass
class ObjectKeys(SourceKeys):
    """The keys of a set of images with boxes, whose objects can be the images of a classification."""

    crops: bool = False
    crop_margin: float = field(default=0.1, metadata=within(0, 10))


@dataclass
class RootKeys(SourceKeys):
    """The keys of sets in a folder of the user's, whose splits may be carved."""

    root: str = "???"
    group_pattern: str | None = None
    test_fraction: float = field(default=0.2, metadata=CARVED)


def arguments(node: Mapping[str, Any], keys: type[SourceKeys] = SourceKeys) -> dict[str, Any]:
    """Return the keys that are arguments of the source's function; others concern subsets, batches and checks.

    Args:
        node: The dataset node.
        keys: The keys of the source.
    """
    common = (one for one in (SourceKeys, CropKeys, BoxKeys, ObjectKeys) if issubclass(keys, one))
    for_others = {spec.name for one in common for spec in fields(one)} - {"name", "val_fraction", "split_seed"}
    return {str(key): value for key, value in node.items() if key not in for_others}


def mistakes(node: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield contradictory and invalid values of a node whose keys are complete and have the right types."""
    carved = {"val": node.get("val_fraction") or 0, "test": node.get("test_fraction") or 0}
    if sum(carved.values()) >= 1:
        got = " + ".join(str(v) for v in carved.values())
        expected = "val_fraction + test_fraction below 1, so that images are left for training"
        yield Mistake("dataset.val_fraction", expected, got, "for example dataset.val_fraction=0.2")
    if node.get("labels_per_class") is not None and node.get("fraction") is not None:
        got = f"labels_per_class={node['labels_per_class']} and fraction={node['fraction']}"
        expected = "one of labels_per_class and fraction"
        yield Mistake("dataset.labels_per_class", expected, got, "set the other to null")
    yield from _fold_mistakes(node)
    size = node.get("image_size")
    if isinstance(size, list) and len(size) != 2:
        expected = "one side of a square, or a height and a width"
        yield Mistake("dataset.image_size", expected, str(size), "for example dataset.image_size=[96,160]")
    shorter, longer = node.get("min_side"), node.get("max_side")
    if shorter is not None and longer is not None and shorter > longer:
        expected = f"at least dataset.min_side={shorter}"
        yield Mistake("dataset.max_side", expected, str(longer), f"for example dataset.max_side={2 * shorter}")
    window = node.get("window")
    if isinstance(window, list) and (len(window) != 2 or window[1] <= 0):
        expected = "a centre and a width above 0"
        yield Mistake("dataset.window", expected, str(window), "for example dataset.window=[40,400], or null")
    if node.get("augment") == "trivial" and node.get("channels") not in (1, 3, None):
        got = f"trivial with channels={node['channels']}"
        yield Mistake("dataset.augment", "an augmentation other than trivial if channels is not 1 or 3", got)


def _fold_mistakes(node: Mapping[str, Any]) -> Iterator[Mistake]:
    folds, fold = node.get("folds"), node.get("fold")
    if folds is None and fold is not None:
        yield Mistake(
            "dataset.folds", f"a number of folds with dataset.fold={fold}", "null", "for example dataset.folds=5"
        )
    elif folds is not None and fold is None:
        expected = f"the fold that validates, from 1 to {folds}"
        yield Mistake("dataset.fold", expected, "null", f"for example dataset.fold=1; each in turn: {_in_turn(folds)}")
    elif folds is not None and fold is not None and fold > folds:
        yield Mistake("dataset.fold", f"1 to dataset.folds={folds}", str(fold), f"each in turn: {_in_turn(folds)}")


def _in_turn(folds: int) -> str:
    """Return the keys of a sweep over the folds."""
    named = f"'range(1,{folds + 1})'" if folds > 10 else ",".join(str(fold) for fold in range(1, folds + 1))
    return f"-m dataset.fold={named}"
