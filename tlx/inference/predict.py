"""Predict image files with a trained network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tlx.base.gradients import no_gradients
from tlx.data.datamodule import ImageDataModule, window_of
from tlx.measures.likeness import KnownImages
from tlx.tasks.module import Task
from tlx.tasks.predictions import ComparesFeatures, Predictions


def predict(
    task: Task, dataset: Mapping[str, Any], paths: Sequence[Path], known: KnownImages | None = None
) -> Predictions:
    """Predict with a trained network.

    Args:
        task: The network, in eval mode; it is moved to the GPU if there is one.
        dataset: Keys of a dataset node that define how images are read, including `batch_size`.
        paths: Image files.
        known: What their features are compared with; None: nothing.

    Raises:
        TlxError: The known images have other features.
    """
    data = ImageDataModule(dataset, task.backbone.preprocessing, seed=0)
    loader = data.predict_loader(paths, whole=task.whole_images)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task.to(device)
    task.window = window_of(dataset)
    distances: list[Tensor] = []

    def rows() -> Iterator[Tensor]:
        for batch in loader:
            image = batch["image"].to(device)
            if known is None:
                yield task.predict_step({"image": image}).cpu()
                continue
            features = task.features(image)
            known.refuse_other(features.shape[1])
            distances.append(known.distances(features.float().cpu()))
            yield task.predicted(task.head(features)).cpu()

    with no_gradients():
        found = task.predictions(paths, rows())
    if known is not None and isinstance(found, ComparesFeatures):
        return found.with_distances(torch.cat(distances), known.limit)
    return found
