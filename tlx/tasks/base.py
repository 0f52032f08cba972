"""What a task is, in two halves: `TaskKind` (`kind.py`), which needs no torch, and `TaskContract`, a network's part.

A task stands in a folder of its own, with its head, loss, figures, review and predictions. No other room knows what its
outputs mean. It is a subclass of `tlx.tasks.module.Task`, which keeps the contract in Lightning's steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from tlx.data.datamodule import ImageDataModule
from tlx.measures.sections import Sections
from tlx.tasks.kind import TaskKind
from tlx.tasks.network import Batch
from tlx.tasks.predictions import Predictions
from tlx.tasks.recorded import Recorded

Figures = dict[str, Tensor]  # scalars by name


class TaskContract(ABC):
    """What a task defines.

    Attributes:
        kind: The half without torch.
        head: From the features of images to the output, (B, …).
        class_names: Names in the order of the outputs.
        head_report: What of the head was carried over from a run, in words.
        carried_classes: The classes whose part of the head that was.
    """

    kind: ClassVar[TaskKind]
    head: nn.Module
    class_names: list[str]
    head_report: str
    carried_classes: list[str]

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
