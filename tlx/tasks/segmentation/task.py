"""Semantic segmentation: a decoder and a head on the maps of a backbone, a class for each pixel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.backbones.backbone import Backbone
from tlx.data.batches.dataset import real
from tlx.data.datamodule import ImageDataModule
from tlx.measures.sections import Sections
from tlx.strategies.monitor import Monitor
from tlx.tasks.base import Figures
from tlx.tasks.dense.task import DenseTask
from tlx.tasks.dense.tiling import class_map
from tlx.tasks.dense.whole_batch import over_processes
from tlx.tasks.learner import Learning
from tlx.tasks.network import Batch
from tlx.tasks.predictions import Predictions
from tlx.tasks.recorded import Recorded
from tlx.tasks.segmentation.background import background_of
from tlx.tasks.segmentation.boundary import boundary_counts
from tlx.tasks.segmentation.confusion import confusion, confusion_by_image
from tlx.tasks.segmentation.decoders import make_decoder
from tlx.tasks.segmentation.figures import SplitFigures
from tlx.tasks.segmentation.head import make_head
from tlx.tasks.segmentation.kind import SegmentationKind
from tlx.tasks.segmentation.loss_terms import loss_terms
from tlx.tasks.segmentation.losses import segmentation_loss
from tlx.tasks.segmentation.outputs import badness, rows_of
from tlx.tasks.segmentation.weights import pixel_weights
from tlx.tasks.segmentation.worst import picture

_APART = 8  # pixels between those whose entropy is measured
_TILES_AT_ONCE = 16  # of an image that is larger than a tile
_ON_A_CPU = 2  # there more tiles at once take longer, and memory
_SCORES_AT_ONCE = 2**24  # numbers; several copies of them are in memory together


class Segmentation(DenseTask):
    """Semantic segmentation.

    Trains on crops. Validation during training uses tiles of the same size; the test and predictions use whole images
    of any size, in overlapping tiles. Logs `train/loss`, and for val and test `miou` (mean IoU over classes, from one
    confusion matrix of all pixels), `miou_foreground` if a class is called background, `dice` and `accuracy`, for val
    `loss`, and for test `boundary_iou`; all but the loss are fractions in [0, 1].

    Args:
        backbone: Layer groups; those without maps are left out. If it comes from the run of a segmenter, its decoder
            and the rows of its head are taken over, the latter by class name.
        class_names: Class names in the order of the outputs, the background included.
        decoder: `unet`, `fpn` or `deeplabv3plus`.
        loss: A sum of terms, such as `ce+dice`, see `loss_terms`.
        monitor: Logged value that selects the best checkpoint, unless `learning` names another.
        mode: `max` or `min` of it.
        name: Name of the task.
        class_weights: Weight of each class in the cross-entropy and the focal loss: by class name, others 1; or
            `balanced`, see `pixel_weights`.
        learning: What it needs for training; None: it only predicts.
    """

    kind = SegmentationKind()

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        decoder: str = "fpn",
        loss: str = "ce+dice",
        monitor: str = "val/miou",
        mode: str = "max",
        name: str = "segmentation",
        class_weights: str | Mapping[str, float] | None = None,
        learning: Learning | None = None,
    ) -> None:
        super().__init__(backbone, class_names, learning)
        self.terms = loss_terms(loss)
        self.monitor = (learning and learning.monitor) or Monitor(monitor, mode)
        counts = learning.class_counts if learning else None
        self.register_buffer("class_weights", pixel_weights(class_weights, self.class_names, counts))
        self.class_weights: Tensor | None
        self.decoder, self.shaped_by = make_decoder(decoder, self.backbone), {"decoder": decoder}
        self.reads = self.decoder.reads
        if not self.backbone.fixed_size and self.decoder.pyramid is None:
            self.multiple = max(self.multiple, self.decoder.levels[-1].stride)
        self.head = make_head(self.decoder, len(self.class_names))
        self.take_over()
        self.measured = SplitFigures(len(self.class_names), background_of(self.class_names))
        self.adapt()

    def features(self, image: Tensor) -> Tensor:
        """Return the decoder's features (B, D, h, w) of images, uint8 (B, C, H, W)."""
        return self.features_of({"image": image})

    def features_of(self, batch: Batch) -> Tensor:
        """Return the decoder's features (B, D, h, w) of a batch, from its images or from the output of a prefix."""
        features: Tensor = self.decoder(*self.maps_of(batch))
        return features

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores (B, K, H, W) for images, uint8 (B, C, H, W) in [0, 255]."""
        scores: Tensor = self.head(self.features(image))
        return self.fitted(scores, (image.shape[-2], image.shape[-1]))

    def fitted(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Return class scores of padded images (B, K, …) for the images' own size: (B, K, H, W)."""
        padded = self.padded(size)
        if scores.shape[-2:] != padded:  # the decoder worked on a grid that the image was stretched to
            scores = F.interpolate(scores, size=padded, mode="bilinear", align_corners=False)
        return scores[..., : size[0], : size[1]]

    def loss_of(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the loss, a scalar, of the head's output for padded images (B, K, …)."""
        target: Tensor = batch["target"]
        scores = self.fitted(output, (target.shape[-2], target.shape[-1]))
        return segmentation_loss(
            scores, target, self.terms, self.class_weights, lambda sums: over_processes(sums, self)
        )

    def measure(self, split: str, output: Tensor, batch: Batch) -> Mapping[str, Tensor] | None:
        """Add a batch of `val` or `target` with the output of the head (B, K, …), which covers the padding as well."""
        kept = real(batch)
        if split == "target":  # neighbouring pixels say the same
            self.measured.add_unlabelled(output[kept, :, ::_APART, ::_APART].float().movedim(1, -1).flatten(0, 2))
            return None
        target = batch["target"][kept]
        scores = self.fitted(output[kept], (target.shape[-2], target.shape[-1]))
        loss = segmentation_loss(scores, target, self.terms, self.class_weights) if len(target) else None
        self.measured.add(split, confusion(scores.argmax(1), target, len(self.class_names)), loss, len(target))
        return None

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Measure whole images of the test split.

        Returns:
            `output`: pixel counts (B, K + 2, K) by true and predicted class, and near contours. `picture`: each image,
            reduced, with its truth and prediction, uint8 (B, C + 2, h, w).
        """
        classes, image, target = len(self.class_names), batch["image"], batch["target"].cpu()
        predicted = self.class_maps(image)
        pixels = confusion_by_image(predicted, target, classes)
        near = torch.stack([boundary_counts(*pair, classes) for pair in zip(predicted, target, strict=True)])
        kept = real(batch).cpu()
        self.measured.add("test", pixels[kept].to(image.device), boundary=near[kept].to(image.device))
        shown = torch.stack([picture(*each) for each in zip(image, target, predicted, strict=True)])
        return {"output": torch.cat([pixels, near], dim=1), "picture": shown}

    def class_maps(self, image: Tensor) -> Tensor:
        """Return the class of each pixel (B, H, W), uint8 on the CPU, for whole images, uint8 (B, C, H, W)."""
        tile = self.backbone.preprocessing.height_width
        scores = len(self.class_names) * math.prod(tile)
        most = _ON_A_CPU if image.device.type == "cpu" else _TILES_AT_ONCE
        at_once = min(max(1, _SCORES_AT_ONCE // scores), most)
        found = [class_map(self, one, tile, at_once) for one in image]
        return found[0][None] if len(found) == 1 else torch.stack(found)  # without a copy: it may be large

    def figures(self, split: str) -> Figures:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added."""
        return self.measured.take(split)

    def record(self, output: Tensor, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return the pixel counts of test images, on the CPU; `output` (B, K + 2, K) comes from `test_step`."""
        classes = len(self.class_names)
        return rows_of(output[:, :classes], output[:, classes:])

    def badness(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return 1 - mean IoU of each image (B,), NaN where every pixel is right."""
        return badness(rows)

    def review(self, data: ImageDataModule, seen: Recorded | None) -> Sections:
        """Return the review of the test split; `seen` holds its recorded rows, None if there was no image."""
        from tlx.tasks.segmentation.review import review_sections  # training does not need these statistics

        return review_sections(data, seen, self.kind.compared)

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Return the class of each pixel (B, H, W), uint8, of whole images."""
        return self.class_maps(batch["image"])

    def predicted(self, output: Tensor) -> Tensor:
        """Return the class of each pixel (B, H, W), uint8, for class scores (B, K, H, W)."""
        return output.argmax(1).to(torch.uint8)

    def predictions(self, paths: Sequence[Path], predicted: Iterable[Tensor]) -> Predictions:
        """Return masks for image files; `predicted` yields classes of pixels (B, H, W) in the order of the files."""
        from tlx.tasks.segmentation.predictions import MaskPredictions

        masks = (mask.numpy() for batch in predicted for mask in batch)
        return MaskPredictions.of(list(paths), list(self.class_names), masks, self.window)

    def described(self) -> dict[str, Any]:
        """Return the task's entries of model.json, as plain values."""
        return {**super().described(), "reads_maps_of": list(self.reads)}
