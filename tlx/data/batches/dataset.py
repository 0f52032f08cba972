"""A split as a torch dataset: maps (draw, index) pairs to pixels of the input size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tlx.base.gradients import no_gradients
from tlx.data.augmentation.distortion import Distortion
from tlx.data.augmentation.mosaic import Mosaic
from tlx.data.augmentation.randomness import seeded
from tlx.data.batches.batch_process import next_file
from tlx.data.batches.kept import KeptImages
from tlx.data.batches.reading_clock import ReadingClock
from tlx.data.batches.sampler import PADDING
from tlx.data.box_labels import BoxLabels
from tlx.data.labels import CLASSES, LabelKind
from tlx.data.reading.images import as_image, to_channels
from tlx.data.reading.pixels import read_pixels
from tlx.data.reading.windows import Window
from tlx.data.splits.samples import Split

RESIZED_AT_MOST = 512 * 2**20  # bytes allowed for the resized copy of a set in memory
_AT_ONCE = 1024  # images


class Batch(TypedDict, total=False):
    """The input of a step.

    `image` uint8 (B, C, H, W), not normalised; or instead `prefix`, outputs of frozen groups (B, …) by group;
    `target` their labels, for classes int64 (B,), none in splits without labels; `index` int64 (B,), the positions of
    the images in their split, PADDING for rows that only fill the batch (see `real`). `drawn` float32 (B, 21): the
    parameters that `Distortion` drew, if the images are still to be distorted. `unlabelled`: a batch of the target
    domain, without `target`.
    """

    image: Tensor
    prefix: dict[str, Tensor]
    target: Tensor
    index: Tensor
    drawn: Tensor
    unlabelled: Batch


def real(batch: Mapping[str, Any]) -> Tensor:
    """Return which rows of a batch are images of the split (B,), bool; the others are padding and never count."""
    index: Tensor = batch["index"]
    return index != PADDING


@dataclass(frozen=True)
class Views:
    """The seeds of an image's views: a number and the image's content, so that subsets share views.

    Args:
        seed: Any integer.
        keys: Content hash of each image.
    """

    seed: int
    keys: Sequence[bytes]


class RowSource(Protocol):
    """Outputs of a frozen layer group, or moved labels, for each image of a split."""

    @property
    def device(self) -> torch.device:
        """Where the rows, and indices of them, are."""

    def take(self, index: Tensor) -> Tensor:
        """Return rows (len(index), …) of indices on `device`."""


class SplitDataset(Dataset[Batch]):
    """Read, transform and batch the samples of a split.

    The random draws for an image depend only on (seed, epoch, index), or for a view on (view_seed, view, content).
    A set in memory is transformed once if `transform` draws nothing.

    Args:
        split: The samples.
        transform: uint8 (C, H, W) -> uint8 of the input's height and width, or of the image's own for batches of one.
            For samples with a region it has a method `at` that returns the transform for one.
        channels: Channels of the returned images.
        seed: Seed of the draws of `transform` and `distort`; None: they draw nothing.
        views: Seeds of the views, if the sampler asks for views.
        min_side: Least shorter side of a JPEG decoded at a reduced size, see `tlx.data.reading.images.read_image`.
        distort: Applied to whole batches after `transform`, and draws after it.
        still: Whether `transform` draws nothing and the seed is only for `distort`.
        window: Centre and width of the displayed range of files with more than 8 bits, see `tlx.data.read_image`.
        labels: Kind of the samples' labels; None: the images have none, and batches hold no `target`.
        sizes: Height and width of each image in full, if labels have to follow images decoded at a reduced size.

    Attributes:
        labels_move: Whether the labels are transformed with their images.
        targets: Labels of all samples; None if there are none, or if they move.
        distort_later: Whether batches are returned undistorted, with `drawn`, for `finish`.
        rows: If set, batches hold outputs of layer groups instead of images, under `prefix` by group.
        label_rows: The labels that belong to these rows, if labels move.
        kept: If set, the store of images that were read before.
        mosaic: If set, draws some samples as mosaics of several images with boxes.
        one_a_batch: Whether the images have sizes of their own, so that a batch holds one.
        clock: How long reading took so far, in this process and those that it has forked.
    """

    one_a_batch = False

    def __init__(
        self,
        split: Split,
        transform: nn.Module,
        channels: int,
        seed: int | None = None,
        views: Views | None = None,
        min_side: int | None = None,
        distort: Distortion | None = None,
        still: bool = False,
        window: Window | None = None,
        labels: LabelKind | None = CLASSES,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.labels, self.sizes = labels, sizes
        self.mosaic: Mosaic | None = None
        self.window = window
        self.distort = distort
        self.distort_later = False
        self.rows: Mapping[str, RowSource] | None = None
        self.label_rows: RowSource | None = None
        self.kept: KeptImages | None = None
        self.clock = ReadingClock()
        self.min_side = min_side
        self.views = views
        self.split = split
        self.transform = transform
        self.channels = channels
        self.seed = seed
        self.labels_move = labels is not None and labels.moves
        fixed = None if labels is None or labels.moves else labels
        self.targets = None if fixed is None else fixed.collate([sample.target for sample in split.samples])
        alike = (seed is None or still) and not self.labels_move  # the same pixels and label each time
        self._resized = self._resize_once() if alike and split.in_memory else None

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Return the batch of one image."""
        return self.__getitems__([key])

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        """Return a batch; torch's DataLoader calls this with all the pairs of a batch at once."""
        index = torch.tensor([i for _, i in keys], dtype=torch.int64)
        if self.rows is not None:
            return next(self.of_rows(self.rows, index, [len(index)]))
        with self.clock.reading(len(keys)):
            image, moved, drawn = self._undistorted([draw for draw, _ in keys], index)
            batch: Batch = {"image": image, "index": index}
            self._add_labels(batch, moved)
            if drawn is not None:
                batch["drawn"] = drawn
            return batch if self.distort_later else self.finish(batch)

    def of_rows(self, rows: Mapping[str, RowSource], index: Tensor, sizes: Sequence[int]) -> Iterator[Batch]:
        """Yield batches of rows, with `prefix` instead of `image`, on the device of the rows.

        Args:
            rows: Outputs of layer groups.
            index: Positions of the images of all batches in the split (N,), int64, on the CPU.
            sizes: Number of images of each batch.
        """
        target = None
        if self.labels is not None and not self.labels_move:
            target = self.labels.take(self.targets, index)
        device = self.device
        places, *of_all = (
            one.to(device).split(list(sizes))
            for one in (index.clamp(min=0), index, *([] if target is None else [target]))
        )  # padding looks like image 0, see `real`
        for place, *own in zip(places, *of_all, strict=True):
            batch: Batch = {"prefix": {group: one.take(place) for group, one in rows.items()}, "index": own[0]}
            if target is not None:
                batch["target"] = own[1]
            elif self.label_rows is not None:
                self._add_labels(batch, self.label_rows.take(place))
            yield batch

    @property
    def device(self) -> torch.device:
        """The device of the batches: that of the rows if they are in its memory, else the CPU."""
        return next(iter(self.rows.values())).device if self.rows else torch.device("cpu")

    def images(self, draws: Sequence[int], index: Tensor) -> Tensor:
        """Return images, uint8 (B, channels, H, W), even if `rows` is set.

        Args:
            draws: Draw of each image, see `EpochSampler`.
            index: Their positions in the split, int64 (B,).
        """
        image, _, drawn = self._undistorted(draws, index)
        return image if drawn is None or self.distort is None else self.distort(image, drawn)

    def open_kept(self) -> None:
        """Open the file of kept images, before other processes that read are started."""
        if self.kept is not None:
            self.kept.open()

    def finish(self, batch: Batch) -> Batch:
        """Distort a batch that `distort_later` left undistorted, on its current device."""
        if "drawn" not in batch:
            return batch
        assert self.distort is not None
        image = self.distort(batch["image"], batch["drawn"])
        finished: Batch = {"image": image, "index": batch["index"]}
        if self.labels is not None:
            height, width = image.shape[-2:]
            finished["target"] = self.labels.distort(batch["target"], self.distort, batch["drawn"], (height, width))
        return finished

    def _add_labels(self, batch: Batch, moved: Any) -> None:
        """Add the labels of a batch to it, if its images have any.

        Args:
            batch: The batch.
            moved: The collated labels of its images, moved with them; None if the labels do not move.
        """
        if self.labels is None:
            return
        if not self.labels_move:
            batch["target"] = self.labels.take(self.targets, batch["index"])
            return
        rows = torch.arange(len(batch["index"])).masked_fill(~real(batch), PADDING)
        batch["target"] = self.labels.take(moved, rows)

    def _undistorted(self, draws: Sequence[int], index: Tensor) -> tuple[Tensor, Any, Tensor | None]:
        """Return images, their collated labels if these move, and the parameters drawn to distort both, if any."""
        places = index.clamp(min=0)
        if self.seed is None and self._resized is not None:
            image = to_channels(self._resized[places], self.channels).contiguous()
            return image, None, None
        items, drawn = [], []
        for draw, i in zip(draws, places.tolist(), strict=True):
            if self.seed is None:
                items.append(self._item(i))
                continue
            with seeded(*self._drawn_from(self.seed, draw, i)):
                items.append(self._item(i))
                if self.distort is not None:
                    drawn.append(self.distort.draw())
        images, labels = zip(*items, strict=True)
        moved = self.labels.collate(labels) if self.labels is not None and self.labels_move else None
        image = images[0][None] if self.one_a_batch else torch.stack(images)  # a large one is not copied
        return image, moved, torch.stack(drawn) if drawn else None

    def _item(self, index: int) -> tuple[Tensor, Any]:
        """Return a transformed, undistorted image, and its label if that moves with it."""
        label = None
        if self._resized is not None:
            return to_channels(self._resized[index], self.channels), label
        kept = self.kept if self.kept and self.kept.transformed else None
        image = kept.get(index) if kept else None
        if image is None:
            sample = self.split.samples[index]
            transform = self.transform if sample.region is None else self.transform.at(sample.region)  # type: ignore[operator]
            if self.labels is not None and self.labels_move:
                image, label = self._mosaic(self.labels, index) or self._moved(self.labels, index, transform)
            else:
                image = to_channels(transform(self._read(index)), self.channels)
            if kept:
                kept.put(index, image)
        return image, label

    def _moved(self, kind: LabelKind, index: int, transform: nn.Module) -> tuple[Tensor, Any]:
        """Return a transformed image and its label, which moves with it."""
        image, label = self._read(index), self.split.samples[index].target
        if self.sizes is not None:
            label = kind.resized(label, self.sizes[index], (image.shape[-2], image.shape[-1]))
        image, label = kind.transform(transform, image, label)
        return to_channels(image, self.channels), label

    def _mosaic(self, kind: LabelKind, index: int) -> tuple[Tensor, Any] | None:
        """Return a mosaic of an image and three others, and its boxes; None: none was drawn."""
        drawn = None if self.mosaic is None else self.mosaic.draw(len(self))
        if drawn is None or self.mosaic is None or not isinstance(kind, BoxLabels):
            return None
        indices = [index, *drawn[0]]
        image, parts = self.mosaic.joined(drawn[1], lambda number, crop: self._moved(kind, indices[number], crop))
        return image, kind.joined(parts)

    def _read(self, index: int) -> Tensor:
        """Return a decoded image, (C, H, W)."""
        source = self.split.samples[index].source
        if not isinstance(source, Path):
            assert self.split.pixels is not None
            return self.split.pixels[source]
        keep = self.kept if self.kept and not self.kept.transformed else None
        pixels = keep.get(index) if keep else None
        if pixels is None:
            next_file()
            pixels = torch.from_numpy(read_pixels(source, self.channels, self.min_side, self.window))
            if keep:
                keep.put(index, pixels)
        return as_image(pixels, self.channels)

    def _drawn_from(self, seed: int, draw: int, index: int) -> tuple[int | str, ...]:
        if draw >= 0:
            return seed, "augment", draw, index
        assert self.views is not None
        return self.views.seed, "view", draw, self.views.keys[index].hex()

    @no_gradients()
    def _resize_once(self) -> Tensor | None:
        """Return all images in the input size (N, C, height, width), with their own channels; None if too large."""
        if not self.split.samples:
            return None
        assert self.split.pixels is not None
        pixels = self.split.pixels
        rows = torch.tensor([sample.source for sample in self.split.samples])
        one = self.transform(pixels[rows[0]])
        if one.numel() * len(rows) > RESIZED_AT_MOST:
            return None
        resized = torch.empty(len(rows), *one.shape, dtype=torch.uint8)
        for start in range(0, len(rows), _AT_ONCE):
            chunk = slice(start, start + _AT_ONCE)
            resized[chunk] = self.transform(pixels[rows[chunk]])
        return resized


