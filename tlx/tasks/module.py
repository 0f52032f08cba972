"""The Lightning module of a task."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.backbones.report import UpperSource
from tlx.data.reading.windows import Window
from tlx.strategies.selectors import HEAD
from tlx.tasks.learner import Learner, Learning
from tlx.tasks.network import Batch
from tlx.tasks.taking_over import take_over


class Task(Learner):
    """A backbone and a head that train together; a subclass makes the head and fulfils the contract (`base.py`).

    Args:
        backbone: Ordered layer groups, see `Backbone`.
        class_names: Names in the order of the outputs.
        learning: What it needs for training; None: it only predicts.
    """

    whole_images = False  # whether images are tested and predicted whole, at their own size, one a batch
    window: Window | None = None  # in which it sees files of more than 8 bits, for pictures of its predictions
    shaped_by: Mapping[str, str] = {}  # keys of the task that decide the layers of its upper groups, with their values

    def __init__(self, backbone: Backbone, class_names: Sequence[str], learning: Learning | None = None) -> None:
        super().__init__(backbone, learning)
        self.class_names = list(class_names)
        self.head_report, self.carried_classes = "", list[str]()

    @property
    def upper_groups(self) -> tuple[str, ...]:
        """The layer groups above the backbone, bottom to top."""
        return self.kind.upper_groups

    def upper_modules(self, group: str) -> list[nn.Module]:
        """Return the modules of one of these groups; the trained modules of an adaptation belong to the head."""
        return [self.head, *self.adapting_modules()] if group == HEAD else [getattr(self, group)]

    def take_over(self) -> None:
        """Take over the upper groups of the run that the backbone comes from, if there is one and they fit.

        A task calls it when its upper groups exist.
        """
        if self.backbone.upper_source is not None:
            weights = itertools.chain(self.named_parameters(), self.named_buffers())
            own = {name: value for name, value in weights if name.partition(".")[0] in self.upper_groups}
            source = self.upper_weights(self.backbone.upper_source)
            self.carried_classes, self.head_report = take_over(self.kind, own, self.class_names, source, self.shaped_by)

    def upper_weights(self, source: UpperSource) -> UpperSource:
        """Return a run's upper groups with the names that their weights have in this network."""
        return source

    def forward(self, image: Tensor) -> Tensor:
        """Return the head's output for images, uint8 (B, C, H, W) in [0, 255]: (B, num_classes) for classification."""
        result: Tensor = self.head(self.features(image))
        return result

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Mapping[str, Tensor] | None:
        """Measure a batch of the validation split, or, from the second loader, of the target domain: tensors (B, …)."""
        return self.measure("target" if dataloader_idx else "val", self.head(self.features_of(batch)), batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Measure a batch of the test split; return its `output` and the `features` (B, F) that the head read.

        `tlx.callbacks.test_recorder` says what else a task may return.
        """
        features = self.features_of(batch)
        output = self.head(features)
        self.measure("test", output, batch)
        return {"output": output, "features": features}

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Return the part of the output that predictions are made from, (B, …)."""
        return self.predicted(self(batch["image"]))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation split and, if there is one, of the target domain."""
        self._log_figures("val")
        self._log_figures("target")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test split."""
        self._log_figures("test")

    def _log_figures(self, split: str) -> None:
        self.log_dict({f"{split}/{name}": value for name, value in self.figures(split).items()})

    def described(self) -> dict[str, Any]:
        """Return the task's entries of model.json, as plain values."""
        names, width = self.backbone.group_names, self.backbone.num_features
        found = {"group_names": names, "num_features": width, "class_names": self.class_names, "kind": self.kind.name}
        return {**found, "shaped_by": dict(self.shaped_by)} if self.shaped_by else found
