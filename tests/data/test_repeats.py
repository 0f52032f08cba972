"""Small sets of crops: an epoch draws several crops of each image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tlx import compose
from tlx.backbones import small_cnn
from tlx.base.errors import ConfigError
from tlx.data import ImageDataModule
from tlx.data.batches import dataset as module

SCENES = ("task=segmentation", "dataset=scenes", "dataset.count=10", "dataset.image_size=48", "dataset.batch_size=4")


def _data(*keys: str) -> ImageDataModule:
    return ImageDataModule(compose([*SCENES, *keys]).dataset, small_cnn(width=4).preprocessing, seed=0)


def test_a_small_set_makes_fifty_steps():
    """Guards against 20 photographs from which an epoch learns in three steps."""
    data = _data()
    assert data.repeats == 20
    assert len(data.train_dataloader()) == 50
    assert "20 crops of each training image, 200 crops (dataset.repeats)" in data.describe()
    assert len(_data("dataset.repeats=1").train_dataloader()) == 3
    digits = ImageDataModule(compose(["dataset=digits"]).dataset, small_cnn(width=4).preprocessing, seed=0)
    assert digits.repeats == 1


def test_each_repeat_is_a_crop_of_its_own():
    """Guards against an epoch that shows the same crop several times."""
    data = _data("dataset.repeats=3", "dataset.augment=light")
    batches = list(data.train_dataloader())
    index = torch.cat([batch["index"] for batch in batches])
    crops = torch.cat([batch["image"] for batch in batches])
    of_first = crops[index % 10 == 3]
    assert len(of_first) >= 2
    assert not torch.equal(of_first[0], of_first[1])
    again = torch.cat(
        [batch["image"] for batch in _data("dataset.repeats=3", "dataset.augment=light").train_dataloader()]
    )
    assert torch.equal(crops, again)


def test_stored_crops_of_repeats_have_their_own_keys():
    """Guards against a cache that returns one crop for all repeats of an image, and against as many views for each."""
    data = _data("dataset.repeats=3")
    images, labels = data.content_keys("train"), data.label_keys("train")
    assert len(set(images)) == len(images) == 30
    assert labels is not None
    assert len(set(labels)) == 30
    assert images[:10] == _data("dataset.repeats=1").content_keys("train")
    assert [_data(f"dataset.repeats={n}").crop_views(4) for n in (1, 2, 8)] == [32, 16, 4]  # an image has eight crops


def test_a_repeated_image_is_decoded_and_kept_once(tmp_path, monkeypatch):
    """Guards against twenty copies of each photograph in memory, for which there is no room."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(5):
        Image.fromarray(np.full((60, 60, 3), 40 * i, dtype=np.uint8)).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(np.eye(60, dtype=np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    keys = ["task=segmentation", "dataset=masks", f"dataset.root={tmp_path}", "dataset.image_size=32"]
    config = compose([*keys, "dataset.classes=[background,line]", "dataset.repeats=4", "dataset.num_workers=0"])
    data = ImageDataModule(config.dataset, small_cnn(width=4).preprocessing, seed=0)
    read: list[object] = []
    original = module.read_pixels
    monkeypatch.setattr(module, "read_pixels", lambda path, *rest: read.append(path) or original(path, *rest))
    for _ in range(2):
        assert sum(len(batch["index"]) for batch in data.train_dataloader()) >= 8
    assert len(read) == len(set(read)) == data.sizes["train"] // 4


def test_the_images_that_a_run_began_with_do_not_depend_on_repeats():
    """Guards against a run that cannot be resumed because its images are counted several times."""
    assert _data().fingerprint() == _data("dataset.repeats=1").fingerprint()


@pytest.mark.parametrize("typed", ["0", "many"])
def test_wrong_repeats_are_mistakes(typed):
    """Guards against an epoch without images."""
    with pytest.raises(ConfigError, match=r"dataset\.repeats"):
        compose([*SCENES, f"dataset.repeats={typed}"])
