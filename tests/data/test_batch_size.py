"""`dataset.batch_size=auto`."""

from __future__ import annotations

import pytest

from tlx import compose
from tlx.backbones import small_cnn
from tlx.base.errors import ConfigError
from tlx.data import ImageDataModule
from tlx.data.batch_size import SMALLER, automatic, reason
from tlx.data.counting import training_images


def _data(*keys: str) -> ImageDataModule:
    config = compose(["dataset=digits", "dataset.image_size=16", "dataset.channels=1", *keys])
    return ImageDataModule(config.dataset, small_cnn(width=4).preprocessing, seed=0)


def test_small_sets_get_small_batches():
    """Guards against 60 images in two steps an epoch, and against limits that are off by one."""
    assert [automatic(images) for images in (1, 60, 99, 100, 399, 400, 10**6)] == [8, 8, 8, 16, 16, 32, 32]
    assert [reason({}, images, in_parts=False) for images in (60, 399, 400)] == [
        f"fewer than {SMALLER[0][0]} training images", f"fewer than {SMALLER[1][0]} training images",
        f"{SMALLER[1][0]} training images or more",
    ]  # fmt: skip
    assert reason({"batch_size": 8}, 60, in_parts=False) == ""


@pytest.mark.parametrize("world", [2, 3, 4, 8])
@pytest.mark.parametrize("images", [60, 200, 5000])
def test_processes_share_a_batch(images, world):
    """Guards against a batch that some processes cannot divide, and against one image for BatchNorm."""
    size = automatic(images, world)
    assert size % world == 0
    assert size >= max(2 * world, automatic(images))
    assert size < max(2 * world, automatic(images)) + world


def test_a_set_decides_and_a_number_is_that_number():
    """Guards against a key without effect, and against `auto` that replaces what was typed."""
    auto, typed = _data("dataset.labels_per_class=6"), _data("dataset.labels_per_class=6", "dataset.batch_size=32")
    assert [len(batch["index"]) for batch in typed.train_dataloader()] == [30, 30]
    assert {len(batch["index"]) for batch in auto.train_dataloader()} == {7, 8}
    assert {len(batch["index"]) for batch in _data().train_dataloader()} == {31, 32}
    assert max(len(batch["index"]) for batch in auto.val_dataloader()) == 32  # nothing trains there


def test_sets_in_crops_have_eight():
    """Guards against batches of 32 crops, each with thousands of labels."""
    keys = ["task=segmentation", "dataset=scenes", "dataset.count=10", "dataset.image_size=48"]
    for size in ("auto", "8"):
        config = compose([*keys, f"dataset.batch_size={size}"])
        data = ImageDataModule(config.dataset, small_cnn(width=4).preprocessing, seed=0)
        assert {len(batch["index"]) for batch in data.train_dataloader()} == {8}


@pytest.mark.parametrize("typed", ["0", "small", "1.5", "null"])
def test_other_values_are_mistakes(typed):
    """Guards against a batch of no images, and against a word that is taken for `auto`."""
    with pytest.raises(ConfigError, match=r"dataset\.batch_size"):
        compose([f"dataset.batch_size={typed}"])


def test_a_plan_counts_as_training_does(make_tree):
    """Guards against a plan for another number of images than those that train."""
    tree = make_tree({"a": 30, "b": 20})
    keys = ["dataset=folder", f"dataset.root={tree}", "backbone=small_cnn"]
    for more in ([], ["dataset.labels_per_class=4"], ["dataset.fraction=0.5"]):
        node = compose([*keys, *more]).dataset
        assert training_images(node) == ImageDataModule(node, small_cnn(width=4).preprocessing, 0).sizes["train"]


def test_many_files_are_counted_and_not_read(make_tree, monkeypatch):
    """Guards against a plan that reads a million files."""
    monkeypatch.setattr("tlx.data.counting._LOADED", 10)
    monkeypatch.setattr("tlx.data.counting.load_checked", None)
    keys = ["dataset=folder", f"dataset.root={make_tree({'a': 30, 'b': 20})}", "dataset.test_fraction=0.2"]
    assert training_images(compose(keys).dataset) == 30
    assert training_images(compose([*keys, "dataset.labels_per_class=4"]).dataset) == 8
    assert training_images(compose(["dataset=mnist"]).dataset) is None
