"""The classes, splits and findings of a labelled set of images, before any image is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from tlx.base.errors import TlxError
from tlx.data import domains
from tlx.data.augmentation.canvas import Canvas, resized
from tlx.data.augmentation.covering import covering
from tlx.data.augmentation.names import IMAGES, MOSAIC
from tlx.data.batch_size import batch_size_of
from tlx.data.box_labels import BoxLabels
from tlx.data.catalog import labels_of
from tlx.data.checked import CheckedSet, load_checked
from tlx.data.domains import TargetDomain
from tlx.data.labels import LabelKind
from tlx.data.region import key_of_part
from tlx.data.resized import canvas_of, resized_boxes
from tlx.data.sources.content import size_of
from tlx.data.splits.division import content_keys
from tlx.data.splits.samples import ImageSet, Split
from tlx.data.splits.tiles import image_sizes, tiles

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing


VAL_TILES, VAL_TILES_AT_MOST = "val_tiles", 200
_MEASURED = 200  # images whose sizes decide how many views are drawn
_MOST_CROPS = 8


class LabelledImages:
    """A set of images in splits, with its target domain if there is one.

    Args:
        dataset: A composed dataset node. `_target_` names the source: a function that takes the node's own keys,
            `name`, `val_fraction` and `split_seed`, and returns a `tlx.data.ImageSet`.
        preprocessing: Input size and interpolation of the backbone; `dataset.image_size` overrides the size. Without
            `sides`, those of images with boxes are chosen, see `tlx.data.resized`.
        target: The node of the target domain, another set with the same classes. Image size, channels and batch size
            are those of `dataset`. Its test split replaces the source's; `target_train`, `target_val` are unlabelled.
        fixed_size: Whether the backbone takes no other size than its own.
        checked: The loaded set of the node, if it was loaded before; None: it is loaded when it is first needed.
    """

    def __init__(
        self,
        dataset: Mapping[str, Any] | DictConfig,
        preprocessing: Preprocessing,
        target: Mapping[str, Any] | DictConfig | None = None,
        fixed_size: bool = False,
        checked: CheckedSet | None = None,
    ) -> None:
        if checked is not None:
            self.checked = checked
        self.dataset = _plain(dataset)
        self.target = None if target is None else _plain(target)
        size = self.dataset.get("image_size")
        self._given = preprocessing if size is None else replace(preprocessing, size=size)
        self._size = self._given.height_width if fixed_size or size is not None else None
        self.channels: int = self.dataset.get("channels", 3)
        self._keys: dict[str, list[bytes]] = {}
        self._label_keys: dict[str, list[bytes] | None] = {}

    @cached_property
    def checked(self) -> CheckedSet:
        """The set that the source returns; its files are opened unless `dataset.check` is false."""
        return load_checked(self.dataset)

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become inputs. Of images with boxes, size and sides are known once the set is loaded."""
        canvas = self.canvas
        return self._given if canvas is None else replace(self._given, size=canvas.size, sides=canvas.sides)

    @property
    def canvas(self) -> Canvas | None:
        """What images with boxes are resized and padded to; None: other labels, or the preprocessing says it."""
        is_loaded = "checked" in self.__dict__
        if self._given.sides is not None or not (is_loaded or labels_of(self.dataset) == BoxLabels.name):
            return None
        return self._canvas

    @cached_property
    def _canvas(self) -> Canvas | None:
        return canvas_of(self.checked, self._size) if isinstance(self.image_set.labels, BoxLabels) else None

    @cached_property
    def box_sides(self) -> list[tuple[float, float]]:
        """Width and height in pixels of the boxes of resized training images, without ignored ones."""
        sides = self.preprocessing.sides
        return [] if sides is None else resized_boxes(self.checked, sides)

    @cached_property
    def most_objects(self) -> int:
        """The number of objects that a training image shows at most, without ignored ones; 0 for other labels."""
        if not isinstance(self.image_set.labels, BoxLabels):
            return 0
        return max((len(sample.target.sides()) for sample in self.checked.splits["train"].samples), default=0)

    @property
    def image_set(self) -> ImageSet:
        """The set with all its labels, without the files that were skipped."""
        return self.checked.images

    @cached_property
    def domain(self) -> TargetDomain | None:
        """The target domain, if there is one."""
        return None if self.target is None else TargetDomain.load(self.target, self.class_names)

    @property
    def splits(self) -> dict[str, Split]:
        """The splits; train is reduced to the configured number of labels."""
        found = self.checked.splits
        if self.domain is not None:
            found = {**found, **self.domain.splits}
        return {**found, "train": self._train, **self._tiles} if self.in_parts else found

    @property
    def in_parts(self) -> bool:
        """Whether crops of the images are trained on, tiles validated, and whole images tested."""
        return self.image_set.labels.in_parts

    def batch_size(self, processes: int = 1) -> int:
        """Return the training images of a step of all processes together."""
        return batch_size_of(self.dataset, len(self.checked.splits["train"]), self.in_parts, processes)

    @cached_property
    def repeats(self) -> int:
        """How often an epoch draws a crop of each training image; 1 if images are whole."""
        if not self.in_parts:
            return 1
        asked: int | None = self.dataset.get("repeats")
        crops = self.image_set.labels.least_steps * batch_size_of(self.dataset, 0, in_parts=True)
        return asked or math.ceil(crops / len(self.checked.splits["train"]))

    @cached_property
    def _train(self) -> Split:
        """The training images, each as often as an epoch draws a crop of it."""
        return self.checked.splits["train"].repeated(self.repeats)

    @cached_property
    def _tiles(self) -> dict[str, Split]:
        """The tiles of validation images that are evaluated after every epoch, also of a target domain."""
        size = self.preprocessing.height_width
        found = {VAL_TILES: tiles(self.checked.splits["val"], self._val_sizes, size, VAL_TILES_AT_MOST)}
        if self.domain is not None:
            split = self.domain.splits[domains.VAL]
            sizes = self._cut_from(split, self.domain.checked)
            found[domains.VAL] = tiles(split, sizes, size, VAL_TILES_AT_MOST)
        return found

    def _cut_from(self, split: Split, checked: CheckedSet) -> list[tuple[int, int]]:
        """Return the height and width of the image that crops and tiles are cut from, for each image of a split.

        It is the image, enlarged to cover a tile; of images with boxes, the resized image, padded to cover one.
        """
        least, sides = self.preprocessing.height_width, self.preprocessing.sides
        own = image_sizes(split, checked.by_file)
        if sides is None:
            return [covering(size, least) for size in own]
        return [(max(height, least[0]), max(width, least[1])) for height, width in (resized(s, sides) for s in own)]

    @cached_property
    def whole_differs(self) -> bool:
        """Whether whole validation images show more than the tiles that are evaluated after every epoch.

        They do if an image is larger than a tile, or if there are more images than tiles.
        """
        if not self.in_parts:
            return False
        larger = any(size != self.preprocessing.height_width for size in self._val_sizes)
        return larger or len(self._val_sizes) > VAL_TILES_AT_MOST

    @cached_property
    def _val_sizes(self) -> list[tuple[int, int]]:
        return self._cut_from(self.checked.splits["val"], self.checked)

    @cached_property
    def crops_per_image(self) -> int:
        """How many crops show as many pixels as a training image, on average and at most 8; 1 if images are whole."""
        if not self.in_parts:
            return 1
        some = self.checked.splits["train"].take([*range(len(self.checked.splits["train"]))][:_MEASURED])
        size = self.preprocessing.height_width
        areas = [*map(math.prod, self._cut_from(some, self.checked))]
        return min(max(1, round(sum(areas) / len(areas) / math.prod(size))), _MOST_CROPS)

    def crop_views(self, views: int) -> int:
        """Return the views to draw of each sample, so that each part of an image that is as large as a crop has some.

        Args:
            views: Views of such a part.
        """
        return math.ceil(views * self.crops_per_image / self.repeats)

    def _set_of(self, split: str) -> CheckedSet:
        """Return the set that a split belongs to; its node configures how images are read and augmented."""
        if self.domain is not None and split in self.domain.splits:
            return self.domain.checked
        return self.checked

    def label_kind(self, split: str) -> LabelKind | None:
        """Return the kind of the labels of a split; None: its images have no labels for training."""
        if split in (domains.TRAIN, domains.VAL):
            return None
        kind = self._set_of(split).images.labels
        if self.draws_mosaics and isinstance(kind, BoxLabels):  # which show the objects of several images
            return BoxLabels(IMAGES * kind.most)
        return kind

    @property
    def draws_mosaics(self) -> bool:
        """Whether training draws mosaics of several images."""
        return self.dataset.get("augment") == MOSAIC

    @cached_property
    def _together(self) -> str:
        """A hash of all training images and labels, on which a mosaic depends."""
        return blake2b(b"".join(self.label_keys("train") or self.content_keys("train")), digest_size=16).hexdigest()

    @property
    def class_names(self) -> list[str]:
        """Class names; a class label is an index into them."""
        return self.image_set.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def sizes(self) -> dict[str, int]:
        """Images in each split."""
        return {name: len(split) for name, split in self.splits.items()}

    @property
    def balanced(self) -> bool:
        """Whether training draws every class equally often."""
        return self.dataset.get("sampling") == "balanced"

    @property
    def class_counts(self) -> list[float]:
        """Images of each class that an epoch draws."""
        by_class = self.image_set.counts(self.splits["train"])
        counts: list[float] = [by_class[label] for label in range(self.num_classes)]
        images = self.sizes["train"]
        return [images / len(by_class) if count else 0.0 for count in counts] if self.balanced else counts

    @property
    def class_amounts(self) -> list[float]:
        """How much of each class an epoch draws: images, pixels of masks, or objects in boxes."""
        if not self.in_parts:
            return self.class_counts
        amounts = self.image_set.amounts(self.checked.splits["train"])
        return [float(amounts[label]) for label in range(self.num_classes)]

    def need_trainable(self) -> None:
        """Refuse a set that cannot be used for training, validation and test, before anything is computed.

        Raises:
            TlxError: A split is empty, or the training images have fewer classes than this kind of labels needs.
        """
        name = self.dataset.get("name", "dataset")
        sizes = {part: self.sizes[part] for part in ("train", "val", "test")}
        wanted = [part for part in sizes if part != "val" or self.dataset.get("val_fraction") != 0]
        empty = [part for part in wanted if not sizes[part]]
        if empty:
            found = ", ".join(f"{part} {size:,}" for part, size in sizes.items())
            raise TlxError(
                f"dataset {name}: expected images in train, val and test, got none in {' and '.join(empty)} ({found}); "
                "add images; `tlx check` with the same keys lists what each split contains"
            )
        present = [name for name, count in zip(self.class_names, self.class_counts, strict=True) if count]
        least = self.image_set.labels.least_classes
        if len(present) < least:
            expected = "at least two classes" if least == 2 else "a class"
            got = f"only '{present[0]}'" if present else "none"
            hint = "`tlx check` with the same keys lists what each split contains"
            if self.dataset.get("crops") and present:
                hint = "there is nothing to classify; to find such objects, type task=detection without dataset.crops"
            raise TlxError(f"dataset {name}: expected training images of {expected}, got {got}; {hint}")

    def describe(self) -> str:
        """Describe the set: images and classes of each split, how it was split, and its findings as warnings."""
        sets = [self.checked] if self.domain is None else [self.checked, self.domain.checked]
        lines: list[str] = []
        sides = self.preprocessing.sides
        for checked in sets:
            findings = checked.findings(self.preprocessing.short_side if sides is None else sides[0])
            lines += [*checked.describe(), *(f"  warning: {line}" for line in findings)]
        if self.repeats > 1:
            crops = f"{self.repeats * len(self.checked.splits['train']):,} crops"
            lines.append(f"  an epoch draws {self.repeats} crops of each training image, {crops} (dataset.repeats)")
        if self.canvas is not None:
            lines += [f"  {line}" for line in self.canvas.describe()]
        if not self.validates:
            lines.append("  no validation images (dataset.val_fraction=0): the last weights are tested")
        if self.balanced:
            lines.append(f"  an epoch draws every class equally often, {max(self.class_counts):,.0f} images of each")
        if self.domain is not None:
            sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.domain.splits.items())
            lines.append(f"  target domain, split without using its labels: {sizes}")
        return "\n".join(lines)

    def sample_names(self, split: str) -> list[str]:
        """Return the display names of the images of `train`, `val` or `test`, in the order of a batch's `index`."""
        return [sample.name for sample in self.splits[split].samples]

    def sample_groups(self, split: str) -> list[str | None]:
        """Return the group of each image, such as its patient, in the same order; None if unknown."""
        return self.splits[split].groups

    def sample_paths(self, split: str) -> list[Path | None]:
        """Return the file of each image, in the same order; None for images in memory."""
        return [s.source if isinstance(s.source, Path) else None for s in self.splits[split].samples]

    def test_fingerprint(self, index: Sequence[int]) -> str:
        """Return a hash of the images of the test split at some positions, in their order.

        It covers names, groups, classes and file sizes in bytes, but no folder: runs with the same hash were tested on
        the same images.
        """
        samples = self.splits["test"].samples
        digest = blake2b(digest_size=16)
        for sample in (samples[i] for i in index):
            path = sample.source
            size = size_of(path) if isinstance(path, Path) else -1
            label = sample.target if isinstance(sample.target, int) else None
            digest.update(repr((sample.name, sample.group, label, size)).encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """Return a hash of the training and validation samples: names, labels and file sizes in bytes.

        All labels of the target domain count as unknown (-1).
        """
        digest = blake2b(digest_size=16)
        for part, split in self.splits.items():
            for sample in () if part == "test" else split.once.samples:
                path = sample.source
                size = size_of(path) if isinstance(path, Path) else -1
                digest.update(repr((part, sample.name, sample.target, size)).encode())
        return digest.hexdigest()

    @property
    def selected_on(self) -> tuple[str, ...]:
        """The splits that are evaluated after every epoch; none if there are no validation images."""
        if self.domain is None and not self.validates:
            return ()
        own = VAL_TILES if self.in_parts else "val"
        return (own,) if self.domain is None else (own, domains.VAL)

    @property
    def validates(self) -> bool:
        """Whether there are validation images."""
        return len(self.checked.splits["val"]) > 0

    def augmented(self, split: str = "train") -> bool:
        """Whether training draws something for the images of a split: an augmentation, or a crop."""
        return self.in_parts or str(self._set_of(split).node.get("augment", "light")) != "none"

    def label_keys(self, split: str) -> list[bytes] | None:
        """Return a hash of each image's content and label, for labels that move; None: they cannot be stored."""
        if split not in self._label_keys:
            kind, whole = self.label_kind(split), self.splits[split]
            once = [None if kind is None else kind.key(sample.target) for sample in whole.once.samples]
            labels = once * whole.repeats
            pairs = [(image, label) for image, label in zip(self.content_keys(split), labels, strict=True) if label]
            hashes = [blake2b(image + label, digest_size=16).digest() for image, label in pairs]
            self._label_keys[split] = hashes if len(hashes) == len(labels) else None
        return self._label_keys[split]

    def content_keys(self, split: str) -> list[bytes]:
        """Return a hash of the content of each image of a split; those of repeats differ, as their crops do."""
        if split not in self._keys:
            whole = self.splits[split]
            samples, keys = whole.once.samples, content_keys(whole.once)
            parts = zip(samples, keys, strict=True)
            own = [key if one.region is None else key_of_part(key, one.region) for one, key in parts]
            again = (key_of_part(key, number) for number in range(1, whole.repeats) for key in own)
            self._keys[split] = [*own, *again]
        return self._keys[split]


def _plain(node: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    return {str(key): value for key, value in values.items()}
