"""What the heads of all models have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tlx.data.box_labels import BOTTOM, CLASS, IGNORE, LEFT, RIGHT, TOP
from tlx.tasks.detection.grid import Grid

AddUp = Callable[[Tensor], Tensor]


class Features(NamedTuple):
    """What a head reads.

    Attributes:
        maps: A map (B, C, h, w) for each level of the pyramid, the finest first.
        grid: Their locations.
        target: The boxes of the images (B, N, 6), see `tlx.data.box_labels`; None: not known.
    """

    maps: list[Tensor]
    grid: Grid
    target: Tensor | None = None


class Output(NamedTuple):
    """What a head returns.

    Attributes:
        rows: Predictions by name, each (B, …).
        grid: The locations that they are about.
    """

    rows: dict[str, Tensor]
    grid: Grid

    def of(self, images: Tensor) -> Output:
        """Return the output for some images, a mask (B,)."""
        return Output({name: row[images] for name, row in self.rows.items()}, self.grid)


class Candidates(NamedTuple):
    """Boxes before overlapping ones are left out: M for each of B images, float32.

    Attributes:
        boxes: Left, top, right and bottom in pixels of the padded image (B, M, 4).
        scores: Scores in [0, 1] (B, M).
        classes: Classes (B, M), int64.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor


class DetectionHead(nn.Module, ABC):
    """A head of torchvision with its loss, and with the boxes that its output means.

    Attributes:
        overlap: Intersection over union above which the lower of two boxes of a class is left out.
    """

    overlap: float

    @abstractmethod
    def forward(self, features: Features) -> Output:
        """Return predictions (B, …) for the maps of a pyramid."""

    @abstractmethod
    def sums(self, output: Output, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return sums over the batch (S,) in float32, and what each is divided by in the loss (S,).

        Ignored boxes are neither objects nor background.

        Args:
            output: The head's output.
            target: The boxes of the images (B, N, 6).
        """

    def loss(self, output: Output, target: Tensor, add_up: AddUp | None = None) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            output: The head's output.
            target: The boxes of the images (B, N, 6).
            add_up: From sums (N,) over this batch to those over the batches of all processes, see
                `tlx.tasks.dense.whole_batch`; None: there is one process.
        """
        with torch.autocast(target.device.type, enabled=False):
            sums, by = self.sums(output, shortened(target))
            if add_up is not None:
                sums, by = add_up(torch.cat([sums, by])).chunk(2)
            return (sums / by.clamp(min=1)).sum()

    @abstractmethod
    def candidates(self, output: Output, most: int) -> Candidates:
        """Return at most `most` candidates of each image (B, M), those with the highest scores."""

    def class_scores(self, output: Output) -> Tensor:
        """Return scores of K classes and of the background at all locations (B, P, K + 1), before softmax."""
        logits = output.rows["cls_logits"].float()
        return torch.cat([logits, torch.zeros_like(logits[..., :1])], dim=-1)

    def macs_of_regions(self) -> int:
        """Return the multiply-accumulate operations for regions that are chosen by value, for one image."""
        return 0


def objects(target: Tensor) -> Tensor:
    """Return which rows of boxes (B, N, 6) are objects to be found (B, N)."""
    real = (target[..., RIGHT] > target[..., LEFT]) & (target[..., BOTTOM] > target[..., TOP])
    return (target[..., CLASS] >= 0) & (target[..., IGNORE] == 0) & real


def ignored(target: Tensor) -> Tensor:
    """Return which rows of boxes (B, N, 6) are ignored (B, N)."""
    return (target[..., CLASS] >= 0) & (target[..., IGNORE] > 0)


def shortened(target: Tensor) -> Tensor:
    """Return boxes (B, N, 6) without rows at the end that no image needs: (B, n, 6), at least one row.

    On an accelerator the size of a tensor must not depend on values, which it would have to be asked for.
    """
    if target.device.type != "cpu":
        return target
    used = (target[..., CLASS] >= 0).any(0).nonzero()
    return target[:, : int(used[-1]) + 1 if len(used) else 1]


def picked(values: Tensor, index: Tensor) -> Tensor:
    """Return values (B, M, C) of rows (B, N, C) at the locations `index` (B, M)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
