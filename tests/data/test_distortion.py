from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from tlx.data.augmentation.distortion import Distortion, Jitter
from tlx.data.augmentation.randomness import seeded
from tlx.data.augmentation.transforms import distortion
from tlx.data.batches.ahead import copied_ahead, one_ahead

STRONG = distortion("strong")
NOTHING = Jitter(0.0, 0.0, 0.0, 0.0)


def photo(channels: int = 3, height: int = 40, width: int = 40) -> torch.Tensor:
    """A smooth picture without extreme values, so that clipping plays no part."""
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 2, width), indexing="ij")
    waves = [100 + 12 * k + 25 * torch.sin((k + 1) * x + y) for k in range(channels)]
    return torch.stack(waves).round().to(torch.uint8)


def drawn(distort: Distortion, seed: int = 0) -> torch.Tensor:
    with seeded(seed):
        return distort.draw()[None]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_an_image_is_distorted_alike_in_every_batch(channels):
    """Guards against results that depend on who else is in the batch, which no resumed or cached run could repeat."""
    images = torch.stack([photo(channels).roll(k, -1) for k in range(7)])
    parameters = torch.cat([drawn(STRONG, seed) for seed in range(7)])
    together = STRONG(images, parameters)
    assert together.shape == images.shape
    assert together.dtype == torch.uint8
    for k in range(7):
        assert torch.equal(together[k], STRONG(images[k : k + 1], parameters[k : k + 1])[0])
    assert not torch.equal(together, images)


def test_alpha_and_further_channels_keep_their_values():
    """Guards against a colour jitter that makes images transparent."""
    colours_only = Distortion(jitter=Jitter())
    for channels, kept in ((2, 1), (4, 3), (6, 3)):
        image = photo(channels)[None]
        changed = colours_only(image, drawn(colours_only))
        assert torch.equal(changed[:, kept:], image[:, kept:])
        assert not torch.equal(changed[:, :kept], image[:, :kept])


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("brightness", F.adjust_brightness),
        ("contrast", F.adjust_contrast),
        ("saturation", F.adjust_saturation),
    ],
)
def test_colours_change_as_in_torchvision(name, reference):
    """Guards against factors that mean something else than their names say."""
    distort = Distortion(jitter=replace(NOTHING, **{name: 0.3}))
    for seed in range(5):
        with seeded(seed):
            u = torch.rand(15, dtype=torch.float64)[5 + ["brightness", "contrast", "saturation"].index(name)]
        factor = 0.7 + 0.6 * float(u)
        ours = distort(photo()[None], drawn(distort, seed))[0]
        difference = (ours.int() - reference(photo(), factor).int()).abs()
        assert difference.max() <= 1, f"{name} {factor}"


def test_hue_turns_colours_and_leaves_gray_and_brightness():
    """Guards against a hue that tints gray pictures or makes them darker."""
    distort = Distortion(jitter=replace(NOTHING, hue=0.25))
    parameters = drawn(distort, 3)
    gray = photo(1).expand(3, -1, -1)[None]
    assert (distort(gray, parameters).int() - gray.int()).abs().max() <= 1
    before, after = photo()[None], distort(photo()[None], parameters)
    assert (after.int() - before.int()).abs().max() > 10
    luma = (F.rgb_to_grayscale(after).int() - F.rgb_to_grayscale(before).int()).abs()
    assert luma.max() <= 2


def test_geometry_is_that_of_torchvision():
    """Guards against rotations, shifts and sizes of another amount than was asked for."""
    image = torch.zeros(1, 1, 41, 41)
    image[..., 10:16, 22:30] = 200
    image = v2.functional.gaussian_blur(image, [5, 5]).to(torch.uint8)
    distort = Distortion(degrees=20, shift=0.1, zoom=(0.8, 1.2))
    for seed in range(6):
        with seeded(seed):
            turn, _, zoom, right, down = torch.rand(15, dtype=torch.float64)[:5].tolist()
        turn, zoom = -20 + 40 * turn, 0.8 * (1.2 / 0.8) ** zoom
        right, down = (41 * (-0.1 + 0.2 * u) for u in (right, down))
        ours = distort(image, drawn(distort, seed))
        theirs = F.affine(
            image.float(),
            angle=turn,
            translate=[0, 0],
            scale=zoom,
            shear=[0.0],
            interpolation=F.InterpolationMode.BILINEAR,
        )  # whole pixels only
        moved = Distortion(shift=0.1)
        shifted = torch.tensor([[1.0, 0, -2 * right / 41, 0, 1, -2 * down / 41]])
        parameters = torch.cat([shifted, drawn(distort, seed)[:, 6:]], dim=1)
        assert (ours.int() - moved(theirs.round().to(torch.uint8), parameters).int()).abs().float().mean() < 1.0


