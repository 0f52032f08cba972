"""Metrics of a split of images with boxes."""

from __future__ import annotations

import torch
import torch.distributed
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from tlx.data.box_labels import CLASS, NO_OBJECT
from tlx.tasks.detection.average_precision import ranked_classes
from tlx.tasks.detection.coco_metrics import coco_metrics
from tlx.tasks.detection.found import counted
from tlx.tasks.detection.matching import IOUS, match
from tlx.tasks.detection.thresholds import best_scores

THRESHOLDS = "thresholds"  # what `compute` returns besides scalars


class BoxMetrics(Metric):
    """COCO's metrics of a split, the loss, and the score of each class with the best F1.

    Detections and objects are kept on the CPU, without empty rows. They are kept as vectors of float32, so that a
    process without images takes part in the exchange of processes.

    Args:
        classes: Number of classes K.
        limit: Detections of an image that count at most.
        by_size: Whether metrics by size of object are computed.
    """

    full_state_update = False

    def __init__(self, classes: int, limit: int, by_size: bool = False) -> None:
        super().__init__(dist_sync_fn=_gathered)
        self.classes, self.limit, self.by_size = classes, limit, by_size
        for name in ("found", "found_of_images", "truth", "truth_of_images"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.add_state("loss", torch.zeros(()), dist_reduce_fx="sum")  # sum over the images that have one
        self.add_state("images", torch.zeros(()), dist_reduce_fx="sum")  # these images
        self.found: list[Tensor]
        self.found_of_images: list[Tensor]
        self.truth: list[Tensor]
        self.truth_of_images: list[Tensor]
        self.loss: Tensor
        self.images: Tensor

    def update(self, found: Tensor, truth: Tensor, loss: Tensor | None) -> None:
        """Add images.

        Args:
            found: Detections (B, D, 6), highest score first.
            truth: Objects (B, N, 6).
            loss: Mean loss of the images, a scalar; None: unknown.
        """
        kept, there = counted(found), truth[..., CLASS] >= 0
        self.found.append(found[kept].detach().float().flatten().cpu())
        self.found_of_images.append(kept.sum(dim=1).float().cpu())
        self.truth.append(truth[there].float().flatten().cpu())
        self.truth_of_images.append(there.sum(dim=1).float().cpu())
        if loss is not None and len(found):
            self.loss += loss.detach() * len(found)
            self.images += len(found)

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics, each a scalar, float32, and `thresholds` (K,); `loss` only if it was measured."""
        found = _by_image(self.found, self.found_of_images)
        truth = _by_image(self.truth, self.truth_of_images)
        figures = coco_metrics(found, truth, self.limit, self.by_size)
        if self.images:
            figures["loss"] = self.loss / self.images
        figures = {name: value.to(self.loss) for name, value in figures.items()}
        matches = match(_padded(found), _padded(truth), IOUS[:1])
        scores = torch.from_numpy(best_scores(ranked_classes(matches, self.classes)))
        return figures | {THRESHOLDS: scores.to(self.loss)}


def _by_image(rows: list[Tensor], of_images: list[Tensor]) -> list[Tensor]:
    """Return the rows of each image (n, 6)."""
    counts = dim_zero_cat(of_images).long().tolist() if len(of_images) else []
    return list(dim_zero_cat(rows).view(-1, 6).split(counts)) if counts else []


def _padded(rows: list[Tensor]) -> Tensor:
    """Return the rows of N images (N, most, 6), for padding without an object."""
    return pad_sequence(rows, batch_first=True, padding_value=NO_OBJECT) if rows else torch.zeros(0, 0, 6)


def _gathered(rows: Tensor, group: torch.distributed.ProcessGroup | None = None) -> list[Tensor]:
    """Return the tensors of all processes on the device of this one's; NCCL exchanges only tensors on a GPU."""
    on_gpu = torch.distributed.get_backend(group) == "nccl"
    sent = rows.to("cuda") if on_gpu else rows
    return [one.to(rows.device) for one in gather_all_tensors(sent, group)]
