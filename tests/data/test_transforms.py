from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.transforms import v2

from tlx.backbones.preprocessing import Preprocessing
from tlx.base.errors import TlxError
from tlx.data.augmentation.randomness import seeded
from tlx.data.augmentation.transforms import AUGMENTATIONS, distortion, eval_transform, needed_side, train_transform

SIDES = [(1, 1), (8, 8), (16, 16), (10, 30), (57, 23), (300, 16)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("augment", "channels"),
    [(a, c) for a in AUGMENTATIONS for c in (1, 2, 3, 4, 6) if a != "trivial" or c in (1, 3)],
)
def test_every_augmentation_gives_the_input_size(preprocessing, augment, channels):
    """Guards against colour operations that refuse gray or alpha, and against images of another size or type."""
    transform, distort = train_transform(preprocessing, augment, horizontal_flip=True), distortion(augment)
    for height, width in SIDES:
        for seed in range(20):
            with seeded(seed):
                image = transform(torch.full((channels, height, width), 200, dtype=torch.uint8))
                drawn = None if distort is None else distort.draw()[None]
            assert image.shape == (channels, 16, 16)
            assert image.dtype == torch.uint8
            if distort is not None:
                assert distort(image[None], drawn).shape == (1, channels, 16, 16)


def test_evaluation_is_resize_and_centre_crop():
    """Guards against squashing, or against a crop that is not the backbone's."""
    image = torch.arange(40, dtype=torch.uint8).expand(1, 20, 40)  # column number, 20 x 40
    out = eval_transform(Preprocessing(16, (0.5,), (0.5,), "nearest", crop=0.8))(
        image
    )  # 20 x 40, then 16 of the centre
    assert out.shape == (1, 16, 16)
    assert out[0, 0].tolist() == list(range(12, 28))
    bicubic = Preprocessing(10, (0.5,), (0.5,), "bicubic")
    assert not torch.equal(
        eval_transform(bicubic)(image), eval_transform(replace(bicubic, interpolation="nearest"))(image)
    )


def test_none_is_the_transform_of_evaluation(preprocessing):
    """Guards against training on other images than those evaluated where no augmentation was asked for."""
    image = torch.randint(0, 256, (3, 40, 30), dtype=torch.uint8)
    assert torch.equal(train_transform(preprocessing, "none", True)(image), eval_transform(preprocessing)(image))


@pytest.mark.parametrize("augment", ["light", "strong", "affine", "trivial"])
def test_flips_only_where_allowed(preprocessing, augment):
    """Guards against mirrored digits and letters, which are examples of nothing."""
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    image[..., 16:] = 200  # dark left, bright right

    def mirrored(horizontal_flip: bool) -> int:
        transform = train_transform(preprocessing, augment, horizontal_flip)
        count = 0
        for seed in range(200):
            with seeded(seed):
                out = transform(image).float()
            count += int(out[..., :4].mean() > out[..., -4:].mean() + 20)
        return count

    allowed, forbidden = mirrored(True), mirrored(False)
    assert 60 < allowed < 140
    assert forbidden <= (15 if augment == "trivial" else 0)  # inverting and large rotations look likewise


def test_light_keeps_half_the_picture_and_strong_changes_colours(preprocessing):
    """Guards against the names meaning something else than is written."""
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    gray = torch.full((3, 64, 64), 100, dtype=torch.uint8)
    with seeded(0):
        assert not torch.equal(
            train_transform(preprocessing, "light", False)(image), eval_transform(preprocessing)(image)
        )
        assert train_transform(preprocessing, "light", False)(gray).unique().tolist() == [100]
        strong = distortion("strong")
        assert strong is not None
        assert strong(gray[None], strong.draw()[None]).unique().tolist() != [100]
    assert distortion("light") is None


def test_unknown_augmentation(preprocessing):
    """Guards against training unaugmented because of a typo."""
    with pytest.raises(TlxError, match="got 'lite'; did you mean 'light'"):
        train_transform(preprocessing, "lite", True)


@pytest.mark.parametrize(
    ("size", "crop", "augment", "expected"),
    [
        *((224, 1.0, "none", 448), (224, 0.875, "none", 512), (64, 0.875, "none", 146)),
        *((224, 0.875, "light", 732), (224, 0.875, "trivial", 732), (224, 0.875, "strong", 1035)),
        (224, 0.875, "affine", 512),
    ],
)
def test_needed_side(size, crop, augment, expected):
    """Guards against images decoded smaller than twice what the transform of that name resizes to."""
    assert needed_side(Preprocessing(size, (0.5,), (0.5,), crop=crop), augment) == expected


@pytest.mark.parametrize("augment", ["light", "strong", "trivial"])
def test_the_smallest_random_part_has_the_pixels_that_are_needed(augment):
    """Guards against a random part smaller than `needed_side` reckons with: it would be blurred by reduced decoding."""
    preprocessing = Preprocessing(16, (0.5,), (0.5,))
    side = needed_side(preprocessing, augment)
    crop = train_transform(preprocessing, augment, False)
    crop = crop if isinstance(crop, v2.RandomResizedCrop) else crop.transforms[0]
    torch.manual_seed(0)
    parts = [crop.make_params([torch.zeros(1, side, side)]) for _ in range(2000)]
    shortest = min(min(p["height"], p["width"]) for p in parts)
    assert 2 * 16 - 1 <= shortest < 2.2 * 16


def test_seeded_is_a_function_of_its_parts():
    """Guards against draws that depend on what was drawn before, and against disturbing the training's own draws."""
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = torch.rand(1)
    with seeded(1, "augment", 2, 3):
        inside = torch.rand(3)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)
    with seeded(1, "augment", 2, 3):
        assert torch.equal(torch.rand(3), inside)
    for other in ((1, "augment", 3, 2), (1, "order", 2, 3), (2, "augment", 2, 3)):
        with seeded(*other):
            assert not torch.equal(torch.rand(3), inside)
