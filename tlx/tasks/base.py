"""The contract of a task, in two halves: `TaskKind` (`kind.py`), which needs no torch, and `TaskContract`, a network.

Each task has its own folder with its head, loss, metrics, review and predictions. No other package knows what its
outputs mean. A task is a subclass of `tlx.tasks.module.Task`, which calls the contract from Lightning's steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from tlx.data.datamodule import ImageDataModule
from tlx.measures.sections import Sections
from tlx.tasks.kind import TaskKind
from tlx.tasks.network import Batch
from tlx.tasks.predictions import Predictions
from tlx.tasks.recorded import Recorded

Figures = dict[str, Tensor]  # scalars by name
Output = Any  # what the head returns: a tensor (B, …), or several of them


class TaskContract(ABC):
    """The members that a task defines.

    Attributes:
        kind: The half without torch.
        head: Module from the features of images to the output (B, …).
        class_names: Class names in the order of the outputs.
        head_report: Description of what the head took over from a run.
        carried_classes: Classes whose weights of the head were taken over.
    """

    kind: ClassVar[TaskKind]
    head: nn.Module
    class_names: list[str]
    head_report: str
    carried_classes: list[str]

    @abstractmethod
    def loss_of(self, output: Output, batch: Batch) -> Tensor:
        """Return the mean loss, a scalar, of a batch for which the head computed `output`."""

    @abstractmethod
    def measure(self, split: str, output: Output, batch: Batch) -> Mapping[str, Tensor] | None:
        """Add a batch with the head's `output` (B, …) to the metrics of the split `val`, `test` or `target`.

        Returns:
            For a batch of `target`, which has no labels: tensors (B, …) for callbacks.
        """

    def hits(self, output: Output, batch: Batch) -> Tensor | None:
        """Return how many images of a training batch are predicted right, a scalar; None: the task does not count."""
        return None

    def agreement(self, measured: Mapping[str, Tensor], labels: Any) -> Tensor:
        """Return how far predictions for images of the target domain agree with their labels: (B,), in [0, 1].

        Only for a kind with an `oracle`.

        Args:
            measured: What `measure` returned for the batch.
            labels: The labels of its images; those of images without a label do not count.
        """
        raise NotImplementedError(f"{type(self).__name__} does not compare predictions with hidden labels")

    @abstractmethod
    def figures(self, split: str) -> Figures:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added."""

    @abstractmethod
    def record(self, output: Tensor, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return the rows of a test batch that the review needs, by name, each (B, …); `images` is the split's size."""

    @abstractmethod
    def badness(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return how wrong the output for each image is (B,), NaN if it is right; the review shows the worst."""

    @abstractmethod
    def review(self, data: ImageDataModule, seen: Recorded | None) -> Sections:
        """Return the review of the test split; `seen` holds its recorded rows, None if there was no image."""

    @abstractmethod
    def predicted(self, output: Output) -> Tensor:
        """Return the part of the output that predictions are made from, (B, …)."""

    @abstractmethod
    def predictions(self, paths: Sequence[Path], predicted: Iterable[Tensor]) -> Predictions:
        """Return the task's predictions for image files; `predicted` yields results of `predict_step`, each (B, …)."""
