"""What a task is, in two halves: `TaskKind` (`kind.py`), which needs no torch, and `Task`, the network that trains.

A task stands in a folder of its own, with its head, loss, figures, review and predictions. No other room knows what its
outputs mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.data.datamodule import ImageDataModule
from tlx.measures.sections import Sections
from tlx.strategies.selectors import HEAD
from tlx.tasks.kind import TaskKind
from tlx.tasks.learner import Learner, Learning
from tlx.tasks.network import Batch
from tlx.tasks.recorded import Recorded

Figures = dict[str, Tensor]  # scalars by name


class Predictions(Protocol):
    """What a network says of image files; a task has its own form of it."""

    @property
    def paths(self) -> list[Path]:
        """The files, in the order in which they were named."""

    def __len__(self) -> int:
        """Return the number of images."""

    def to_csv(self, path: str | Path) -> None:
        """Write a table, a row an image."""


class Task(Learner, ABC):
    """A backbone and a head that train together.

    Args:
        backbone: Ordered layer groups, see `Backbone`.
        class_names: Names in the order of the outputs.
        learning: What it is given to learn; None: it only predicts.

    Attributes:
        kind: The half without torch.
        head_report: What of the head was carried over from a run, in words.
        carried_classes: The classes whose part of the head that was.
    """

    kind: ClassVar[TaskKind]

    def __init__(self, backbone: Backbone, class_names: Sequence[str], learning: Learning | None = None) -> None:
        super().__init__(backbone, learning)
        self.class_names = list(class_names)
        self.head_report, self.carried_classes = "", list[str]()

    # What a task defines

    @abstractmethod
    def loss_of(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss, a scalar, of a batch that the head made `output` of."""

    @abstractmethod
    def measure(self, split: str, output: Tensor, batch: Batch) -> Mapping[str, Tensor] | None:
        """Add a batch, of which the head made `output` (B, …), to the figures of `val`, `test` or `target`.

        Returns:
            What callbacks are given of a batch of `target`, which has no labels: tensors (B, …).
        """

    @abstractmethod
    def figures(self, split: str) -> Figures:
        """Return the figures of a split, scalars, none where no batch was added; begin to count afresh."""

    @abstractmethod
    def record(self, output: Tensor, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return what the review needs of a test batch, by name, each (B, …); `images` is the size of the split."""

    @abstractmethod
    def badness(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return how wrong each image of such rows is (B,), NaN where it is right: the worst are shown."""

    @abstractmethod
    def review(self, data: ImageDataModule, seen: Recorded | None) -> Sections:
        """Return the review of the test split; `seen` is what was recorded of it, None where there was no image."""

    @abstractmethod
    def predicted(self, output: Tensor) -> Tensor:
        """Return what is kept of the output for images that are predicted, (B, …)."""

    @abstractmethod
    def predictions(self, paths: Sequence[Path], predicted: Tensor) -> Predictions:
        """Return the predictions for image files, in the form of the task; `predicted` (N, …) as above."""

    # What all tasks share

    @property
    def upper_groups(self) -> tuple[str, ...]:
        """The layer groups above the backbone, bottom to top."""
        return self.kind.upper_groups

    def upper_modules(self, group: str) -> list[nn.Module]:
        """Return the modules of one of them; what an adaptation trains belongs to the head."""
        return [self.head, *self.adapting_modules()] if group == HEAD else [getattr(self, group)]

    def forward(self, image: Tensor) -> Tensor:
        """Return what the head makes of images, uint8 (B, C, H, W) in [0, 255]: (B, num_classes) for classification."""
        result: Tensor = self.head(self.features(image))
        return result

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar, without what an adaptation adds."""
        return self.loss_of(self.head(self.features_of(batch)), batch)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Mapping[str, Tensor] | None:
        """Measure a batch of the validation split; of the second loader, of the target domain."""
        return self.measure("target" if dataloader_idx else "val", self.head(self.features_of(batch)), batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Measure a batch of the test split; return its `output` and the `features` (B, F) that it was made from."""
        features = self.features_of(batch)
        output = self.head(features)
        self.measure("test", output, batch)
        return {"output": output, "features": features}

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Return what is kept of the output for images that are predicted, (B, …)."""
        return self.predicted(self(batch["image"]))

    def on_validation_epoch_end(self) -> None:
        """Log the figures of the validation split, and of the target domain where there is one."""
        self._log_figures("val")
        self._log_figures("target")

    def on_test_epoch_end(self) -> None:
        """Log the figures of the test split."""
        self._log_figures("test")

    def _log_figures(self, split: str) -> None:
        self.log_dict({f"{split}/{name}": value for name, value in self.figures(split).items()})

    def described(self) -> dict[str, Any]:
        """Return what model.json holds of it, as plain values."""
        names, width = self.backbone.group_names, self.backbone.num_features
        return {"group_names": names, "num_features": width, "class_names": self.class_names}
