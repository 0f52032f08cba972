"""Mosaics of images with boxes."""

from __future__ import annotations

import pytest
import torch

from tlx.backbones.preprocessing import Preprocessing
from tlx.config import compose
from tlx.data import ImageDataModule
from tlx.data.augmentation.randomness import seeded
from tlx.data.box_labels import CLASS, Boxes
from tlx.data.splits.samples import Sample, Split

HOW = Preprocessing(32, (0.5,) * 3, (0.25,) * 3)
KEYS = {"labels": "boxes", "image_size": [96, 128], "augment": "mosaic", "repeats": 1, "batch_size": 4}


@pytest.fixture
def data(node):
    """Eight images, each with a square in a gray level of its own."""
    data = ImageDataModule(node("scenes", count=8, **KEYS), HOW, seed=3)
    pixels, samples = torch.zeros(8, 3, 96, 128, dtype=torch.uint8), []
    for number in range(8):
        pixels[number, :, 30:60, 40 + 5 * number : 70 + 5 * number] = 100 + 20 * number
        box = 40.0 + 5 * number, 30.0, 70.0 + 5 * number, 60.0
        samples.append(Sample(number, Boxes.of([box], [number]), str(number)))
    train = Split(samples, pixels)
    data.checked.splits["train"] = train
    return data


def test_boxes_lie_on_the_objects_of_all_four_images(data):
    """Guards against boxes of a quarter that are not shifted with it, and against objects that are lost."""
    dataset, most, mosaics = data.train_dataloader().dataset, 0, 0
    for epoch in range(12):
        for index in range(8):
            batch = dataset[epoch, index]
            rows = batch["target"][0]
            assert batch["image"].shape == (1, 3, 96, 128)
            assert rows.shape == (24, 6)
            shown = rows[rows[:, CLASS] >= 0]
            for left, top, right, bottom, label, _ in shown.tolist():
                if right - left < 6 or bottom - top < 6:
                    continue
                middle = batch["image"][0, 0, round((top + bottom) / 2), round((left + right) / 2)]
                assert abs(int(middle) - (100 + 20 * int(label))) < 15
            most, mosaics = max(most, len(shown)), mosaics + int(len(shown) > 1)
    assert most == 4
    assert 25 < mosaics < 60


def test_a_mosaic_is_a_function_of_seed_epoch_and_index(data):
    """Guards against partners that depend on what was drawn before."""
    dataset = data.train_dataloader().dataset
    first = [dataset[1, index] for index in range(8)]
    with seeded(77):
        again = [dataset[1, index] for index in reversed(range(8))][::-1]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["target"], other["target"])


def test_stored_mosaics_are_of_one_set(node):
    """Guards against maps of a mosaic with images of another set, and against validation that is drawn."""
    one, other = (ImageDataModule(node("scenes", count=count, **KEYS), HOW, seed=3) for count in (8, 9))
    assert one.drawing("train", 0) != other.drawing("train", 0)
    assert one.drawing("val_tiles", None) == other.drawing("val_tiles", None)
    validated = next(iter(one.val_dataloader()))
    assert validated["target"].shape == (1, 24, 6)
    assert int((validated["target"][0, :, CLASS] >= 0).sum()) == len(one.splits["val"].samples[0].target)


def test_a_mosaic_is_of_boxes(node):
    """Guards against an augmentation of masks or classes that does nothing."""
    from tlx.base.errors import ConfigError

    with pytest.raises(ConfigError, match=r"dataset\.augment: expected an augmentation other than mosaic for masks"):
        compose(["task=segmentation", "dataset=scenes", "dataset.augment=mosaic"])
