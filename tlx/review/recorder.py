"""Sees the one pass over the test split and keeps what the review is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from torch import Tensor
from torch.nn import functional as F

WRONG_AT_MOST = 20  # images that are kept whole
EMBEDDED_AT_MOST = 2_000  # images whose features are kept
FEATURES_AT_MOST = 1_000_000  # numbers in all these features
PROBABILITIES_AT_MOST = 1_000_000  # numbers; beyond, only those of the predicted and the true class are kept
THUMBNAIL = 48  # pixels
_SEED = 0  # fixed, so that the runs of a sweep show the same images


@dataclass(frozen=True)
class TestOutputs:
    """What was seen of a test split, in the order of its images. N images, M of them embedded, K classes.

    Args:
        index: Places of the images in the split (N,), ascending.
        target: True classes (N,).
        predicted: Most probable classes (N,).
        confidence: Their probabilities (N,), float32.
        true_probability: Probabilities of the true classes (N,), float32.
        probabilities: All (N, K), float32; (N, 0) where they are more than PROBABILITIES_AT_MOST.
        embedded: Places in the split (M,), ascending, of the images whose features were kept.
        features: Pooled features (M, num_features), float32.
        thumbnails: Those images as the network saw them, at most THUMBNAIL pixels a side: uint8 (M, C, h, w).
        wrong: Places in the split of the most confidently wrong images, the most confident first.
        wrong_images: Those as the network saw them, each uint8 (C, H, W).
    """

    __test__ = False  # not for pytest

    index: Tensor
    target: Tensor
    predicted: Tensor
    confidence: Tensor
    true_probability: Tensor
    probabilities: Tensor
    embedded: Tensor
    features: Tensor
    thumbnails: Tensor
    wrong: list[int]
    wrong_images: list[Tensor]

    def __len__(self) -> int:
        return len(self.index)


@dataclass
class _Gathered:
    """Lists of what the batches gave, in the order in which they came."""

    rows: dict[str, list[Tensor]] = field(default_factory=dict)
    # (-confidence, index, image); None where there was a prefix in its place
    wrong: list[tuple[float, int, Tensor | None]] = field(default_factory=list)

    def add(self, **rows: Tensor) -> None:
        for name, tensor in rows.items():
            self.rows.setdefault(name, []).append(tensor.detach().cpu())

    def keep_worst(self) -> None:
        self.wrong = sorted(self.wrong, key=lambda entry: entry[:2])[:WRONG_AT_MOST]


class TestRecorder(pl.Callback):
    """Collects predictions, features and images from what `test_step` returns: no image is read or run again.

    `outputs` is there after the test, in the first process if there are several; None where there was no image.

    Args:
        images: Images in the test split: which of them are embedded is drawn from so many.
        read: Returns the images at some places of the split, where batches hold none; None: no pictures are kept then.
    """

    __test__ = False  # not for pytest

    def __init__(self, images: int, read: Callable[[Tensor], Tensor] | None = None) -> None:
        self.images, self.read = images, read
        self.outputs: TestOutputs | None = None
        self._seen = _Gathered()
        self._chosen: Tensor | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget an earlier test."""
        self.outputs, self._seen, self._chosen = None, _Gathered(), None

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what is needed of a batch; images that only fill it up (target -1) are left out."""
        real = batch["target"] >= 0
        index, target = batch["index"][real].cpu(), batch["target"][real].cpu()
        images = batch["image"][real] if "image" in batch else None
        probabilities = outputs["output"][real].float().softmax(dim=1).cpu()
        features = outputs["features"][real]
        confidence, predicted = probabilities.max(dim=1)
        self._seen.add(
            index=index,
            target=target,
            predicted=predicted,
            confidence=confidence,
            true_probability=probabilities.gather(1, target[:, None])[:, 0],
            probabilities=self._affordable(probabilities),
        )
        chosen = self._choice(features.shape[1])[index]
        self._seen.add(
            embedded=index[chosen],
            features=features[chosen.to(features.device)].float(),
            thumbnails=self._thumbnails(images, index, chosen),
        )
        mistakes = (predicted != target).nonzero()[:, 0].tolist()
        for place in sorted(mistakes, key=lambda i: (-float(confidence[i]), int(index[i])))[:WRONG_AT_MOST]:
            # A view would keep the whole batch.
            image = None if images is None else images[place].to("cpu", copy=True)
            self._seen.wrong.append((-float(confidence[place]), int(index[place]), image))
        self._seen.keep_worst()

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put together what all processes saw."""
        parts = [self._seen]
        if trainer.world_size > 1:
            parts = [_Gathered() for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(parts, self._seen)
        if trainer.is_global_zero and any(len(rows) for part in parts for rows in part.rows.get("index", [])):
            self.outputs = _together(parts, self.read)
        self._seen = _Gathered()

    def _thumbnails(self, images: Tensor | None, index: Tensor, chosen: Tensor) -> Tensor:
        if images is not None:
            return thumbnails(images[chosen.to(images.device)])
        if self.read is None or not chosen.any():
            return torch.empty(0, dtype=torch.uint8)
        return thumbnails(self.read(index[chosen]))

    def _affordable(self, probabilities: Tensor) -> Tensor:
        fits = self.images * probabilities.shape[1] <= PROBABILITIES_AT_MOST
        return probabilities if fits else probabilities.new_empty(len(probabilities), 0)

    def _choice(self, width: int) -> Tensor:
        """Whether an image is embedded (images,): so many as features of this width are affordable, drawn once."""
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


def _together(parts: list[_Gathered], read: Callable[[Tensor], Tensor] | None = None) -> TestOutputs:
    rows = {name: torch.cat([rows for part in parts for rows in part.rows.get(name, [])]) for name in parts[0].rows}
    order, embedded = rows["index"].argsort(), rows["embedded"].argsort()
    for name, tensor in rows.items():
        if len(tensor):
            rows[name] = tensor[embedded if name in ("embedded", "features", "thumbnails") else order]
    together = _Gathered(wrong=[entry for part in parts for entry in part.wrong])
    together.keep_worst()
    return TestOutputs(
        **rows,
        wrong=[index for _, index, _ in together.wrong],
        wrong_images=_images(together.wrong, read),
    )


def _images(wrong: list[tuple[float, int, Tensor | None]], read: Callable[[Tensor], Tensor] | None) -> list[Tensor]:
    found = [read(torch.tensor([i]))[0] if image is None and read else image for _, i, image in wrong]
    return [image for image in found if image is not None]
