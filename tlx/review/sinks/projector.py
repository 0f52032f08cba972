"""Images as points for TensorBoard's projector: features, thumbnails and metadata."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from tlx.base.files import write_text, writing
from tlx.measures.sections import Embedding

FILES = ("projector_config.pbtxt", "projector/features.tsv", "projector/metadata.tsv", "projector/sprite.jpg")
SPRITE_AT_MOST = 8_192  # pixels a side, TensorBoard's limit


def write_projector(directory: Path, points: Embedding) -> None:
    """Write `projector/` and the `projector_config.pbtxt` by which TensorBoard finds it.

    Args:
        directory: The folder of the run's event files.
        points: The embedding, with at least two columns: TensorBoard expects no heading above a single column.
    """
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    folder = directory / "projector"
    lines = ["\t".join(f"{x:.5g}" for x in row) for row in points.features.tolist()]
    write_text(folder / "features.tsv", "\n".join(lines) + "\n")
    lines = ["\t".join(" ".join(word.split()) for word in row) for row in (points.columns, *points.rows)]
    write_text(folder / "metadata.tsv", "\n".join(lines) + "\n")
    height, width = points.thumbnails.shape[1:3]
    with writing(folder / "sprite.jpg") as file:
        sprite(points.thumbnails).save(file, format="JPEG", quality=90)

    config = ProjectorConfig()
    entry = config.embeddings.add()
    entry.tensor_name = points.name
    entry.tensor_shape.extend(points.features.shape)
    entry.tensor_path, entry.metadata_path = "projector/features.tsv", "projector/metadata.tsv"
    entry.sprite.image_path = "projector/sprite.jpg"
    entry.sprite.single_image_dim.extend([width, height])
    write_text(directory / "projector_config.pbtxt", text_format.MessageToString(config))


def sprite(thumbnails: np.ndarray) -> Image.Image:
    """Return all thumbnails, uint8 (M, h, w, 3), in one picture: row by row in a square grid.

    Raises:
        ValueError: The picture would exceed TensorBoard's limit.
    """
    count, height, width, _ = thumbnails.shape
    per_side = math.ceil(math.sqrt(count))
    if per_side * max(height, width) > SPRITE_AT_MOST:
        raise ValueError(f"expected a sprite of at most {SPRITE_AT_MOST} pixels, got {per_side * max(height, width)}")
    sheet = np.zeros((per_side * height, per_side * width, 3), dtype=np.uint8)
    for place, image in enumerate(thumbnails):
        row, column = divmod(place, per_side)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = image
    return Image.fromarray(sheet)