def test_erasing_happens_as_often_as_it_says_and_erases_a_part():
    """Guards against erasing always, never, or everything."""
    distort = Distortion(erase=0.25)
    white = torch.full((1, 1, 64, 64), 255, dtype=torch.uint8)
    erased = [float((distort(white, drawn(distort, seed)) == 0).float().mean()) for seed in range(400)]
    hit = [share for share in erased if share > 0]
    assert 70 < len(hit) < 130
    assert min(hit) > 0.01
    assert max(hit) < 0.36


def test_half_of_the_characters_are_inverted():
    """Guards against ink of one brightness, and against inverted alpha."""
    distort = Distortion(invert=0.5)
    image = photo(2)[None]
    changed = [distort(image, drawn(distort, seed)) for seed in range(200)]
    inverted = [x for x in changed if torch.equal(x[:, :1], 255 - image[:, :1])]
    assert 70 < len(inverted) < 130
    assert sum(torch.equal(x, image) for x in changed) == 200 - len(inverted)
    assert all(torch.equal(x[:, 1:], image[:, 1:]) for x in changed)
    assert distortion("characters").invert == 0.5


def test_nothing_asked_for_changes_nothing():
    """Guards against losing pixels on the way through floats."""
    image = torch.randint(0, 256, (3, 3, 17, 23), dtype=torch.uint8)
    for distort in (Distortion(), Distortion(jitter=NOTHING), Distortion(erase=1e-12)):
        parameters = torch.cat([drawn(distort, seed) for seed in range(3)])
        assert (distort(image, parameters).int() - image.int()).abs().max() <= 1


def test_zoom_shows_the_whole_and_less():
    """Guards against `affine` cutting characters only, where it should make them smaller as well."""
    affine = distortion("affine")
    dot = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    dot[..., 20:44, 20:44] = 255
    areas = [float((affine(dot, drawn(affine, seed)) > 127).float().mean()) * 64**2 / 24**2 for seed in range(100)]
    assert 0.45 < min(areas) < 0.6
    assert 1.5 < max(areas) < 1.8
    assert math.isclose(sum(math.log(a) for a in areas) / 100, math.log(0.7 * 1.3), abs_tol=0.1)


def test_strokes_end_at_the_edge_of_a_drawing():
    """Guards against a digit that fills its picture growing long streaks where it is made smaller or moved."""
    stroke = torch.full((1, 2, 40, 40), 30, dtype=torch.uint8)
    stroke[..., 16:22] = 220  # from edge to edge
    half = torch.tensor([[2.0, 0, 0, 0, 2.0, 0]])
    parameters = torch.cat([half, drawn(Distortion())[:, 6:]], dim=1)
    smaller = replace(distortion("affine"), degrees=1.0)(stroke, parameters)
    assert (smaller[..., :9, :] == 30).all()
    assert (smaller[..., 12:28, 19] == 220).all()
    streaks = Distortion(degrees=1.0)(stroke, parameters)
    assert (streaks[..., 0, 19] == 220).all()
    assert distortion("characters").beyond == "background"
    assert distortion("strong").beyond == "edge"


def test_one_is_started_before_the_last_one_is_given_out():
    """Guards against a copy that begins only when its batch is needed."""
    told = []

    def start(item: int) -> int:
        told.append(f"start {item}")
        return item

    def finish(item: int) -> int:
        told.append(f"finish {item}")
        return item

    for item in one_ahead(iter([1, 2, 3]), start, finish):
        told.append(f"use {item}")
    order = ["start 1", "start 2", "finish 1", "use 1", "start 3", "finish 2", "use 2", "finish 3", "use 3"]
    assert told == order
    assert list(one_ahead([], start, finish)) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_arrive_whole_on_the_gpu_and_are_distorted_there():
    """Guards against memory of a batch that is used again before its copy is there."""
    device = torch.device("cuda")
    batches = [{"image": torch.full((4, 3, 64, 64), k, dtype=torch.uint8).pin_memory()} for k in range(50)]
    for k, batch in enumerate(copied_ahead(batches, device)):
        assert batch["image"].device.type == "cuda"
        assert int(batch["image"].float().mean()) == k
    images = torch.stack([photo() for _ in range(8)])
    parameters = torch.cat([drawn(STRONG, seed) for seed in range(8)])
    difference = STRONG(images, parameters).int() - STRONG(images.to(device), parameters).cpu().int()
    assert difference.abs().float().mean() < 0.05