class PairedDataset(Dataset[Batch]):
    """Batches of the source domain, each with one of the target domain as its `unlabelled`.

    Args:
        source: Labelled images.
        target: Images without labels.
    """

    def __init__(self, source: SplitDataset, target: SplitDataset) -> None:
        self.source, self.target = source, target
        self.clock = target.clock = source.clock

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, pair: tuple[tuple[int, int], tuple[int, int]]) -> Batch:
        """Return the batch of one image of each."""
        return self.__getitems__([pair])

    def __getitems__(self, pairs: list[tuple[tuple[int, int], tuple[int, int]]]) -> Batch:
        """Return a batch; torch's DataLoader calls this with all the pairs of a batch at once."""
        batch = self.source.__getitems__([own for own, _ in pairs])
        return {**batch, "unlabelled": self.target.__getitems__([other for _, other in pairs])}

    @property
    def rows(self) -> Mapping[str, RowSource] | None:
        """The source's rows; rows are always set for both data sets or neither."""
        return self.source.rows

    def open_kept(self) -> None:
        """Open the files of kept images, before other processes that read are started."""
        self.source.open_kept()
        self.target.open_kept()

    def finish(self, batch: Batch) -> Batch:
        """Distort both batches, if `distort_later` left them undistorted."""
        return {**self.source.finish(batch), "unlabelled": self.target.finish(batch["unlabelled"])}
