"""The test images as points for TensorBoard's projector: features, names and classes, thumbnails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from tlx.base.files import write_text, writing
from tlx.review.pictures import showable

FILES = ("projector_config.pbtxt", "projector/features.tsv", "projector/metadata.tsv", "projector/sprite.jpg")
SPRITE_AT_MOST = 8_192  # pixels a side, TensorBoard's limit


def write_projector(
    directory: Path, features: Tensor, thumbnails: Tensor, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Write `projector/` and the `projector_config.pbtxt` by which TensorBoard finds it.

    Args:
        directory: Where the run's events are.
        features: One row an image (M, D), M at least 1.
        thumbnails: uint8 (M, C, h, w).
        columns: What is told of an image, at least two: TensorBoard takes a single column to have no heading.
        rows: That for each of the M images.
    """
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    folder = directory / "projector"
    lines = ["\t".join(f"{x:.5g}" for x in row) for row in features.tolist()]
    write_text(folder / "features.tsv", "\n".join(lines) + "\n")
    lines = ["\t".join(" ".join(word.split()) for word in row) for row in (columns, *rows)]
    write_text(folder / "metadata.tsv", "\n".join(lines) + "\n")
    height, width = thumbnails.shape[-2:]
    with writing(folder / "sprite.jpg") as file:
        sprite(thumbnails).save(file, format="JPEG", quality=90)

    config = ProjectorConfig()
    told = config.embeddings.add()
    told.tensor_name = "test images"
    told.tensor_shape.extend(features.shape)
    told.tensor_path, told.metadata_path = "projector/features.tsv", "projector/metadata.tsv"
    told.sprite.image_path = "projector/sprite.jpg"
    told.sprite.single_image_dim.extend([width, height])
    write_text(directory / "projector_config.pbtxt", text_format.MessageToString(config))


def sprite(thumbnails: Tensor) -> Image.Image:
    """Return all thumbnails, uint8 (M, C, h, w), in one picture: row by row in a square grid.

    Raises:
        ValueError: The picture would be larger than TensorBoard shows.
    """
    count, _, height, width = thumbnails.shape
    a_side = math.ceil(math.sqrt(count))
    if a_side * max(height, width) > SPRITE_AT_MOST:
        raise ValueError(f"expected a sprite of at most {SPRITE_AT_MOST} pixels, got {a_side * max(height, width)}")
    sheet = np.zeros((a_side * height, a_side * width, 3), dtype=np.uint8)
    for place, image in enumerate(thumbnails):
        row, column = divmod(place, a_side)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = showable(image)
    return Image.fromarray(sheet)
