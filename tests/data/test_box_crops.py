"""Crops move boxes with their images, keep objects, and are functions of seed, epoch and index."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tlx.backbones.preprocessing import Preprocessing
from tlx.data import ImageDataModule
from tlx.data.augmentation.box_crops import BoxCrop, BoxTile, box_transform
from tlx.data.augmentation.randomness import seeded
from tlx.data.box_labels import CLASS, IGNORE, Boxes, BoxLabels
from tlx.data.splits.samples import Sample, Split
from tlx.data.splits.tiles import tiles

KIND = BoxLabels(3)


def how(size, sides, **more) -> Preprocessing:
    return Preprocessing(size, (0.4, 0.5, 0.6), (0.25,) * 3, sides=sides, **more)


def pictured(height: int, width: int, *boxes) -> tuple[torch.Tensor, Boxes]:
    """Return an image that is white within its boxes and black elsewhere, and its label."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    for left, top, right, bottom in boxes:
        image[:, top:bottom, left:right] = 255
    return image, Boxes.of([tuple(map(float, box)) for box in boxes], range(len(boxes)))


def objects(rows: torch.Tensor) -> torch.Tensor:
    return rows[rows[:, CLASS] >= 0]


@pytest.mark.parametrize("size", [(300, 200), (60, 90), (500, 90)])
def test_boxes_stay_on_their_objects(size):
    """Guards against boxes that are cut, scaled or mirrored in another way than their image."""
    image, label = pictured(*size, (12, 30, 48, 57))
    crop, seen = box_transform(how((96, 128), (120, 160)), "strong", True), 0
    for seed in range(40):
        torch.manual_seed(seed)
        cut, rows = KIND.transform(crop, image, label)
        assert cut.shape == (3, 96, 128)
        for left, top, right, bottom in objects(rows)[:, :4].tolist():
            white = (cut[0] > 128).nonzero()
            if not len(white):  # a sliver
                continue
            rims = [*white.amin(0).flip(0).tolist(), *(white.amax(0).flip(0) + 1).tolist()]
            assert np.allclose(rims, (left, top, right, bottom), atol=1.5)
            seen += 1
    assert seen > 25


def test_most_crops_of_a_large_image_show_its_object_whole():
    """Guards against tiles of background alone, from which nothing is learned."""
    image, label = pictured(1000, 1000, (700, 200, 730, 240))
    crop, whole, none = BoxCrop(how((128, 128), (1000, 1000)), (1.0, 1.0)), 0, 0
    for seed in range(200):
        torch.manual_seed(seed)
        found = objects(KIND.transform(crop, image, label)[1])
        whole += int(len(found) and float((found[0, 2] - found[0, 0]) * (found[0, 3] - found[0, 1])) >= 1199)
        none += int(not len(found))
    assert 120 <= whole <= 175
    assert none > 20, "background is seen, too"


def test_a_large_object_is_shown_in_parts():
    """Guards against a crop that lies beside an object because the object does not fit."""
    image, label = pictured(1000, 1000, (100, 100, 900, 900))
    torch.manual_seed(0)
    for _ in range(30):
        cut, rows = KIND.transform(BoxCrop(how((64, 64), (1000, 1000)), (1.0, 1.0)), image, label)
        if len(objects(rows)) and bool((cut == 255).all()):
            assert objects(rows)[0, :4].tolist() == [0, 0, 64, 64]
            assert objects(rows)[0, IGNORE] == 1  # a hundredth of it
            break
    else:
        pytest.fail("no crop lies in the object")


def test_padding_is_the_mean_colour_and_images_lie_at_the_top_left():
    """Guards against a black border that the network takes for an edge, and that tested images do not have."""
    image, label = pictured(40, 60, (10, 10, 20, 30))
    where = how((64, 128), (40, 60))
    placed, rows = KIND.transform(BoxTile(where).at((0, 0, 64, 128)), image, label)
    assert torch.equal(placed[:, :40, :60], image)
    assert placed[:, 50, 100].tolist() == [102, 128, 153]
    assert objects(rows)[:, :4].tolist() == [[10, 10, 20, 30]]
    normalised = (placed[:, 50, 100] / 255 - torch.tensor(where.mean)) / torch.tensor(where.std)
    assert float(normalised.abs().max()) < 0.01
    gray = BoxTile(where)(image[:1])
    assert int(gray[0, 50, 100]) == 128


