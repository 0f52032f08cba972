"""Object detection: a feature pyramid and a head on the maps of a backbone, boxes around objects."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tlx.adaptation.target_entropy import TargetEntropy
from tlx.backbones.backbone import Backbone
from tlx.backbones.report import UpperSource
from tlx.data.batches.dataset import real
from tlx.data.datamodule import ImageDataModule
from tlx.measures.sections import Sections
from tlx.strategies.monitor import Monitor
from tlx.tasks.base import Figures
from tlx.tasks.dense.reduced import reduced
from tlx.tasks.dense.task import DenseTask
from tlx.tasks.dense.whole_batch import over_processes
from tlx.tasks.detection.box_levels import MAPPED, BoxLevels
from tlx.tasks.detection.decoding import CANDIDATES, detections
from tlx.tasks.detection.figures import SplitFigures
from tlx.tasks.detection.head import DetectionHead, Features, Output
from tlx.tasks.detection.kind import DetectionKind
from tlx.tasks.detection.outputs import badness, rows_of
from tlx.tasks.detection.pyramid import Pyramid
from tlx.tasks.detection.thresholds import WITHOUT_OBJECTS
from tlx.tasks.detection.upper import chosen_width, make_upper
from tlx.tasks.detection.whole_images import found_in
from tlx.tasks.learner import Learning
from tlx.tasks.network import Batch
from tlx.tasks.predictions import Predictions
from tlx.tasks.recorded import Recorded

log = logging.getLogger("tlx")

USUAL_DETECTIONS = 100  # of an image, as in COCO's evaluation
_OF_DATA = ("head.limits", "head.cells")  # buffers that follow the training boxes
_ENTROPY_OF = 100  # locations of an image of the target domain: those most certain of an object


class Detection(DenseTask):
    """Object detection.

    Trains on crops, or on whole images padded to one canvas. Validation during training uses the same canvas; the test
    and predictions use whole images of any size, and return boxes in their own pixels. Logs `train/loss`, and for val
    and test the metrics of `SplitFigures`.

    Args:
        backbone: Layer groups; those without maps are left out. If it comes from the run of a detector of the same
            model, its pyramid and its head are taken over, the rows of classes by class name.
        class_names: Class names in the order of the outputs; the background is none of them.
        model: `fcos`, `retinanet` or `fasterrcnn`.
        pyramid_channels: Channels of the pyramid and the head; None: as many as fit the backbone.
        head_convs: Convolutions of the head; None: as many as fit.
        score_threshold: Predictions are listed from it; None: for each class from the best F1 on validation.
        max_detections: Detections of an image at most; None: 100, or more where a training image has more objects.
        monitor: Logged value that selects the best checkpoint, unless `learning` names another.
        mode: `max` or `min` of it.
        name: Name of the task.
        learning: What it needs for training; None: it only predicts.
    """

    kind = DetectionKind()
    pyramid: Pyramid
    head: DetectionHead

    def __init__(
        self,
        backbone: Backbone,
        class_names: Sequence[str],
        model: str = "fcos",
        pyramid_channels: int | None = None,
        head_convs: int | None = None,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        monitor: str = "val/map",
        mode: str = "max",
        name: str = "detection",
        learning: Learning | None = None,
    ) -> None:
        super().__init__(backbone, class_names, learning)
        self.monitor = (learning and learning.monitor) or Monitor(monitor, mode)
        asked = {"model": model, "pyramid_channels": pyramid_channels, "head_convs": head_convs}
        channels, convs = chosen_width(self.backbone, asked)
        self._node = {"model": model, "pyramid_channels": channels, "head_convs": convs}
        self.shaped_by = {key: str(value) for key, value in self._node.items()}
        self.box_sides = (learning and learning.box_sides) or []
        self.box_levels = BoxLevels.of(self.box_sides)
        self._build_upper()
        most = max(USUAL_DETECTIONS, learning.most_objects if learning else 0)
        self.register_buffer("max_detections", torch.tensor(max_detections or most))
        self.max_detections: Tensor
        self.score_threshold = score_threshold
        self.register_buffer("score_thresholds", torch.full((len(self.class_names),), WITHOUT_OBJECTS))
        self.score_thresholds: Tensor
        self.take_over()
        self._measure_at_most(int(self.max_detections))
        self.adapt()

    def _build_upper(self) -> None:
        self.pyramid, self.head = make_upper(self.backbone, self._node, len(self.class_names), self.box_levels)
        self.reads = self.pyramid.reads
        if not self.backbone.fixed_size and self.pyramid.plain is None:
            self.multiple = max(self.multiple, MAPPED)

    def _measure_at_most(self, most: int) -> None:
        self.most = most
        self.measured = SplitFigures(len(self.class_names), most)
        self.target_entropy = TargetEntropy(len(self.class_names) + 1)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights; the levels of the pyramid become those with which they were trained."""
        strides = state_dict.get("pyramid.strides")
        if isinstance(strides, Tensor) and tuple(strides.tolist()) != self.box_levels.strides:
            self.box_levels = self.box_levels.with_strides(strides.tolist())
            self._build_upper()
            self.train(self.training)
        most = state_dict.get("max_detections")
        if isinstance(most, Tensor) and most.numel() == 1 and int(most) != self.most:
            self._measure_at_most(int(most))
        return super().load_state_dict(state_dict, strict, assign)

    def upper_weights(self, source: UpperSource) -> UpperSource:
        """Return a run's upper groups without what follows its training boxes; they do not fit if the levels differ."""
        strides, mine = source.state.get("pyramid.strides"), list(self.box_levels.strides)
        if isinstance(strides, Tensor) and strides.tolist() != mine:
            theirs = strides.tolist()
            why = f"levels follow the boxes: those of the run have the strides {theirs}, those of this one {mine}"
            return replace(source, unfit=why)
        own = {name: value for name, value in self.named_buffers() if name in _OF_DATA}
        return replace(source, state={**source.state, **own})

    def features(self, image: Tensor) -> Features:  # type: ignore[override]  # several maps instead of one tensor
        """Return the maps of the pyramid (B, C, h, w) for images, uint8 (B, C, H, W)."""
        return self.features_of({"image": image})

    def features_of(self, batch: Batch) -> Features:  # type: ignore[override]  # several maps instead of one tensor
        """Return the maps of the pyramid for a batch, from images or from the output of a prefix, and its boxes."""
        maps, grid = self.pyramid(*self.maps_of(batch))
        return Features(maps, grid, batch.get("target"))

    def forward(self, image: Tensor) -> Output:  # type: ignore[override]
        """Return the head's output for images, uint8 (B, C, H, W) in [0, 255]."""
        output: Output = self.head(self.features(image))
        return output

    def loss_of(self, output: Output, batch: Batch) -> Tensor:
        """Return the loss of a batch, a scalar."""
        return self.head.loss(output, batch["target"], partial(over_processes, module=self))

    def measure(self, split: str, output: Output, batch: Batch) -> Mapping[str, Tensor] | None:
        """Add a batch of `val` or `target` with the output of the head for it."""
        kept = real(batch)
        output = output if bool(kept.all()) else output.of(kept)
        if split == "target":
            scores = self.head.class_scores(output)
            surest = scores[..., :-1].amax(-1).topk(min(_ENTROPY_OF, scores.shape[1]), dim=1).indices
            some = scores.gather(1, surest[..., None].expand(-1, -1, scores.shape[-1])).flatten(0, 1)
            self.target_entropy.update(some, torch.ones(len(some), dtype=torch.bool, device=some.device))
            return None
        target = batch["target"][kept]
        loss = self.head.loss(output, target) if len(target) else None
        self.measured.add(split, self.decoded(output), target, loss)
        return None

    def decoded(self, output: Output, size: tuple[int, int] | None = None) -> Tensor:
        """Return the detections (B, D, 6) that the head's output means, in pixels of the padded images.

        Args:
            output: The head's output.
            size: Height and width of the images without padding, in which nothing is found; None: it counts.
        """
        candidates = self.head.candidates(output, max(CANDIDATES, self.most))
        return detections(candidates, size or output.grid.size, self.most, self.head.overlap)

    def detect(self, image: Tensor) -> Tensor:
        """Return the detections (B, D, 6) of images, uint8 (B, C, H, W), in their pixels."""
        return self.decoded(self(image), (image.shape[-2], image.shape[-1]))

    def found_in(self, images: Tensor) -> Tensor:
        """Return the detections (B, D, 6) of whole images of any size, uint8 (B, C, H, W), in their own pixels."""
        how, fixed = self.backbone.preprocessing, self.backbone.fixed_size
        found = partial(found_in, self.detect, how=how, fixed=fixed, most=self.most, overlap=self.head.overlap)
        return torch.stack([found(one) for one in images])

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Measure whole images of the test split.

        Returns:
            `output`: their detections (B, D, 6). `picture`: each image, reduced, uint8 (B, C, h, w).
        """
        found, kept = self.found_in(batch["image"]), real(batch)
        self.measured.add("test", found[kept], batch["target"][kept])
        return {"output": found, "picture": torch.stack([reduced(one) for one in batch["image"]])}

    def figures(self, split: str) -> Figures:
        """Return the metrics of a split, scalars, and reset them; return none if no batch was added."""
        if split == "target":
            if not self.target_entropy.update_called:
                return {}
            found: Figures = self.target_entropy.compute()
            self.target_entropy.reset()
            return found
        if split == "val" and self.measured.val.update_called:
            self.score_thresholds.copy_(self.measured.thresholds())
        return self.measured.take(split)

    def on_fit_start(self) -> None:
        """Log which share of the training boxes each level of the pyramid finds."""
        if self.box_sides and self.trainer.is_global_zero:
            log.info("%s", self.box_levels.describe(self.box_sides))

    def record(self, output: Tensor, batch: Batch, images: int) -> dict[str, Tensor]:
        """Return detections (B, D, 6), boxes (B, N, 6) and sizes (B, 2) of test images, on the CPU."""
        size = torch.tensor([batch["image"].shape[-2:]]).expand(len(output), 2)
        return rows_of(output, batch["target"], size)

    def badness(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return 1 - F1 of each image (B,), NaN where all detections are right."""
        return badness(rows, self._shown_from())

    def review(self, data: ImageDataModule, seen: Recorded | None) -> Sections:
        """Return the review of the test split; `seen` holds its recorded rows, None if there was no image."""
        from tlx.tasks.detection.review import review_sections  # training does not need these statistics

        return review_sections(data, seen, self._shown_from(), self.kind.compared)

    def _shown_from(self) -> Tensor:
        """Return the score of each class (K,) from which `tlx predict` counts a detection, on the CPU."""
        return self.score_thresholds.float().cpu().clamp(min=self.score_threshold or 0.0)

    def predict_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """Return the detections of whole images (B, D, 6), in their own pixels."""
        return self.found_in(batch["image"])

    def predicted(self, output: Output) -> Tensor:
        """Return the detections (B, D, 6) that the head's output means."""
        return self.decoded(output)

    def predictions(self, paths: Sequence[Path], predicted: Iterable[Tensor]) -> Predictions:
        """Return boxes for image files; `predicted` yields detections (B, D, 6) in the order of the files."""
        from tlx.tasks.detection.predictions import BoxPredictions

        boxes = (one for batch in predicted for one in batch)
        names, thresholds = list(self.class_names), self.score_thresholds
        return BoxPredictions.of(list(paths), names, boxes, thresholds, self.score_threshold, self.window)

    def described(self) -> dict[str, Any]:
        """Return the task's entries of model.json, as plain values."""
        return {**super().described(), "reads_maps_of": list(self.reads), "strides": list(self.box_levels.strides)}
