"""Whole images of any size are put together from tiles."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tlx.base.tile_offsets import tile_offsets
from tlx.data.augmentation.covering import covering
from tlx.tasks.dense.reduced import reduced
from tlx.tasks.dense.tiling import OVERLAP, class_map


def _by_colour(tiles: Tensor) -> Tensor:
    """Scores of a network without surroundings: the class is the colour's hundreds."""
    value = tiles[:, 0].float()
    return torch.stack([-(value - centre).abs() for centre in (50.0, 150.0, 250.0)], dim=1)


@pytest.mark.parametrize("size", [(40, 50), (16, 16), (33, 90), (17, 31), (100, 16)])
@pytest.mark.parametrize("at_once", [1, 16])
def test_tiles_cover_each_pixel_of_an_image_once(size, at_once):
    """Guards against bands that are shifted, a last row or column left out, and tiles in the wrong place."""
    drawn = torch.Generator().manual_seed(0)
    image = (torch.randint(0, 3, (1, *size), generator=drawn) * 100 + 50).clamp(max=255).to(torch.uint8)
    found = class_map(_by_colour, image.expand(3, -1, -1), (16, 16), at_once)
    assert torch.equal(found, (image[0].long() // 100).to(torch.uint8))


def test_a_small_image_is_enlarged_and_answered_at_its_own_size():
    """Guards against classes at the size of the network's input."""
    image = torch.full((3, 5, 9), 50, dtype=torch.uint8)
    image[:, :, 5:] = 250
    found = class_map(_by_colour, image, (16, 16), 4)
    assert found.shape == (5, 9)
    assert (found[:, :4] == 0).all()
    assert (found[:, 6:] == 2).all()


def test_the_middle_of_a_tile_decides_where_tiles_overlap():
    """Guards against seams: a tile that is wrong at its edge must not overrule its neighbour's middle."""

    def wrong_at_the_edge(tiles: Tensor) -> Tensor:
        scores = torch.zeros(len(tiles), 2, *tiles.shape[-2:])
        scores[:, 0] = 1.0
        scores[:, 1, :, :2] = scores[:, 1, :, -2:] = 1.6
        return scores

    found = class_map(wrong_at_the_edge, torch.zeros(3, 16, 40, dtype=torch.uint8), (16, 16), 4)
    starts = tile_offsets(40, 16, OVERLAP)
    inner = [start for start in starts if start > 0]
    assert all((found[:, start : start + 2] == 0).all() for start in inner)
    assert (found[:, :2] == 1).all()  # no neighbour sees the edge of the image


@pytest.mark.parametrize("size", [(513, 40), (700, 1601), (1030, 3), (20, 20)])
def test_pictures_are_reduced_by_areas(size):
    """Guards against rows that are left out or count twice where an image is reduced a few rows at a time."""
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = reduced(image)
    expected = interpolate(image[None].float(), size=found.shape[-2:], mode="area")[0].round()
    assert torch.equal(found.float(), expected)
    assert max(found.shape) <= 512


def test_places_and_sizes():
    """Guards against gaps between tiles, and against an image that does not cover the input after it was enlarged."""
    for side in range(16, 100):
        starts = tile_offsets(side, 16, OVERLAP)
        assert starts[0] == 0
        assert starts[-1] == side - 16
        assert all(b - a <= 12 for a, b in pairwise(starts))
    assert covering((100, 50), (32, 32)) == (100, 50)
    assert covering((10, 20), (32, 32)) == (32, 64)
    assert covering((120, 120), (224, 224)) == (224, 224)
