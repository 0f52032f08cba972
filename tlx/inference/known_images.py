"""Features of some training images, stored with a run, by which `tlx predict` finds images unlike all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tlx.base.gradients import no_gradients
from tlx.callbacks.checkpoint_reading import read_checkpoint
from tlx.callbacks.checkpoints import save_tensors
from tlx.data import domains
from tlx.data.batches.dataset import RowSource
from tlx.data.datamodule import ImageDataModule
from tlx.measures.likeness import KnownImages, known_images, spread_over_classes
from tlx.records.reading import unreadable
from tlx.tasks.module import Task

FILE = "known_images.pt"
TRAINING, OTHERS = 256, 64  # images at most; of more classes four training images each
NUMBERS = 1_000_000  # in their features together: 2 MB


def seen_by(
    task: Task, data: ImageDataModule, device: torch.device, stored: Callable[[str], RowSource | None]
) -> KnownImages | None:
    """Return what images for a trained network are compared with; None without validation images, or for other tasks.

    Args:
        task: The network with its final weights; it is moved to the device.
        data: Its images. With a target domain, that domain counts, for which it is used.
        device: Where it computes.
        stored: Returns the features of a split if they are at hand: a row for each of its images; None: they are not.
    """
    training, others = (domains.TRAIN, domains.VAL) if data.domain is not None else ("train", "val")
    if not task.kind.gives_class_scores or not (data.sizes[training] and data.sizes[others]):
        return None
    task.to(device).eval()
    most = min(max(TRAINING, 4 * len(task.class_names)), max(NUMBERS // task.backbone.num_features, 1))
    with no_gradients():
        known = _features(task, data, training, most, device, stored(training))
        return known_images(known, _features(task, data, others, OTHERS, device, stored(others)))


def _features(
    task: Task, data: ImageDataModule, split: str, most: int, device: torch.device, rows: RowSource | None
) -> Tensor:
    samples = data.splits[split].once.samples
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0)).tolist()
    chosen = [order[i] for i in spread_over_classes([int(samples[i].target or 0) for i in order], most)]
    if rows is not None:
        return rows.take(torch.tensor(chosen)).float()
    batches = data.images_of(split, chosen)
    return torch.cat([task.features(batch["image"].to(device)).float().cpu() for batch in batches])


def write(path: Path, known: KnownImages) -> None:
    """Write the file."""
    save_tensors(path, {"features": known.features, "limit": torch.tensor(known.limit)})


def read(path: Path) -> KnownImages | None:
    """Return what a run stored; None if it stored nothing, as older runs.

    Raises:
        TlxError: The file is damaged.
    """
    if not path.is_file():
        return None
    held = read_checkpoint(path)
    features, limit = held.get("features"), held.get("limit")
    fits = isinstance(features, Tensor) and features.dtype == torch.half and features.ndim == 2
    if not fits or not isinstance(limit, Tensor) or limit.numel() != 1 or not math.isfinite(float(limit)):
        raise unreadable(path, "features of known images (M, D) and a limit", f"{sorted(map(str, held))}")
    assert isinstance(features, Tensor)
    if not len(features) or not bool(features.isfinite().all()):
        raise unreadable(path, "finite features of at least one image", "others")
    return KnownImages(features, float(limit))
