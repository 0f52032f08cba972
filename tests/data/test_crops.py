"""Crops move masks with their images, look for rare classes, and cover every validation image."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms import v2

from tlx.backbones import small_cnn
from tlx.config import compose
from tlx.data import ImageDataModule
from tlx.data.augmentation.crops import RandomCrop, Tile
from tlx.data.ignored import IGNORED
from tlx.data.mask_labels import MASKS, Mask, MaskArray
from tlx.data.splits.samples import Sample, Split
from tlx.data.splits.tiles import tiles

NEAREST = v2.InterpolationMode.NEAREST


def _pair(height: int, width: int) -> tuple[torch.Tensor, Mask]:
    """An image whose gray values are the classes of its mask."""
    classes = np.random.default_rng(0).integers(1, 5, (height, width), dtype=np.uint8)
    return torch.from_numpy(classes)[None].clone(), MaskArray(classes)


def test_image_and_mask_are_cut_alike():
    """Guards against a mask that is cut, scaled or mirrored in another way than its image."""
    crop = v2.Compose([RandomCrop((16, 24), NEAREST), v2.RandomHorizontalFlip()])
    for size in ((40, 40), (9, 12), (16, 100)):
        image, label = _pair(*size)
        for seed in range(30):
            torch.manual_seed(seed)
            cut, mask = MASKS.transform(crop, image, label)
            assert cut.shape == (1, 16, 24)
            assert mask.shape == (16, 24)
            assert torch.equal(mask == IGNORED, cut[0] == 0)  # beyond the image: black, and not counted
            assert torch.equal(mask[mask != IGNORED], cut[0][mask != IGNORED])


def test_half_of_the_crops_show_a_rare_class():
    """Guards against a class of a few pixels that training never sees."""
    classes = np.zeros((400, 400), dtype=np.uint8)
    classes[300:304, 50:54] = 1
    image, label = torch.zeros(1, 400, 400, dtype=torch.uint8), MaskArray(classes)
    classes[100:300, 100:300] = IGNORED
    crop, plain = RandomCrop((32, 32), NEAREST, (1.0, 1.0)), 0
    for seed in range(300):
        torch.manual_seed(seed)
        plain += int((MASKS.transform(crop, image, label)[1] == 1).any())
    assert plain > 10  # a crop anywhere shows it in one of 120


def test_tiles_cover_the_image_and_a_choice_takes_every_image():
    """Guards against parts that are never validated, and against a choice that follows one image alone."""
    size = (16, 16)
    split = Split([Sample(i, None, str(i)) for i in range(5)], torch.zeros(5, 1, 40, 50, dtype=torch.uint8))
    chosen = tiles(split, [(40, 50)] * 5, size, most=1000)
    seen = torch.zeros(5, 40, 50)
    for sample in chosen.samples:
        top, left, height, width = sample.region
        assert (height, width) == size
        seen[sample.source, top : top + 16, left : left + 16] = 1
    assert seen.all()
    few = tiles(split, [(40, 50)] * 5, size, most=7)
    assert len(few) == 7
    assert {sample.source for sample in few.samples} == set(range(5))
    assert few == tiles(split, [(40, 50)] * 5, size, most=7)


def test_a_tile_shows_its_region_of_the_enlarged_image():
    """Guards against tiles of a small image that are cut before it is enlarged."""
    image, label = _pair(8, 12)
    cut, mask = MASKS.transform(Tile((16, 16), NEAREST).at((0, 8, 16, 16)), image, label)
    expected = image[0].repeat_interleave(2, 0).repeat_interleave(2, 1)[:, 8:24]
    assert torch.equal(cut[0], expected)
    assert torch.equal(mask, expected)


def test_larger_images_have_more_crops():
    """Guards against a frozen stage that sees five crops of a picture which forty crops would cover."""
    for size, crops in (([160, 192], 1), (96, 3), (40, 8)):
        keys = ["task=segmentation", "dataset=scenes", "dataset.count=10", f"dataset.image_size={size}"]
        data = ImageDataModule(compose(keys).dataset, small_cnn(width=4).preprocessing, seed=0)
        assert data.crops_per_image == crops
    folder = ImageDataModule(compose(["dataset=digits"]).dataset, small_cnn(width=4).preprocessing, seed=0)
    assert folder.crops_per_image == 1
