"""Train one configuration on one fold, in this process, on images that are loaded already."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from tlx.backbones.backbone import Backbone
from tlx.base.gradients import no_gradients
from tlx.base.interruption import Interruption
from tlx.callbacks.checkpoint_reading import read_checkpoint
from tlx.callbacks.checkpoints import save_tensors
from tlx.data.datamodule import ImageDataModule
from tlx.data.fold_pool import FoldPool
from tlx.features.precision import autocast
from tlx.procedures import procedure_of
from tlx.records import unreadable
from tlx.runs.run import Run
from tlx.strategies.folds import of_fold
from tlx.tasks.classification.class_counts import ClassCounts
from tlx.tasks.module import Task
from tlx.training.experiment import build_task, image_shelf, set_input_size
from tlx.training.planning import build_backbone

log = logging.getLogger("tlx")
FILE = "held_out.pt"


@dataclass(frozen=True)
class Cost:
    """What the training of a fold took, on this machine and in itself.

    Args:
        steps: Optimizer steps.
        epochs: Epochs.
        seconds: Seconds of training, over all starts.
        processor_seconds: Processor time of this process, with the predictions, of the last start.
    """

    steps: int
    epochs: int
    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class HeldOut:
    """What the network of a fold predicts for the images that it was not trained on.

    Args:
        number: The fold, from 1, counted over repeats.
        index: Positions of the N images in the images of all folds, ascending.
        labels: Their classes (N,), int64.
        probabilities: Of each class (N, K), float32.
        cost: What the training took.
    """

    number: int
    index: list[int]
    labels: Tensor
    probabilities: Tensor
    cost: Cost

    @property
    def figures(self) -> dict[str, float]:
        """Loss (without class weights), accuracy, balanced accuracy and macro F1."""
        return figures_of(self.probabilities, self.labels)

    @property
    def right(self) -> int:
        """The number of images that are predicted right."""
        return int((self.probabilities.argmax(dim=1) == self.labels).sum())


class OneFold(ImageDataModule):
    """The images of one fold, which validate, and those of the others, which train.

    Attributes:
        all_folds: The images of all folds.
    """

    all_folds: FoldImages


class FoldImages:
    """The images of all folds, loaded and checked once, and the network from which each fold starts.

    Args:
        config: A configuration with `validation=kfold`, without references.

    Raises:
        TlxError: The images cannot be divided or trained on, or the weights cannot be loaded.
    """

    def __init__(self, config: DictConfig) -> None:
        self.backbone = build_backbone(config)
        self._initial = {name: tensor.clone() for name, tensor in self.backbone.state_dict().items()}
        node = {str(key): value for key, value in of_fold(config, 1).dataset.items()}
        self.pool = FoldPool.load(node, int(config.validation.folds), int(config.validation.repeats))

    def data_of(self, config: DictConfig, number: int) -> OneFold:
        """Return the images of a fold as the splits of a set: its own validate, the others train.

        Args:
            config: The configuration with `validation=kfold`.
            number: The fold, from 1, counted over repeats.
        """
        own = of_fold(config, number)
        data = OneFold(
            own.dataset, self.backbone.preprocessing, own.seed, own.cache.view_seed,
            fixed_size=self.backbone.fixed_size, accumulated=own.trainer.accumulate_grad_batches,
            shelf=image_shelf(own), checked=self.pool.held_out(number),
        )  # fmt: skip
        data.all_folds = self
        data.setup()
        data.need_trainable()
        set_input_size(self.backbone, data)
        return data

    def start(self) -> Backbone:
        """Return the backbone with its initial weights; every fold gets the same one."""
        self.backbone.load_state_dict(self._initial)
        return self.backbone


def train_fold(
    config: DictConfig,
    images: FoldImages,
    number: int,
    directory: Path,
    interruption: Interruption,
    identity: str = "",
) -> HeldOut:
    """Train a configuration on all folds but one and predict that one, in this process.

    Nothing is tested and no review is written. The directory gets the weights (`checkpoints/best.ckpt`), model.json,
    the curves (`metrics.csv`) and, until the fold is finished, the checkpoint from which a repeated call goes on.
    Outputs of frozen layer groups come from the cache (`cache.dir`): folds, and configurations that differ above a
    frozen prefix, share them. The result is a function of configuration, images and fold, also after a kill.

    Args:
        config: A configuration with `validation=kfold`, whose values are settled and without references. It may differ
            from that of `images` in everything but images, backbone, folds and their seed.
        images: The images and the network.
        number: The fold, from 1, counted over repeats.
        directory: Where its files go; only a directory that an earlier call of this function wrote may hold files.
        interruption: A request to stop, seen after each step.
        identity: What decides the result, for model.json.

    Raises:
        TlxError: Training fails in a way that the user can mend.
        Interrupted: The training was stopped; it has saved its state.
    """
    own = of_fold(config, number)
    own.run_dir = str(directory)
    run = Run(directory)
    run.refuse_place()
    classes = len(images.pool.checked.images.class_names)
    if run.finished:
        return _stored(directory / FILE, number, classes)
    start = time.process_time()
    if run.begun:
        run.files.resume()
    else:
        run.files.start()
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.files.add(FILE)
        run.write_config(own)
    run.write_status("running", identity=identity)
    procedure = procedure_of(own)
    data = images.data_of(config, number)
    task = build_task(own, images.start(), data, procedure.head)
    with _only_warnings():
        figures = procedure(own, data, task, interruption).train_only(identity)
        probabilities = _predicted(task, data, own)
    cost = Cost(
        steps=int(figures["train/steps"]),
        epochs=int(figures["train/epochs"]),
        seconds=figures["train/seconds"],
        processor_seconds=time.process_time() - start,
    )
    labels = torch.tensor([sample.target for sample in data.splits["val"].samples], dtype=torch.int64)
    found = HeldOut(number, images.pool.positions(number), labels, probabilities, cost)
    numbers = {"index": torch.tensor(found.index), "labels": labels, "probabilities": probabilities}
    save_tensors(directory / FILE, {**numbers, "cost": asdict(cost)})
    run.files.remove("checkpoints/last.ckpt")
    run.files.remove("checkpoints/stage_best.ckpt")
    run.write_status("finished")
    return found


def figures_of(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Return loss (without class weights), accuracy, balanced accuracy and macro F1.

    Args:
        probabilities: Of each class (N, K).
        labels: Classes (N,), int64.
    """
    counts = ClassCounts(probabilities.shape[1])
    counts.update(probabilities.float().clamp(min=torch.finfo(torch.float32).tiny).log(), labels)
    return {name: float(value) for name, value in counts.compute().items()}


