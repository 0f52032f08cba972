"""Predicted images side by side, for each task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tlx.base.errors import TlxError
from tlx.measures.sheet import contact_sheet
from tlx.tasks.classification.predictions import Predictions
from tlx.tasks.contact_sheet import OnASheet
from tlx.tasks.detection.predictions import BoxPredictions
from tlx.tasks.segmentation.predictions import MaskPredictions


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A gray picture of 40 x 30 pixels."""
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((30, 40, 3), 100, np.uint8)).save(path)
    return path


def of_all_tasks(photo: Path) -> list[OnASheet]:
    box = torch.tensor([[5.0, 5.0, 20.0, 20.0, 1.0, 0.9]])
    mask = np.zeros((30, 40), np.uint8)
    mask[:15] = 1
    names = ["background", "cell"]
    return [
        Predictions([photo], ["cat", "dog"], torch.tensor([[0.25, 0.75]])),
        MaskPredictions.of([photo], names, [mask]),
        BoxPredictions.of([photo], names, [box], torch.tensor([0.5, 0.5])),
    ]


def test_each_image_is_shown_with_what_was_predicted(photo: Path) -> None:
    """Guards against a sheet of images that does not say, or show, what was predicted."""
    captions, pictures = zip(*(found.captioned(0) for found in of_all_tasks(photo)), strict=True)
    assert captions == ("photo.png\ndog 0.75", "photo.png\ncell 50 %, background 50 %", "photo.png\n1 cell")
    assert (pictures[0] == 100).all()
    assert not (pictures[1][:15] == 100).all()
    assert not (pictures[2] == 100).all()


def test_a_figure_holds_the_first_images_alone(photo: Path) -> None:
    """Guards against a thousand images that are read again to show thirty."""
    many = Predictions([photo] * 7 + [photo.parent / "none.png"], ["cat"], torch.ones(8, 1))
    assert many.sheet(1).shape[1] < many.sheet(5).shape[1] == many.sheet(7).shape[1]
    width, height = (round(100 * side) for side in many.show(7).get_size_inches())
    assert (height, width) == many.sheet(7).shape[:2]
    assert repr(many) == "<Predictions of 8 images>"
    with pytest.raises(TlxError, match=r"none\.png"):
        many.show()
    with pytest.raises(TlxError, match="at least one image"):
        many.show(0)


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    """Guards against pictures of 16 pixels that nobody can see, or that are blurred."""
    small = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    sheet = contact_sheet([("one\ntwo", small)], 1, 100)
    assert np.array_equal(sheet[8 + 2 * 18 : 8 + 2 * 18 + 96 : 6, 8 : 8 + 96 : 6], small)
