"""Evaluate a finished run on its test split."""

from __future__ import annotations

from dataclasses import dataclass

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import LightningEnvironment

from tlx.base.console import quiet
from tlx.base.errors import TlxError
from tlx.base.legible import composed
from tlx.callbacks.test_recorder import TestRecorder
from tlx.data.batches.batch_process import readers_named
from tlx.data.datamodule import ImageDataModule
from tlx.measures.by_class import ByClass
from tlx.tasks.module import Task


@dataclass(frozen=True)
class Tested:
    """The result of a test.

    Args:
        figures: The metrics `test/…`.
        images: Number of test images.
        by_class: The figures of each class; None: the task has none.
    """

    figures: dict[str, float]
    images: int
    by_class: ByClass | None


def evaluate(task: Task, config: DictConfig) -> Tested:
    """Test a trained network.

    Args:
        task: The network, in eval mode.
        config: Configuration of its run; `dataset` and `target` name the images.

    Raises:
        TlxError: The classes of the data set differ from those of the run.
    """
    data = ImageDataModule(config.dataset, task.backbone.preprocessing, config.seed, target=config.get("target"))
    data.prepare_data()
    data.setup()
    class_names = task.class_names
    # tlx 0.1 on a Mac stored decomposed names
    if list(map(composed, data.class_names)) != list(map(composed, class_names)):
        raise TlxError(f"dataset: expected the classes {', '.join(class_names)}, got {', '.join(data.class_names)}")
    recorder = TestRecorder(data.sizes["test"])
    with quiet(), readers_named():
        trainer = pl.Trainer(
            accelerator="auto", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
            inference_mode=False, plugins=[LightningEnvironment()],
            callbacks=[recorder],
        )  # fmt: skip
        tested = dict(trainer.test(task, datamodule=data, verbose=False)[0])
    sections = task.review(data, recorder.seen)
    return Tested({**tested, **sections.figures}, data.sizes["test"], sections.by_class)