@no_gradients()
def _predicted(task: Task, data: ImageDataModule, config: DictConfig) -> Tensor:
    """Return the probabilities of the held-out images (N, K), float32, in their order."""
    uses_gpu = torch.cuda.is_available() and config.trainer.accelerator != "cpu"
    device = torch.device("cuda" if uses_gpu else "cpu")
    task.to(device).eval()
    found = torch.zeros(data.sizes["val"], len(task.class_names))
    for batch in data.val_dataloader():
        held = {name: _moved(value, device) for name, value in batch.items() if name in ("image", "prefix")}
        with autocast(device, config.trainer.precision):
            output = task.head(task.features_of(held))
        found[batch["index"]] = task.predicted(output).float().cpu()
    return found


def _moved(value: Any, device: torch.device) -> Any:
    """Return images (B, C, H, W), or outputs of layer groups by name, on a device."""
    return value.to(device) if isinstance(value, Tensor) else {name: one.to(device) for name, one in value.items()}


def _stored(path: Path, number: int, classes: int) -> HeldOut:
    """Return the predictions (N, K) that an earlier call stored.

    Raises:
        TlxError: The file is damaged.
    """
    held = read_checkpoint(path)
    try:
        index, labels, probabilities = (held[name].clone() for name in ("index", "labels", "probabilities"))
        if probabilities.shape != (len(index), classes) or len(labels) != len(index):
            raise ValueError(f"{tuple(probabilities.shape)} for {len(index)} images")
        cost = {str(name): float(value) for name, value in held["cost"].items()}
        steps, epochs = int(cost["steps"]), int(cost["epochs"])
        spent = Cost(steps, epochs, cost["seconds"], cost["processor_seconds"])
        return HeldOut(number, index.tolist(), labels, probabilities, spent)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(path, f"predictions for {classes} classes", f"others: {error}") from error


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Log no tables of epochs inside: the folds of a run would fill pages."""
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
