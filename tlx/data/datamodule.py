"""Build the loaders of batches from a dataset node."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torchvision.transforms import v2

from tlx.base.errors import TlxError
from tlx.base.machine import memory_available
from tlx.base.printable import counted
from tlx.base.ranks import rank_and_world
from tlx.data import domains
from tlx.data.augmentation import box_crops
from tlx.data.augmentation.box_crops import BoxTile, box_transform
from tlx.data.augmentation.crops import Tile, crop_transform
from tlx.data.augmentation.mosaic import Mosaic
from tlx.data.augmentation.transforms import (
    OfRegion,
    distortion,
    draws_nothing,
    eval_transform,
    needed_side,
    train_transform,
)
from tlx.data.batch_size import CROPS, LARGEST
from tlx.data.batches.balance import members_of
from tlx.data.batches.batch_process import START_METHOD, begin
from tlx.data.batches.dataset import Batch, PairedDataset, RowSource, SplitDataset, Views
from tlx.data.batches.even import EvenBatches, batches_of_epoch, micro_batches_of
from tlx.data.batches.kept import KeptImages, Shelf, Storing, images_to_keep
from tlx.data.batches.loader import EpochLoader, uncollated
from tlx.data.batches.reading_processes import (
    LEAST_MEASURED,
    READING_PROCESSES,
    WORTH_MEASURING,
    WORTH_STARTING,
    EpochTimes,
    Reading,
    corrected,
    describe_epoch,
    describe_reading,
    fit_memory,
    seconds_an_image,
)
from tlx.data.batches.sampler import Chosen, EpochSampler, PairedSampler, view_draw
from tlx.data.batches.shared_memory import most_processes
from tlx.data.checked import CheckedSet
from tlx.data.files.image_files import find_images
from tlx.data.labelled import LabelledImages
from tlx.data.labels import LabelKind
from tlx.data.reading.windows import Window
from tlx.data.reading.workers import cores_here
from tlx.data.splits.samples import Sample, Split
from tlx.data.splits.tiles import image_sizes
from tlx.records.settled import AUTO

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing

log = logging.getLogger("tlx")

WORTH_WORKERS = 5_000  # images in memory; to augment fewer takes less time than to start processes
FORWARD_PART = 3  # a training step takes about this many times as long as predicting its batch


class ImageDataModule(LabelledImages, pl.LightningDataModule):
    """Batches of a labelled set of images; `LabelledImages` describes the set.

    Batches are dicts (`tlx.data.batches.dataset.Batch`) of uint8 images, resized and augmented, not normalised. Order
    and augmentation depend only on (seed, epoch, index), not on the number of workers or on earlier runs.
    The Trainer needs `use_distributed_sampler=False`, because the loaders distribute the images among processes.

    Args:
        dataset: A composed dataset node.
        preprocessing: Input size and interpolation of the backbone.
        seed: Seed of order and augmentation.
        view_seed: Seed of the views on which stages with a frozen prefix train, see `take_turns`.
        target: The node of the target domain.
        paired: Whether training batches include images of the target domain.
        fixed_size: Whether the backbone takes no other size than its own.
        accumulated: Batches whose gradients make one optimizer step.
        shelf: Where decoded images are stored between runs; None: they are kept in memory.
        checked: The loaded set of the node, if it was loaded before.

    Attributes:
        step_seconds: Seconds per training step, once measured; `num_workers=auto` uses it.
        leaves_cores: Whether steps leave the cores to processes that read; None: they do on any device but a CPU.
        micro_batch: The most images that a process computes at once, `dataset.micro_batch`; None: those of a step.

    Examples:
        >>> import tlx
        >>> from tlx.backbones import small_cnn
        >>> from tlx.data import ImageDataModule
        >>> data = ImageDataModule(tlx.compose(["dataset=digits"]).dataset, small_cnn(width=4).preprocessing, seed=0)
        >>> data.sizes
        {'train': 1079, 'val': 359, 'test': 359}
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch["image"].shape, batch["image"].dtype, batch["target"].shape
        (torch.Size([31, 3, 64, 64]), torch.uint8, torch.Size([31]))
    """

    def __init__(
        self,
        dataset: Mapping[str, Any] | DictConfig,
        preprocessing: Preprocessing,
        seed: int,
        view_seed: int = 0,
        target: Mapping[str, Any] | DictConfig | None = None,
        paired: bool = False,
        fixed_size: bool = False,
        accumulated: int = 1,
        shelf: Shelf | None = None,
        checked: CheckedSet | None = None,
    ) -> None:
        pl.LightningDataModule.__init__(self)
        LabelledImages.__init__(self, dataset, preprocessing, target, fixed_size, checked)
        self.paired = paired
        self.accumulated = accumulated
        asked = self.dataset.get("micro_batch")
        self.micro_batch: int | None = None if asked == AUTO else asked  # `auto` is settled by a trial on these images
        self.shelf = shelf
        self.seed = seed
        self._epoch = 0
        self.view_seed = view_seed
        self._samplers: list[EpochSampler] = []
        self._datasets: dict[str, SplitDataset] = {}
        self._rows: dict[str, tuple[Mapping[str, RowSource], RowSource | None]] = {}
        self._kept: dict[tuple[str, bool], KeptImages | None] = {}
        self._turns = (0, 0)
        self.step_seconds: float | None = None
        self.leaves_cores: bool | None = None
        self._image_seconds: float | None = None
        self._last_line = ""
        self._added: int | None = None  # images kept so far, after the first epoch
        self._is_corrected = False

    # Lightning's hooks

    def prepare_data(self) -> None:
        """Download missing data in one process per machine."""
        if self.dataset.get("download"):
            _ = self.image_set
        if self.target is not None and self.target.get("download"):
            _ = self.domain

    def setup(self, stage: str | None = None) -> None:
        """List, check and split the images.

        Raises:
            TlxError: Files are broken and `dataset.on_bad` is `stop`; the message names them.
        """
        _ = self.splits

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; during training Lightning's fit loop sets it in the samplers."""
        self._epoch = epoch
        for sampler in self._samplers:
            sampler.set_epoch(epoch)

    # Frozen layer groups

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The splits that training batches come from."""
        return ("train", domains.TRAIN) if self.paired else ("train",)

    def drawing(self, split: str, view: int | None) -> dict[str, Any]:
        """Return the settings, besides preprocessing and channels, that determine the pixels of an image.

        Args:
            split: The split of the image.
            view: Number of an augmented view, from 0; None: without augmentation, as for evaluation.
        """
        node = self._set_of(split).node
        settings = {"decode": node.get("decode", "full")}
        if node.get("window") is not None:
            settings["window"] = [float(value) for value in node["window"]]
        if view is None:
            return settings
        drawn = {"augment": node.get("augment", "light"), "flip": node.get("horizontal_flip", True)}
        if self.draws_mosaics:
            drawn["images"] = self._together
        return {**settings, **drawn, "view": view, "view_seed": self.view_seed}

    def take_turns(self, views: int, first_epoch: int) -> None:
        """From the next epoch on, draw `views` views of each training image in turn; 0: a new draw in every epoch.

        Args:
            views: Number of views.
            first_epoch: The epoch that uses the first view.
        """
        self._turns = views, first_epoch
        for sampler in self._samplers:
            sampler.views, sampler.first_epoch = self._turns

    def feed(self, split: str, rows: Mapping[str, RowSource] | None, labels: RowSource | None = None) -> None:
        """From the next epoch on, replace the images of a split by the outputs of frozen layer groups.

        Args:
            split: Name of the split.
            rows: Outputs by layer group; None: use images again.
            labels: Labels that belong to the rows, if labels move with their images.
        """
        if rows is None:
            self._rows.pop(split, None)
        else:
            self._rows[split] = rows, labels
        if split in self._datasets:
            self._datasets[split].rows, self._datasets[split].label_rows = rows, labels

    def images_of(self, split: str, indices: Sequence[int], view: int | None = None) -> EpochLoader:
        """Return batches of some images of a split, in the given order; `view` None: as for evaluation."""
        draw = 0 if view is None else view_draw(view)
        chosen = Chosen([(draw, index) for index in indices])
        dataset = self._dataset(split, augmented=view is not None)
        if view is not None:  # several views read the same images
            self._keep(split, dataset)
        return self._loader(dataset, chosen)

    def test_images(self, index: Tensor) -> Tensor:
        """Return the test images at the positions `index` (B,) as the network sees them: uint8 (B, C, H, W)."""
        return self._datasets["test"].images([0] * len(index), index)

    def training_images(self, index: Sequence[int]) -> Tensor:
        """Return training images at some positions as the first epoch draws them: uint8 (B, C, H, W)."""
        dataset = self._dataset("train", self.augmented())
        return dataset.images([0] * len(index), torch.tensor(index))

    def training_batch(self, index: Sequence[int], epoch: int) -> Batch:
        """Return training images at some positions with their labels, as an epoch draws them."""
        return self._dataset("train", self.augmented()).__getitems__([(epoch, i) for i in index])

    def train_dataloader(self) -> EpochLoader:
        """Return shuffled, augmented batches, see `EvenBatches`."""
        rank, world = rank_and_world()
        count = self.sizes["train"]
        source = self._fed("train", self.augmented())
        dataset: SplitDataset | PairedDataset = source
        members = members_of([*map(self.image_set.class_ids, source.split.samples)]) if self.balanced else None
        sampler = EpochSampler(count, self.seed, shuffle=True, members=members)
        if self.paired:
            other = self.sizes[domains.TRAIN]
            dataset = PairedDataset(source, self._fed(domains.TRAIN, self.augmented(domains.TRAIN)))
            sampler = PairedSampler(count, self.seed, other=other, members=members)
        sampler.set_epoch(self._epoch)
        sampler.views, sampler.first_epoch = self._turns
        self._samplers = [sampler]
        return self._loader(dataset, EvenBatches(sampler, self.training_batches(world), rank, world, self.micro_batch))

    def in_order(self, split: str) -> EpochLoader:
        """Return this process's share of a split as for evaluation: always images, even if `feed` replaced them."""
        rank, world = rank_and_world()
        dataset = self._dataset(split, augmented=False)
        self._keep(split, dataset)
        return self._loader(dataset, EpochSampler(self.sizes[split], self.seed, shuffle=False, rank=rank, world=world))

    def val_dataloader(self) -> EpochLoader | list[Any]:
        """Return every image once, in order; padding between processes has index -1. An empty split has no loader.

        With a target domain there are two loaders, for `val` and `target_val`.
        """
        loaders = [self._eval_loader(split) for split in self.selected_on]
        return loaders[0] if len(loaders) == 1 else loaders

    def test_dataloader(self) -> EpochLoader | list[Any]:
        """Return the test images as for validation."""
        return self._eval_loader("test")

    def predict_loader(self, paths: Iterable[str | os.PathLike[str]], whole: bool = False) -> EpochLoader:
        """Return the images of files, folders and patterns in the given order, without labels.

        `index` is the position in `find_images(paths)`.

        Args:
            paths: The files, folders and patterns.
            whole: Whether each image is a batch of its own, in its own size.
        """
        split = Split([Sample(path, None, str(path)) for path in find_images(paths)])
        dataset = self._as_evaluated(split, self.dataset, None, whole)
        return self._loader(dataset, EpochSampler(len(split), 0, shuffle=False))

    # Loaders

    def training_batches(self, world: int) -> int:
        """Return the number of training batches of an epoch, the same in each of `world` processes.

        Raises:
            TlxError: The batch size is not a multiple of `world`.
        """
        self._evaluated_batch(world)
        return batches_of_epoch(self.sizes["train"], self.batch_size(world), self.accumulated, world)

    def micro_batches(self, world: int) -> int:
        """Return into how many micro batches each of `world` processes divides its share of a training batch."""
        return micro_batches_of(self.sizes["train"], self.training_batches(world), world, self.micro_batch)

    def trained_share(self, world: int) -> int:
        """Return the most images of a training step that each of `world` processes computes at once."""
        return self._at_most(max(1, self.batch_size(world) // world))

    def evaluated_share(self, world: int) -> int:
        """Return the number of images that each of `world` processes evaluates at once.

        Raises:
            TlxError: The batch size is not a multiple of `world`.
        """
        return self._at_most(self._evaluated_batch(world))

    def evaluated_parts(self, world: int) -> int:
        """Return in how many parts each of `world` processes evaluates a batch."""
        return -(-self._evaluated_batch(world) // self.evaluated_share(world))

    def _at_most(self, images: int) -> int:
        return images if self.micro_batch is None else min(images, self.micro_batch)

    def _evaluated_batch(self, world: int) -> int:
        """Return a process's share of a batch that is evaluated; refuse a size that is not a multiple of `world`."""
        size = self.dataset.get("batch_size", AUTO)
        if size == AUTO:
            return CROPS if self.in_parts else -(-LARGEST // world)
        if size % world:
            near = max(1, round(size / world)) * world
            raise TlxError(
                f"dataset.batch_size: expected a multiple of {world}, the number of processes, "
                f"got {size}; for example dataset.batch_size={near}"
            )
        return int(size) // world

    def _eval_loader(self, split: str) -> EpochLoader | list[Any]:
        count = self.sizes[split]
        if not count:
            return []
        rank, world = rank_and_world()
        sampler = EpochSampler(count, self.seed, shuffle=False, rank=rank, world=world)
        return self._loader(self._fed(split, augmented=False), sampler)

    def _fed(self, split: str, augmented: bool) -> SplitDataset:
        dataset = self._datasets[split] = self._dataset(split, augmented)
        dataset.rows, dataset.label_rows = self._rows.get(split, (None, None))
        if split != "test":  # the test split is read once
            self._keep(split, dataset)
        return dataset

    def _dataset(self, split: str, augmented: bool) -> SplitDataset:
        node = self._set_of(split).node
        if not augmented:
            found = self._as_evaluated(self.splits[split], node, self.label_kind(split), self._is_whole(split))
            found.sizes = None if found.min_side is None else self._full_sizes(split)
            return found
        flip: bool = node.get("horizontal_flip", True)
        augment: str = node.get("augment", "light")
        crops = crop_transform if self.preprocessing.sides is None else box_transform
        transform = (crops if self.in_parts else train_transform)(self.preprocessing, augment, flip)
        cut = not self.in_parts and _has_regions(self.splits[split])
        transform = OfRegion(transform) if cut else transform
        views = Views(self.view_seed, self.content_keys(split))
        dataset = SplitDataset(
            self.splits[split],
            transform,
            self.channels,
            self.seed,
            views,
            self._min_side(augment, node, self.in_parts or cut),
            distortion(augment),
            draws_nothing(augment, flip) and not self.in_parts,
            window_of(node),
            self.label_kind(split),
            self._full_sizes(split),
        )
        if self.draws_mosaics:
            dataset.mosaic = Mosaic(self.preprocessing, flip)
        return dataset

    def _as_evaluated(
        self, split: Split, node: Mapping[str, Any], labels: LabelKind | None, whole: bool = False
    ) -> SplitDataset:
        in_parts = _has_regions(split)
        tiled = in_parts and self.in_parts
        transform = v2.Identity() if whole else _evaluated(self.preprocessing, in_parts, tiled)
        min_side = None if whole else self._min_side("none", node, in_parts)
        window = window_of(node)
        dataset = SplitDataset(split, transform, self.channels, min_side=min_side, window=window, labels=labels)
        dataset.one_a_batch = whole
        return dataset

    def _is_whole(self, split: str) -> bool:
        """Return whether a split's images are evaluated whole, at their own size."""
        return self.in_parts and split in ("val", "test")

    def _min_side(self, augment: str, node: Mapping[str, Any], in_parts: bool) -> int | None:
        """Return the shorter side that a JPEG decoded at a reduced size keeps, see `read_image`; None: full size."""
        resized = self.preprocessing.sides is not None
        if node.get("decode", "full") != "reduced" or (in_parts and not resized):
            return None
        return (box_crops.needed_side if resized else needed_side)(self.preprocessing, augment)

    def _full_sizes(self, split: str) -> list[tuple[int, int]] | None:
        """Return the height and width of the images of a split, if their labels have to follow decoded images."""
        samples = self.splits[split]
        if self.preprocessing.sides is None or samples.in_memory or self.label_kind(split) is None:
            return None
        return image_sizes(samples.once, self._set_of(split).by_file) * samples.repeats

    def _keep(self, split: str, dataset: SplitDataset) -> None:
        """Make a data set that is read more than once share the images kept for its split."""
        drawn = dataset.seed is not None
        if (split, drawn) not in self._kept:
            size = None if drawn or dataset.labels_move or dataset.one_a_batch else self.preprocessing.height_width
            facts, storing = self._set_of(split).by_file, None
            if self.shelf is not None:
                decoded = {"window": dataset.window}
                inputs = {**decoded, "preprocessing": self.preprocessing.to_dict(), "min_side": dataset.min_side}
                storing = Storing(
                    self.shelf, decoded, {**inputs, "in_parts": self.in_parts}, partial(self.content_keys, split)
                )
            kept = images_to_keep(dataset.split, facts, self.channels, dataset.min_side, size, storing)
            self._kept[split, drawn] = kept
        dataset.kept = self._kept[split, drawn]

    def _loader(
        self, dataset: SplitDataset | PairedDataset, sampler: EpochSampler | Chosen | EvenBatches
    ) -> EpochLoader:
        parts = [dataset.source, dataset.target] if isinstance(dataset, PairedDataset) else [dataset]
        training = isinstance(sampler, EvenBatches)
        workers = max(self._num_workers(part, training) for part in parts)
        device = self._gpu()
        for part in parts:
            part.distort_later = device is not None
        if isinstance(sampler, EvenBatches):
            largest = sampler.largest
            drawn_by: dict[str, Any] = {"batch_sampler": sampler}
        else:
            largest = 1 if any(part.one_a_batch for part in parts) else self.evaluated_share(sampler.world)
            drawn_by = {"sampler": sampler, "batch_size": largest}
        loader = EpochLoader(
            dataset,
            **drawn_by,
            collate_fn=uncollated,
            worker_init_fn=begin,
            multiprocessing_context=START_METHOD,
            num_workers=max(1, workers),  # without any, their settings would be refused; they may be needed later
            persistent_workers=True,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),  # leaves the generator of the training unchanged
        )
        loader.num_workers = workers
        loader.device = device
        loader.say = self._say
        loader.batch_bytes = largest * len(parts) * self.channels * math.prod(self.preprocessing.height_width)
        if training and len(dataset) >= WORTH_MEASURING and not any(part.split.in_memory for part in parts):
            loader.after_epoch = partial(self._after_epoch, loader, parts)
        return loader

    def _after_epoch(self, loader: EpochLoader, parts: Sequence[SplitDataset], epoch: EpochTimes) -> None:
        """Say what the first epoch took; correct the number of reading processes, once, where it is `auto`.

        Images that were kept in an epoch are read faster in the next one: then that one decides.
        """
        added = sum(part.kept.added for part in parts if part.kept is not None)
        is_first, new, self._added = self._added is None, added - (self._added or 0), added
        waiting = epoch.waiting(self.step_seconds if self._on_gpu() else None)
        workers = before = loader.num_workers
        if not self._is_corrected and 2 * new < epoch.images:
            self._is_corrected = True
            steps = epoch.seconds * (1 - waiting) / epoch.batches
            reading = self._reading(epoch.reading / epoch.batches, steps, loader.batch_bytes)
            if self.dataset.get("num_workers", AUTO) == AUTO:
                workers = corrected(before, reading, waiting)
        line = describe_epoch(before, epoch, waiting)
        if workers != before:
            loader.read_with(workers)
            line += f"; from now on {counted(workers, 'process reads', 'processes read')}"
        if is_first or workers != before:
            self._say(line)

    def _num_workers(self, dataset: SplitDataset, training: bool) -> int:
        """Return the configured number of workers; `auto` measures and chooses it, 0 if workers do not pay off."""
        configured = self.dataset.get("num_workers", AUTO)
        if configured != AUTO:
            return int(configured)
        in_memory, count = dataset.split.in_memory, len(dataset)
        if dataset.rows is not None or (in_memory and (dataset.seed is None or count < WORTH_WORKERS)):
            return 0
        if self._image_seconds is None:
            if count < (LEAST_MEASURED if training else WORTH_MEASURING):
                return 0
            dataset.open_kept()  # what is stored is read sooner, and what is read now is kept
            self._image_seconds = seconds_an_image(dataset)
        if count < WORTH_MEASURING and count * (self._image_seconds or 0.0) < WORTH_STARTING:
            return 0
        world = rank_and_world()[1]
        size = self.trained_share(world)
        read = None if self._image_seconds is None else self._image_seconds * size
        step = self.step_seconds if training or self.step_seconds is None else self.step_seconds / FORWARD_PART
        reading = self._reading(read, step, size * self.channels * math.prod(self.preprocessing.height_width))
        workers: int = READING_PROCESSES.choose(reading)
        self._say(describe_reading(workers, reading))
        return workers

    def _reading(self, read_seconds: float | None, step_seconds: float | None, batch_bytes: int) -> Reading:
        """Return what decides the number of reading processes: seconds of a batch and a step, and this machine."""
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        most = min(most_processes(batch_bytes), fit_memory(memory_available() // processes, batch_bytes))
        return Reading(read_seconds, step_seconds, cores_here(), processes, self._on_gpu(), most)

    def _say(self, line: str) -> None:
        """Log a line about reading processes in process 0, unless it equals the last one."""
        if rank_and_world()[0] == 0 and line != self._last_line:
            log.info("%s", line)
        self._last_line = line

    def _on_gpu(self) -> bool:
        if self.leaves_cores is not None:
            return self.leaves_cores
        device = self._device
        return torch.cuda.is_available() if device is None else device.type != "cpu"

    def _gpu(self) -> torch.device | None:
        """The CUDA device of this process, to which batches are copied in advance; None for other devices."""
        return self._device if self._device is not None and self._device.type == "cuda" else None

    @property
    def _device(self) -> torch.device | None:
        """The device of this process; None before a Trainer is attached."""
        return getattr(getattr(self.trainer, "strategy", None), "root_device", None)


def _has_regions(split: Split) -> bool:
    return any(sample.region is not None for sample in split.samples)


def _evaluated(preprocessing: Preprocessing, in_parts: bool, tiled: bool) -> nn.Module:
    """Return what makes an input of an image, or of its region, without drawing anything.

    Args:
        preprocessing: Of the input.
        in_parts: Whether samples are regions.
        tiled: Whether regions are tiles of the input's size.
    """
    if preprocessing.sides is not None:
        return BoxTile(preprocessing)
    if tiled:
        return Tile(preprocessing.height_width, v2.InterpolationMode(preprocessing.interpolation))
    return OfRegion(eval_transform(preprocessing)) if in_parts else eval_transform(preprocessing)


def window_of(node: Mapping[str, Any]) -> Window | None:
    """Return the window of a dataset node; None: the files' own."""
    window = node.get("window")
    return None if window is None else (float(window[0]), float(window[1]))
