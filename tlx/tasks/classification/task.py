"""Image classification, one class per image: linear head, cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlx.adaptation.base import widened
from tlx.backbones.backbone import Backbone
from tlx.backbones.report import UpperSource
from tlx.backbones.tiles import Tiles
from tlx.base.errors import TlxError
from tlx.data.batches.dataset import real
from tlx.data.datamodule import ImageDataModule
from tlx.measures.sections import Sections
from tlx.strategies.monitor import Monitor
from tlx.tasks.base import Figures
from tlx.tasks.classification.class_counts import IGNORED
from tlx.tasks.classification.figures import AUROC, SplitFigures
from tlx.tasks.classification.head import last_layer
from tlx.tasks.classification.kind import ClassificationKind
from tlx.tasks.classification.outputs import TestOutputs, badness, rows_of
from tlx.tasks.classification.predictions import Predictions
from tlx.tasks.classification.weights import initial_weights
from tlx.tasks.learner import Learning
from tlx.tasks.module import Task
from tlx.tasks.network import Batch
from tlx.tasks.recorded import Recorded


class Classification(Task):
    """Image classification.

    Logs `train/loss` and `train/accuracy`, and for val and test `loss`, `accuracy`, `balanced_accuracy` (mean recall
    over classes) and `f1` (macro); all but the losses are fractions in [0, 1]. If `val/auroc` (one class against the
    rest, mean over classes) is the monitor, it is logged, too; it needs the probabilities of the whole split. With a
    target domain also logs `target/entropy` and `target/infomax`.

    Args:
        backbone: Layer groups; if it comes from a run, rows of that run's head are taken over by class name.
        class_names: Class names in the order of the outputs.
        num_classes: Expected number of classes, only checked; None: not checked.
        label_smoothing: Fraction of the label's probability that is spread over all classes.
        dropout: Dropout probability before the last layer.
        tile_size: Side in pixels of the tiles that images are cut into, see `tlx.backbones.tiles`; None: no tiles.
        tile_overlap: Minimum overlap of neighbouring tiles, as a fraction of a tile's side.
        tile_pool: `mean` or `max` of the features of an image's tiles.
        monitor: Logged value that selects the best checkpoint, unless `learning` names another.
        mode: `max` or `min` of it.
        name: Name of the task.
        class_weights: Weight of each class in the loss of training, validation and test: by class name, others 1; or
            `balanced`, n / (K * n_k). Every checkpoint stores them, scaled (`weights.py`).
        learning: What it needs for training; None: it only predicts.
        head: Another head, from features (B, F) to class scores (B, K); None: a new linear layer.
        reads: The layer groups whose concatenated pooled outputs are its features; (): the backbone's own features.

    Raises:
        TlxError: `num_classes` or `class_weights` contradict the class names.
    """

    kind = ClassificationKind()

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        num_classes: int | None = None,
        label_smoothing: float = 0.0,
        dropout: float = 0.0,
        tile_size: int | None = None,
        tile_overlap: float = 0.0,
        tile_pool: Literal["mean", "max"] = "mean",
        monitor: str = "val/loss",
        mode: str = "min",
        name: str = "classification",
        class_weights: str | Mapping[str, float] | None = None,
        learning: Learning | None = None,
        head: nn.Module | None = None,
        reads: tuple[str, ...] = (),
    ) -> None:
        super().__init__(backbone, class_names, learning)
        if num_classes is not None and num_classes != len(class_names):
            raise TlxError(f"task.num_classes: expected {len(class_names)}, the data set's classes, got {num_classes}")
        backbone.tiles = None if tile_size is None else Tiles(tile_size, tile_overlap, tile_pool)
        self.label_smoothing, self.reads = label_smoothing, reads
        self.monitor = (learning and learning.monitor) or Monitor(monitor, mode)
        # None is not stored in a checkpoint, so checkpoints without class weights keep the format of earlier versions.
        counts = learning.class_counts if learning else None
        self.register_buffer("class_weights", initial_weights(class_weights, self.class_names, counts))
        self.class_weights: Tensor | None
        if head is None:
            self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(backbone.num_features, len(self.class_names)))
            self.take_over()
        else:
            self.head = head
        self.measured = SplitFigures(len(self.class_names), ranked=self.monitor.name == AUROC)
        self.adapt()

    def upper_weights(self, source: UpperSource) -> UpperSource:
        """Return the last linear layer of a run's head."""
        return last_layer(source)

    def loss_of(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of class scores (B, K), weighted where classes have weights."""
        target = batch["target"]
        if self.class_weights is None:
            return F.cross_entropy(output, target, label_smoothing=self.label_smoothing)
        # These weights apply to images. Torch's own `weight` applies to each class of a smoothed label and divides by
        # the sum of the batch's weights, see `scaled`.
        each = F.cross_entropy(widened(output), target, label_smoothing=self.label_smoothing, reduction="none")
        return (self.class_weights.to(each.dtype)[target] * each).mean()

    def hits(self, output: Tensor, batch: Batch) -> Tensor:
        """Return how many images of a batch are predicted right, a scalar, from class scores (B, K)."""
        right: Tensor = output.detach().argmax(dim=1) == batch["target"]
        return right.sum()

    def measure(self, split: str, output: Tensor, batch: Batch) -> Mapping[str, Tensor] | None:
        """Add a batch of class scores (B, K) to the metrics of a split.

        Returns:
            For the target domain, the `predicted` classes (B,).
        """
        scores = output.float()
        if split == "target":
            self.measured.add_unlabelled(scores, real(batch))
            return {"predicted": scores.argmax(1)}
        target = batch["target"].masked_fill(~real(batch), IGNORED)
        weights = None if self.class_weights is None else self.class_weights.float()
        self.measured.add(split, scores, target, weights)
        return None

    def agreement(self, measured: Mapping[str, Tensor], labels: Tensor) -> Tensor:
        """Return 1 for images whose predicted class is the label, 0 for others (B,)."""
        return (measured["predicted"] == labels).float()

    def figures(self, split: str) -> Figures:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added."""
        return self.measured.take(split)

    def record(self, output: Tensor, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return true classes, predicted classes and probabilities for class scores (B, K), on the CPU."""
        return rows_of(output, batch["target"], images)

    def badness(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the probability of the predicted class (B,), NaN where it is the right one."""
        return badness(rows)

    def review(self, data: ImageDataModule, seen: Recorded | None) -> Sections:
        """Return the review of the test split; `seen` holds its recorded rows, None if there was no image."""
        from tlx.tasks.classification.review import review_sections  # training does not need these statistics

        return review_sections(data, None if seen is None else TestOutputs.of(seen))

    def predicted(self, output: Tensor) -> Tensor:
        """Return class probabilities (B, K)."""
        return output.float().softmax(dim=1)

    def predictions(self, paths: Sequence[Path], predicted: Iterable[Tensor]) -> Predictions:
        """Return class names and probabilities for image files; `predicted` yields probabilities (B, K)."""
        return Predictions(list(paths), list(self.class_names), torch.cat(list(predicted)), self.window)
