"""The files of the projector are those that TensorBoard reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig
from tensorboard.plugins.projector.projector_plugin import _read_tensor_tsv_file, _rel_to_abs_asset_path

from tlx.callbacks.test_recorder import EMBEDDED_AT_MOST, THUMBNAIL, thumbnails
from tlx.measures.sections import Embedding
from tlx.review.sinks.projector import sprite, write_projector


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_files_load_as_tensorboard_loads_them(count, tmp_path):
    """Guards against rows that are shifted against their labels, and paths that TensorBoard refuses."""
    features = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)
    rows = [[f"a\tb\n{i}.png", "cat", "dog", "wrong"] for i in range(count)]
    images = np.stack([np.full((6, 8, 3), 10 * i, dtype=np.uint8) for i in range(count)])
    columns = ["image", "true", "predicted", "verdict"]
    write_projector(tmp_path, Embedding("images", features, images, columns, rows))
    path = tmp_path / "projector_config.pbtxt"
    told = text_format.Parse(path.read_text(), ProjectorConfig()).embeddings[0]
    tensor = _read_tensor_tsv_file(_rel_to_abs_asset_path(told.tensor_path, str(path)))
    np.testing.assert_allclose(tensor, features, rtol=1e-4, atol=1e-4)
    lines = (tmp_path / told.metadata_path).read_text().splitlines()
    assert lines[0] == "image\ttrue\tpredicted\tverdict"
    assert [line.split("\t") for line in lines[1:]] == [[f"a b {i}.png", "cat", "dog", "wrong"] for i in range(count)]
    sheet = Image.open(tmp_path / told.sprite.image_path)
    width, height = told.sprite.single_image_dim
    assert (width, height) == (8, 6)
    a_row = sheet.width // width  # as the projector counts
    for i in range(count):
        row, column = divmod(i, a_row)
        gray = sheet.getpixel((column * width + width // 2, row * height + height // 2))[0]
        assert gray == pytest.approx(10 * i, abs=4)  # it is a JPEG


def test_the_largest_sprite_is_one_that_tensorboard_shows():
    """Guards against a sprite beyond 8192 pixels, which TensorBoard shows as nothing."""
    side = max(sprite(np.zeros((EMBEDDED_AT_MOST, THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8)).size)
    assert side <= 8192
    with pytest.raises(ValueError, match="at most 8192 pixels, got 8200"):
        sprite(np.zeros((1, 8200, 3, 3), dtype=np.uint8))


def test_thumbnails_keep_the_shape_of_the_image_and_are_never_larger():
    """Guards against squeezed pictures, and batches without an image that cannot be put beside others."""
    assert thumbnails(torch.zeros(2, 3, 200, 100, dtype=torch.uint8)).shape == (2, 3, 48, 24)
    assert thumbnails(torch.zeros(0, 3, 200, 100, dtype=torch.uint8)).shape == (0, 3, 48, 24)
    small = torch.randint(0, 256, (1, 1, 20, 20), dtype=torch.uint8)
    assert torch.equal(thumbnails(small), small)
    assert (thumbnails(torch.full((1, 3, 96, 96), 255, dtype=torch.uint8)) == 255).all()
