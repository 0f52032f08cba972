"""Predict image files with a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tlx.base.gradients import no_gradients
from tlx.data.datamodule import ImageDataModule, window_of
from tlx.tasks.module import Task
from tlx.tasks.predictions import Predictions


def predict(task: Task, dataset: Mapping[str, Any], paths: Sequence[Path]) -> Predictions:
    """Predict with a trained network.

    Args:
        task: The network, in eval mode; it is moved to the GPU if there is one.
        dataset: Keys of a dataset node that define how images are read, including `batch_size`.
        paths: Image files.
    """
    data = ImageDataModule(dataset, task.backbone.preprocessing, seed=0)
    loader = data.predict_loader(paths, whole=task.whole_images)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task.to(device)
    task.window = window_of(dataset)
    with no_gradients():
        rows = (task.predict_step({"image": batch["image"].to(device)}).cpu() for batch in loader)
        return task.predictions(paths, rows)
