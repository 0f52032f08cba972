"""Predict image files with a trained network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from tlx.base.errors import TlxError
from tlx.base.gradients import no_gradients
from tlx.data.checked import Broken, broken_files, skipped_folders
from tlx.data.datamodule import ImageDataModule, window_of
from tlx.data.files.image_files import find_images
from tlx.data.files.walk import skipping_unreadable
from tlx.data.reading.inspection import decoding, file_facts
from tlx.data.splits.samples import Sample
from tlx.tasks.module import Task
from tlx.tasks.predictions import Predictions

log = logging.getLogger("tlx")


def readable(images: Sequence[str | Path], on_bad: Literal["stop", "skip"] = "stop") -> list[Path]:
    """Return the image files that files, folders and globs name.

    Args:
        images: Files, folders and globs.
        on_bad: If files are broken or folders cannot be read, `stop` with an error, or `skip` them with a warning.

    Raises:
        TlxError: A file, folder or glob matches no image, or a file is broken (with `skip`: all are).
    """
    with skipping_unreadable(on_bad == "skip") as unreadable:
        paths = find_images(images)
    if unreadable:
        log.warning("%s", skipped_folders(unreadable))
    with decoding(True):  # name all broken files in one message, before predicting, which may take minutes
        facts = file_facts(paths)
    broken = [Broken(Sample(p, -1, str(p)), "", f.reason) for p, f in zip(paths, facts, strict=True) if f.reason]
    if broken and (on_bad == "stop" or len(broken) == len(paths)):
        raise TlxError(f"{broken_files(broken)}\nrepair them, or leave them out: --on-bad skip")
    if broken:
        log.warning("left out: %s", broken_files(broken))
        left_out = {entry.sample.source for entry in broken}
        paths = [path for path in paths if path not in left_out]
    return paths


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
