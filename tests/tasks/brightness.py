"""A task that is no classification: a number an image, from a neck and a head above the backbone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.data.batches.dataset import real
from tlx.data.datamodule import ImageDataModule
from tlx.measures.sections import Sections, Table, TableGroup
from tlx.tasks.base import Figures
from tlx.tasks.catalog import OwnKind
from tlx.tasks.learner import Learning
from tlx.tasks.module import Task
from tlx.tasks.network import Batch
from tlx.tasks.recorded import Recorded


class BrightnessKind(OwnKind):
    """One number an image."""

    upper_groups = ("neck", "head")
    headline = "test/mae"


@dataclass(frozen=True)
class Numbers:
    """A number an image."""

    paths: list[Path]
    numbers: list[float]

    def __len__(self) -> int:
        return len(self.paths)

    def summary(self) -> list[str]:
        """Return nothing."""
        return []

    def save(self, path: str | Path) -> None:
        """Write the table."""
        self.to_csv(path)

    def to_csv(self, path: str | Path) -> None:
        """Write `image,number`."""
        rows = [f"{image},{number:.3f}\n" for image, number in zip(self.paths, self.numbers, strict=True)]
        Path(path).write_text("image,number\n" + "".join(rows))


class Brightness(Task):
    """The label of an image as a number, learned by least squares."""

    kind = BrightnessKind()

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        learning: Learning | None = None,
        monitor: str = "val/mae",
        mode: str = "min",
        name: str = "brightness",
    ) -> None:
        super().__init__(backbone, class_names, learning)
        self.neck, self.head = nn.Linear(backbone.num_features, 4), nn.Linear(4, 1)
        self.errors: dict[str, list[Tensor]] = {"val": [], "test": [], "target": []}
        self.take_over()
        self.adapt()

    def features_of(self, batch: Batch) -> Tensor:
        """Return what the neck makes of the pooled features (B, 4)."""
        return self.neck(super().features_of(batch))

    def features(self, image: Tensor) -> Tensor:
        """Return the same of images."""
        return super().features(image)

    def forward(self, image: Tensor) -> Tensor:
        """Return a number an image (B, 1)."""
        return self.head(self.neck(self.features(image)))

    def loss_of(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error."""
        return (output[:, 0] - batch["target"]).square().mean()

    def measure(self, split: str, output: Tensor, batch: Batch) -> None:
        """Keep the absolute errors."""
        self.errors[split].append((output[:, 0] - batch["target"]).abs()[real(batch)].detach())

    def figures(self, split: str) -> Figures:
        """Return the mean absolute error."""
        errors, self.errors[split] = self.errors[split], []
        return {"mae": torch.cat(errors).mean()} if errors else {}

    def record(self, output: Tensor, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return the number and the label of each image."""
        return {"number": output[:, 0].cpu(), "label": batch["target"].cpu()}

    def badness(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return the error."""
        return (rows["number"] - rows["label"]).abs()

    def review(self, data: ImageDataModule, seen: Recorded | None) -> Sections:
        """Return a table of the numbers."""
        assert seen is not None
        numbers = [[str(i), float(n)] for i, n in zip(seen.index.tolist(), seen.rows["number"].tolist(), strict=True)]
        table = Table("numbers", ["image", "number"], numbers)
        worst = float(self.badness(seen.rows).max())
        return Sections(figures={"test/worst": worst}, tables=[TableGroup("numbers", "Numbers", [table])])

    def predicted(self, output: Tensor) -> Tensor:
        """Return the numbers (B,)."""
        return output[:, 0]

    def predictions(self, paths: Sequence[Path], predicted: Iterable[Tensor]) -> Numbers:
        """Return a number an image."""
        return Numbers(list(paths), torch.cat(list(predicted)).tolist())
