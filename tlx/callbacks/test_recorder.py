"""Record, during the one pass over the test split, everything that the review needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional as F

from tlx.data.batches.dataset import real
from tlx.tasks.module import Task
from tlx.tasks.recorded import Recorded

WORST_AT_MOST = 20  # images that are kept at full size
EMBEDDED_AT_MOST = 2_000  # images whose features are kept
FEATURES_AT_MOST = 1_000_000  # numbers in these features together
THUMBNAIL = 48  # pixels
_EMBEDDED = ("embedded", "features", "thumbnails")  # rows of the images whose features are kept
_SEED = 0  # fixed, so that the runs of a sweep show the same images


@dataclass
class _Gathered:
    """Recorded rows of the batches, in the order of the batches."""

    rows: dict[str, list[Tensor]] = field(default_factory=dict)
    # (-badness, index, image); the image is None if the batch held cached features instead
    worst: list[tuple[float, int, Tensor | None]] = field(default_factory=list)

    def add(self, **rows: Tensor) -> None:
        for name, tensor in rows.items():
            self.rows.setdefault(name, []).append(tensor.detach().cpu())

    def keep_worst(self) -> None:
        self.worst = sorted(self.worst, key=lambda entry: entry[:2])[:WORST_AT_MOST]


class TestRecorder(pl.Callback):
    """Collects outputs, features and images from the batches and from `test_step`: no image passes the network twice.

    `test_step` returns `output` (B, …); `features` (B, F), if the review embeds images; and `picture` (B, …), uint8, if
    the pictures of the worst images are not those of the batch.

    After the test, `seen` holds the result in process 0; it is None if there was no image.

    Args:
        images: Number of images in the test split, from which the embedded ones are drawn.
        read: Returns the images at given indices of the split, for batches without images; None: then no pictures are
            kept.
    """

    __test__ = False  # not for pytest

    def __init__(self, images: int, read: Callable[[Tensor], Tensor] | None = None) -> None:
        self.images, self.read = images, read
        self.seen: Recorded | None = None
        self._gathered = _Gathered()
        self._chosen: Tensor | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Discard the results of an earlier test."""
        self.seen, self._gathered, self._chosen = None, _Gathered(), None

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Record a batch without its padding images."""
        assert isinstance(pl_module, Task)
        kept = real(batch)
        index = batch["index"][kept].cpu()
        images = outputs.get("picture", batch.get("image"))
        images = None if images is None else images[kept.to(images.device)]
        output = outputs["output"]
        output = output[kept.to(output.device)]
        rows = pl_module.record(output, {**batch, "target": batch["target"][kept]}, self.images)
        self._gathered.add(index=index, **rows)
        if "features" in outputs:
            self._embed(outputs["features"][kept], images, index)
        bad = [-float(value) for value in pl_module.badness(rows)]
        positions = [position for position, value in enumerate(bad) if not math.isnan(value)]
        for position in sorted(positions, key=lambda i: (bad[i], int(index[i])))[:WORST_AT_MOST]:
            # A view would keep the whole batch.
            image = None if images is None else images[position].to("cpu", copy=True)
            self._gathered.worst.append((bad[position], int(index[position]), image))
        self._gathered.keep_worst()

    def _embed(self, features: Tensor, images: Tensor | None, index: Tensor) -> None:
        chosen = self._choice(features.shape[1])[index]
        self._gathered.add(
            embedded=index[chosen],
            features=features[chosen.to(features.device)].float(),
            thumbnails=self._thumbnails(images, index, chosen),
        )

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Combine the results of all processes."""
        parts = [self._gathered]
        if trainer.world_size > 1:
            parts = [_Gathered() for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(parts, self._gathered)
        if trainer.is_global_zero and any(len(rows) for part in parts for rows in part.rows.get("index", [])):
            self.seen = _combined(parts, self.read)
        self._gathered = _Gathered()

    def _thumbnails(self, images: Tensor | None, index: Tensor, chosen: Tensor) -> Tensor:
        if images is not None:
            return thumbnails(images[chosen.to(images.device)])
        if self.read is None or not chosen.any():
            return torch.empty(0, dtype=torch.uint8)
        return thumbnails(self.read(index[chosen]))

    def _choice(self, width: int) -> Tensor:
        """Return a mask (images,) of the embedded images, drawn once; their number depends on the feature width."""
        if self._chosen is None:
            most = max(1, min(self.images, EMBEDDED_AT_MOST, FEATURES_AT_MOST // max(width, 1)))
            drawn = torch.randperm(self.images, generator=torch.Generator().manual_seed(_SEED))[:most]
            self._chosen = torch.zeros(self.images, dtype=torch.bool)
            self._chosen[drawn] = True
        return self._chosen


def thumbnails(images: Tensor) -> Tensor:
    """Return uint8 images (B, C, H, W) shrunk so that the longer side has at most THUMBNAIL pixels, on the CPU."""
    longer = max(images.shape[-2:])
    if longer <= THUMBNAIL:
        return images.cpu()
    size = [max(1, round(side * THUMBNAIL / longer)) for side in images.shape[-2:]]
    if not len(images):
        return images.new_empty(0, images.shape[1], *size, device="cpu")
    shrunk = F.interpolate(images.float(), size=size, mode="bilinear", antialias=True)
    return shrunk.round().clamp(0, 255).to(torch.uint8).cpu()


def _combined(parts: list[_Gathered], read: Callable[[Tensor], Tensor] | None = None) -> Recorded:
    names = dict.fromkeys([name for part in parts for name in part.rows])
    rows = {name: torch.cat([rows for part in parts for rows in part.rows.get(name, [])]) for name in names}
    for name in _EMBEDDED:
        rows.setdefault(name, torch.empty(0, dtype=torch.long if name == "embedded" else torch.float32))
    order, embedded = rows["index"].argsort(), rows["embedded"].argsort()
    for name, tensor in rows.items():
        if len(tensor):
            rows[name] = tensor[embedded if name in _EMBEDDED else order]
    combined = _Gathered(worst=[entry for part in parts for entry in part.worst])
    combined.keep_worst()
    return Recorded(
        index=rows.pop("index"),
        **{name: rows.pop(name) for name in _EMBEDDED},
        rows=rows,
        worst=[index for _, index, _ in combined.worst],
        worst_images=_images(combined.worst, read),
    )


def _images(worst: list[tuple[float, int, Tensor | None]], read: Callable[[Tensor], Tensor] | None) -> list[Tensor]:
    found = [read(torch.tensor([i]))[0] if image is None and read else image for _, i, image in worst]
    return [image for image in found if image is not None]