def test_without_augmentation_a_training_image_is_the_validated_one():
    """Guards against objects of one size in training and another in validation."""
    image, label = pictured(333, 500, (100, 50, 333, 300), (7, 7, 19, 31))
    where = how((256, 384), (250, 384))
    torch.manual_seed(0)
    trained = KIND.transform(box_transform(where, "none", False), image, label)
    validated = KIND.transform(BoxTile(where).at((0, 0, 256, 384)), image, label)
    assert torch.equal(trained[0], validated[0])
    assert torch.equal(trained[1], validated[1])
    assert torch.equal(trained[0], BoxTile(where)(image)), "also without boxes, as images of a target domain"


def test_tiles_show_all_of_an_image_and_its_boxes():
    """Guards against objects that no validation tile shows."""
    image, label = pictured(300, 420, (100, 50, 130, 80), (390, 270, 420, 300), (0, 0, 20, 20))
    split = Split([Sample(0, label, "a")], image[None])
    found = []
    for sample in tiles(split, [(600, 840)], (256, 256), most=100).samples:
        cut, rows = KIND.transform(BoxTile(how((256, 256), (600, 840))).at(sample.region), image, label)
        assert cut.shape == (3, 256, 256)
        top, left = sample.region[:2]
        found += [(row[:4] + torch.tensor([left, top] * 2)) / 2 for row in objects(rows) if not row[IGNORE]]
    for box in label.boxes():
        assert min(float((one - torch.tensor(box)).abs().max()) for one in found) < 1


@pytest.mark.parametrize("augment", ["light", "strong", "affine"])
def test_batches_are_functions_of_seed_epoch_and_index(node, augment):
    """Guards against crops that depend on workers or on what was drawn before, and on the order of boxes."""
    keys = {"count": 6, "labels": "boxes", "image_size": [96, 128], "augment": augment, "repeats": 2, "batch_size": 4}
    data = ImageDataModule(node("scenes", **keys), Preprocessing(32, (0.5,) * 3, (0.25,) * 3), seed=3)
    first = data.train_dataloader().dataset[2, 5]
    with seeded(99):
        again = data.train_dataloader().dataset[2, 5]
    other = data.train_dataloader().dataset[3, 5]
    assert torch.equal(first["image"], again["image"])
    assert torch.equal(first["target"], again["target"])
    assert not torch.equal(first["image"], other["image"])
    assert first["target"].shape == (1, 6, 6)
    assert first["image"].shape == (1, 3, 96, 128)


def test_whole_images_are_tested_in_their_own_pixels(node):
    """Guards against boxes of the test in pixels of the canvas."""
    keys = {"count": 10, "labels": "boxes", "image_size": [96, 128]}
    data = ImageDataModule(node("scenes", **keys), Preprocessing(32, (0.5,) * 3, (0.25,) * 3), seed=0)
    assert data.preprocessing.height_width == (96, 128)
    assert data.preprocessing.sides == (96, 128)
    batch = next(iter(data.test_dataloader()))
    sample = data.splits["test"].samples[0]
    assert torch.equal(batch["image"][0], data.splits["test"].pixels[0])
    assert objects(batch["target"][0])[:, :4].tolist() == [list(box) for box in sample.target.boxes()]
    validated = next(iter(data.val_dataloader()))
    assert validated["image"].shape == (2, 3, 96, 128)
    assert validated["target"].shape == (2, 6, 6)
    assert len(data.box_sides) == sum(len(one.target) for one in data.checked.splits["train"].samples)
    assert data.class_amounts == [float(data.image_set.amounts(data.image_set.train)[i]) for i in range(10)]


def test_a_network_of_one_size_has_a_canvas_of_that_size(node):
    """Guards against a transformer that gets images of another size than it takes."""
    keys = {"count": 5, "labels": "boxes", "image_size": None}
    own = Preprocessing(224, (0.5,) * 3, (0.25,) * 3)
    fixed = ImageDataModule(node("scenes", **keys), own, seed=0, fixed_size=True)
    assert (fixed.preprocessing.size, fixed.preprocessing.sides) == (224, (186, 224))
    assert ImageDataModule(node("scenes", **keys), own, seed=0).preprocessing.height_width == (256, 320)


def test_a_run_resizes_test_images_as_those_it_learned_from(node):
    """Guards against a canvas that is chosen again from other images when a run is tested or predicts."""
    learned = how((64, 96), (64, 96))
    data = ImageDataModule(node("scenes", count=5, labels="boxes"), learned, seed=0)
    assert data.preprocessing == learned
    assert Preprocessing.from_dict(learned.to_dict()) == learned
    assert "sides" not in Preprocessing(32, (0.5,), (0.5,)).to_dict(), "keys of stored outputs stay as they are"
