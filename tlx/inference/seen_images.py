"""Images of a test split as a network sees them, found by their names in test_predictions.csv."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig

from tlx.backbones.preprocessing import Preprocessing
from tlx.base.errors import TlxError
from tlx.base.printable import one_line
from tlx.data.datamodule import ImageDataModule
from tlx.tasks.shown import showable


def seen_images(config: DictConfig, preprocessing: Preprocessing, names: Sequence[str]) -> list[np.ndarray]:
    """Return test images, resized and cropped as for evaluation: each uint8 (H, W, 3).

    Args:
        config: Configuration of the run; `dataset` and `target` name the images.
        preprocessing: That of the network.
        names: Names of the images.

    Raises:
        TlxError: An image is no longer in the test split.
    """
    node = {**config.dataset, "num_workers": 0}
    data = ImageDataModule(node, preprocessing, config.seed, target=config.get("target"))
    data.prepare_data()
    data.setup()
    places = {sample.name: i for i, sample in enumerate(data.splits["test"].samples)}
    missing = [one_line(name) for name in names if name not in places]
    if missing:
        raise TlxError(
            f"dataset: expected the test images of the run, got a set without '{missing[0]}'; if the images have "
            "moved, say where they are: dataset.root=DIR"
        )
    batches = data.images_of("test", [places[name] for name in names])
    return [showable(image) for batch in batches for image in batch["image"]]
