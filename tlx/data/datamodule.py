"""From a dataset node of the configuration to loaders of batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
import torch.distributed
from omegaconf import DictConfig, OmegaConf
from torch import nn

from tlx.data.checked import CheckedSet, load_checked
from tlx.data.dataset import SplitDataset
from tlx.data.layout import find_images
from tlx.data.loader import LateLoader, as_it_is
from tlx.data.sampler import EpochSampler
from tlx.data.samples import ImageSet, Sample, Split
from tlx.data.transforms import eval_transform, train_transform
from tlx.errors import TlxError

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing

WORTH_WORKERS = 5_000  # images held in memory, from which on augmenting them takes longer than starting processes


class ImageDataModule(pl.LightningDataModule):
    """Batches of a labelled set of images.

    Batches are dicts (`tlx.data.dataset.Batch`) of uint8 images, resized and augmented, not normalised. Order and
    augmentation depend on (seed, epoch, index) alone: the number of workers, and what was run before, change nothing.
    The Trainer needs `use_distributed_sampler=False`: the loaders share the images out among processes themselves.

    Args:
        dataset: A composed dataset node. `_target_` names the source, a function that takes the node's own keys and
            `name`, `val_fraction` and `split_seed`, and returns a `tlx.data.ImageSet`.
        preprocessing: Input size and interpolation of the backbone; `dataset.image_size` overrides the size.
        seed: Seed of order and augmentation.
    """

    def __init__(self, dataset: Mapping[str, Any] | DictConfig, preprocessing: Preprocessing, seed: int) -> None:
        super().__init__()
        if isinstance(dataset, DictConfig):
            dataset = OmegaConf.to_container(dataset, resolve=True)  # type: ignore[assignment]
        self.dataset: dict[str, Any] = {str(key): value for key, value in dataset.items()}
        size = self.dataset.get("image_size")
        self.preprocessing = preprocessing if size is None else replace(preprocessing, size=size)
        self.channels: int = self.dataset.get("channels", 3)
        self.batch_size: int = self.dataset.get("batch_size", 32)
        self.seed = seed
        self._epoch = 0
        self._samplers: list[EpochSampler] = []

    # What there is

    @cached_property
    def checked(self) -> CheckedSet:
        """The set as the source returns it, its files opened unless `dataset.check` is false."""
        return load_checked(self.dataset)

    @property
    def image_set(self) -> ImageSet:
        """The set before labels are taken away, without the files that were left out."""
        return self.checked.images

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits; train with as few labels as asked for."""
        return self.checked.splits

    @property
    def class_names(self) -> list[str]:
        """Class names; a target is an index into them."""
        return self.image_set.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def sizes(self) -> dict[str, int]:
        """Images in each split."""
        return {name: len(split) for name, split in self.splits.items()}

    def describe(self) -> str:
        """How many images and classes each split has, how the splits came about, and what is odd about the set."""
        warnings = [f"  warning: {line}" for line in self.checked.findings(self.preprocessing.size)]
        return "\n".join([*self.checked.describe(), *warnings])

    def sample_names(self, split: str) -> list[str]:
        """What a person calls the images of `train`, `val` or `test`, in the order of a batch's `index`."""
        return [sample.name for sample in self.splits[split].samples]

    def sample_paths(self, split: str) -> list[Path | None]:
        """Their files, in the same order; None for images held in memory."""
        return [s.source if isinstance(s.source, Path) else None for s in self.splits[split].samples]

    def fingerprint(self) -> str:
        """A hash of what is trained and selected on: names, targets and sizes in bytes. Another set has another one."""
        digest = blake2b(digest_size=16)
        for part in ("train", "val"):
            for sample in self.splits[part].samples:
                path = sample.source
                size = path.stat().st_size if isinstance(path, Path) and path.exists() else -1
                digest.update(repr((part, sample.name, sample.target, size)).encode())
        return digest.hexdigest()

    # Lightning's hooks

    def prepare_data(self) -> None:
        """Download what has to be downloaded, in one process of each machine."""
        if self.dataset.get("download"):
            _ = self.image_set

    def setup(self, stage: str | None = None) -> None:
        """List, check and split the images.

        Raises:
            TlxError: Files are broken and `dataset.on_bad` is `stop`; the message names them.
        """
        _ = self.splits

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning's fit loop tells the samplers by itself."""
        self._epoch = epoch
        for sampler in self._samplers:
            sampler.set_epoch(epoch)

    def train_dataloader(self) -> LateLoader:
        """Shuffled and augmented; the last incomplete batch is dropped unless it is the only one."""
        augment: str = self.dataset.get("augment", "light")
        transform = train_transform(self.preprocessing, augment, self.dataset.get("horizontal_flip", True))
        rank, world = _rank_and_world()
        sampler = EpochSampler(len(self.splits["train"]), self.seed, shuffle=True, rank=rank, world=world)
        sampler.set_epoch(self._epoch)
        self._samplers = [sampler]
        seed = None if augment == "none" else self.seed
        drop_last = len(sampler) >= self.batch_share(world)
        return self._loader(self.splits["train"], transform, sampler, seed, drop_last)

    def val_dataloader(self) -> LateLoader | list[Any]:
        """In order, every image once; padding between processes has target -1. No loader where there are no images."""
        return self._eval_loader(self.splits["val"])

    def test_dataloader(self) -> LateLoader | list[Any]:
        """As for validation."""
        return self._eval_loader(self.splits["test"])

    def predict_loader(self, paths: Iterable[str | os.PathLike[str]]) -> LateLoader:
        """Files, folders and patterns in the order given, target -1; `index` counts `find_images(paths)`."""
        split = Split([Sample(path, -1, str(path)) for path in find_images(paths)])
        return self._loader(split, eval_transform(self.preprocessing), EpochSampler(len(split), 0, shuffle=False))

    # Loaders

    def batch_share(self, world: int) -> int:
        """Return the images of a batch that each of `world` processes takes: the batch is the same for any number.

        Raises:
            TlxError: The batch cannot be shared out evenly.
        """
        if self.batch_size % world:
            near = max(1, round(self.batch_size / world)) * world
            raise TlxError(
                f"dataset.batch_size: expected a multiple of {world}, the number of processes, "
                f"got {self.batch_size}; for example dataset.batch_size={near}"
            )
        return self.batch_size // world

    def _eval_loader(self, split: Split) -> LateLoader | list[Any]:
        if not split:
            return []
        rank, world = _rank_and_world()
        sampler = EpochSampler(len(split), self.seed, shuffle=False, rank=rank, world=world)
        return self._loader(split, eval_transform(self.preprocessing), sampler)

    def _loader(
        self,
        split: Split,
        transform: nn.Module,
        sampler: EpochSampler,
        seed: int | None = None,
        drop_last: bool = False,
    ) -> LateLoader:
        workers = self._num_workers(split, augmented=seed is not None)
        return LateLoader(
            SplitDataset(split, transform, self.channels, seed),
            batch_size=self.batch_share(sampler.world),
            sampler=sampler,
            drop_last=drop_last,
            collate_fn=as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),  # or it would draw from the generator of the training
        )

    def _num_workers(self, split: Split, augmented: bool) -> int:
        asked = self.dataset.get("num_workers", "auto")
        if asked != "auto":
            return int(asked)
        if split.in_memory and not (augmented and len(split) >= WORTH_WORKERS):
            return 0
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(4, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def _rank_and_world() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
