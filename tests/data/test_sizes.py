"""Inputs that are no square: height before width, wherever a size is asked for."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

import tlx
from tlx.backbones.preprocessing import Preprocessing
from tlx.base.errors import ConfigError, TlxError
from tlx.data import ImageDataModule
from tlx.data.augmentation.randomness import seeded
from tlx.data.augmentation.transforms import AUGMENTATIONS, eval_transform, needed_side, train_transform
from tlx.training.memory import estimated

WIDE = Preprocessing((12, 20), (0.5,), (0.5,), crop=0.875)


def test_a_size_is_a_side_or_height_and_width():
    """Guards against another model.json of a square, and against width before height."""
    assert Preprocessing((16, 16), (0.5,), (0.5,)).to_dict()["size"] == 16
    assert Preprocessing.from_dict(WIDE.to_dict()) == WIDE
    assert WIDE.to_dict()["size"] == [12, 20]
    assert (WIDE.height_width, WIDE.short_side) == ((12, 20), 12)
    for wrong in ((12,), (12, 0), (1, 2, 3)):
        with pytest.raises(TlxError, match="expected"):
            Preprocessing(wrong, (0.5,), (0.5,))


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(3, 5), (40, 40), (20, 90), (90, 20)])
def test_every_augmentation_gives_height_and_width(augment, shape):
    """Guards against an input that is turned, and against a mask of another size than its image."""
    for transform in (train_transform(WIDE, augment, True), eval_transform(WIDE)):
        with seeded(0):
            image = transform(torch.zeros(3, *shape, dtype=torch.uint8))
        assert image.shape == (3, 12, 20)
    with seeded(0):
        pair = eval_transform(WIDE)(torch.zeros(1, *shape), tv_tensors.Mask(torch.zeros(*shape, dtype=torch.uint8)))
    assert [one.shape[-2:] for one in pair] == [(12, 20)] * 2


def test_an_image_covers_the_input_and_keeps_its_aspect():
    """Guards against squashing to a rectangle, and against black borders."""
    columns = torch.arange(40, dtype=torch.uint8).expand(1, 40, 40)
    out = eval_transform(Preprocessing((10, 20), (0.5,), (0.5,), "nearest"))(columns)
    assert out[0, 0].tolist() == list(range(1, 40, 2)) or out[0, 0].tolist() == list(range(0, 40, 2))
    rows = eval_transform(Preprocessing((10, 20), (0.5,), (0.5,), "nearest"))(columns.mT)
    assert len(set(rows[0, :, 0].tolist())) == 10
    assert int(rows[0, -1, 0]) - int(rows[0, 0, 0]) == 18  # half of the rows, each second one
    assert needed_side(WIDE, "none") == 2 * 23


def test_a_rectangle_goes_through_memory_kept_images_and_batches(make_tree, node, preprocessing):
    """Guards against room for squares, and against a size that only one of the readers knows."""
    root = make_tree({"train/a": 6, "train/b": 6, "test/a": 2, "test/b": 2})
    data = ImageDataModule(node("folder", root=str(root), image_size=[12, 20]), preprocessing, seed=0)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert next(iter(loader))["image"].shape[1:] == (3, 12, 20)
    kept = data.val_dataloader().dataset.kept
    assert kept is not None
    assert kept.size == len(data.splits["val"]) * 3 * 12 * 20
    one, other = (
        tlx.compose(["backbone=small_cnn", f"dataset.image_size={size}", "optimizer.lr=0.1"]) for size in (16, "[8,32]")
    )
    assert one.run_name != other.run_name
    assert [estimated(config, 8).parts["images"] for config in (one, other)] == [8 * 3 * 256 * 4] * 2


@pytest.mark.run
def test_a_run_on_rectangles_is_used_again_with_its_size(tmp_path):
    """Guards against predictions on squares by a network that was trained on rectangles."""
    small = ["backbone=small_cnn", "backbone.width=4", "trainer.stage_epochs=1", "logger=none", "strategy=linear_probe"]
    run = tlx.train(tlx.compose([*small, "dataset.image_size=[12,20]", f"run_dir={tmp_path / 'run'}"]))
    assert json.loads((tmp_path / "run" / "model.json").read_text())["preprocessing"]["size"] == [12, 20]
    Image.new("L", (50, 30), 100).save(tmp_path / "one.png")
    assert tlx.Run(run.directory).predict([tmp_path / "one.png"]).probabilities.shape == (1, 10)
    with pytest.raises(
        ConfigError, match=r"dataset.image_size: expected one side of a square, or a height and a width"
    ):
        tlx.compose([*small, "dataset.image_size=[12,20,30]"])
