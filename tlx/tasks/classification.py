"""One label an image: linear head, cross-entropy, accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tlx.adaptation.base import widened
from tlx.adaptation.target_entropy import TargetEntropy
from tlx.backbones.backbone import Backbone
from tlx.backbones.tiles import Tiles
from tlx.base.errors import TlxError
from tlx.tasks.base import Batch, Task
from tlx.tasks.class_counts import ClassCounts
from tlx.tasks.mean_auroc import MeanAuroc
from tlx.tasks.weights import BALANCED, balanced, by_name, scaled

AUROC = "val/auroc"


class Classification(Task):
    """Image classification.

    Logs `train/loss`, and for val and test `loss`, `accuracy`, `balanced_accuracy` (mean recall over classes) and `f1`
    (macro), all fractions in [0, 1] but the loss. Where it is the monitor, also `val/auroc` (one class against the
    rest, mean over classes), for which the probabilities of the split are kept. With a target domain also
    `target/entropy` and `target/infomax`.

    Args:
        backbone: Layer groups; where it comes from a run, the rows of its head are taken over by class name.
        class_names: Names in the order of the outputs.
        num_classes: A check only; None: as many as there are names.
        label_smoothing: Fraction of the target spread over all classes.
        dropout: Probability before the last layer.
        tile_size: Side in pixels of the tiles that images are cut into, see `tlx.backbones.tiles`; None: they are not.
        tile_overlap: Least part of a tile's side that the next one shows as well.
        tile_pool: `mean` or `max` of the features of an image's tiles.
        monitor: Logged value that selects the best checkpoint.
        mode: `max` or `min` of it.
        name: Name of the task.
        class_weights: How much the images of a class count in the loss of training, validation and test: by class name,
            others 1; or `balanced`, n / (K * n_k). They are part of every checkpoint, scaled (`tlx.tasks.weights`).

    Raises:
        TlxError: `num_classes` or `class_weights` contradict the class names.
    """

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
    ) -> None:
        super().__init__(backbone)
        if num_classes is not None and num_classes != len(class_names):
            raise TlxError(f"task.num_classes: expected {len(class_names)}, the data set's classes, got {num_classes}")
        self.class_names = list(class_names)
        backbone.tiles = None if tile_size is None else Tiles(tile_size, tile_overlap, tile_pool)
        self.label_smoothing = label_smoothing
        named = class_weights if isinstance(class_weights, Mapping) else {}
        self._told_weights = BALANCED if class_weights == BALANCED else by_name(named, self.class_names)
        # None is no part of a checkpoint: those of a network without weights are as they were before there were any.
        weights = None if class_weights is None else torch.ones(len(self.class_names))
        self.register_buffer("class_weights", weights)
        self.class_weights: Tensor | None
        self.monitor, self.mode = monitor, mode
        linear = nn.Linear(backbone.num_features, len(self.class_names))
        self.head = nn.Sequential(nn.Dropout(dropout), linear)
        self.head_report = self._match_head(linear)
        self.val_tally, self.test_tally = ClassCounts(len(self.class_names)), ClassCounts(len(self.class_names))
        self.val_ranking = MeanAuroc()
        self.certainty = TargetEntropy(len(self.class_names))

    def set_class_counts(self, counts: Sequence[float]) -> None:
        """Set the weights of the classes by the number of their training images."""
        if self.class_weights is not None:
            told = balanced(counts) if isinstance(self._told_weights, str) else self._told_weights
            self.class_weights.copy_(scaled(told, counts))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return a scalar: the mean cross-entropy of a batch, and what an adaptation adds to it."""
        if self.adaptation is None:
            loss = self._loss(self.head(self.features_of(batch)), batch["target"])
        else:
            progress = self.adaptation.progress(self.done)
            source, other = self.adaptation.both(self, batch, idle=progress is None)
            # Before the adaptation begins it counts nothing, but what it trains stays in the graph, as DDP wants it.
            weight = 0.0 if progress is None else self.adaptation.weight
            penalty = self.adaptation.penalty(source, other, progress or 0.0)
            loss = self._loss(source.logits, batch["target"]) + weight * penalty
        self.log_loss(loss, images=len(batch["target"]))
        return loss

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.class_weights is None:
            return F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
        # A weight is one of images. Torch's own `weight` weighs the parts of a smoothed target by their classes, and
        # divides by the sum of the batch's weights, see `scaled`.
        each = F.cross_entropy(widened(logits), target, label_smoothing=self.label_smoothing, reduction="none")
        return (self.class_weights.to(each.dtype)[target] * each).mean()

    @property
    def _float_weights(self) -> Tensor | None:
        return None if self.class_weights is None else self.class_weights.float()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor] | None:
        """Measure a batch of the validation split; or, of the second loader, what needs no labels of the target domain.

        Returns:
            For the target domain `predicted` classes (B,) and the `index` (B,) of their images.
        """
        logits = self.head(self.features_of(batch)).float()
        if dataloader_idx == 0:
            self.val_tally.update(logits, batch["target"], self._float_weights)
            if self.monitor == AUROC:
                self.val_ranking.update(logits, batch["target"])
            return None
        self.certainty.update(logits, batch["index"])
        return {"predicted": logits.argmax(1), "index": batch["index"]}

    def on_validation_epoch_end(self) -> None:
        """Log the figures of the validation split, and of the target domain where there is one."""
        self._log_figures(self.val_tally, "val/")
        self._log_figures(self.val_ranking, "val/")
        self._log_figures(self.certainty, "target/")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Measure a batch of the test split.

        Returns:
            `logits` (B, num_classes) and the `features` (B, num_features) that they were made from.
        """
        features = self.features_of(batch)
        logits = self.head(features)
        self.test_tally.update(logits.float(), batch["target"], self._float_weights)
        return {"logits": logits, "features": features}

    def on_test_epoch_end(self) -> None:
        """Log the figures of the test split."""
        self._log_figures(self.test_tally, "test/")

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Return class probabilities (B, num_classes)."""
        return self(batch["image"]).float().softmax(dim=1)

    def _log_figures(self, tally: ClassCounts | MeanAuroc | TargetEntropy, prefix: str) -> None:
        if tally.update_called:  # a split may be empty
            figures = {prefix + name: value for name, value in tally.compute().items()}
            if tally is self.val_ranking and not figures:  # else nothing would select, without a word
                raise TlxError(
                    f"task.monitor: expected validation images of two classes or more for {AUROC}, got images of one; "
                    "task.monitor=val/loss task.mode=min"
                )
            self.log_dict(figures)
        tally.reset()

    def _match_head(self, linear: nn.Linear) -> str:
        source = self.backbone.head_source
        if source is None:
            return ""
        shared = [name for name in self.class_names if name in source.class_names]
        if source.weight.shape[1] != linear.in_features:
            shared = []
        with torch.no_grad():
            for name in shared:
                row, old = self.class_names.index(name), source.class_names.index(name)
                linear.weight[row] = source.weight[old].to(linear.weight.dtype)
                linear.bias[row] = source.bias[old].to(linear.bias.dtype)
        self.carried_classes = shared
        fresh = [name for name in self.class_names if name not in shared]
        new = ", ".join(fresh) or "none"
        return f"head: {len(shared)} of {len(self.class_names)} classes carried over by name; new: {new}"
