"""Whole images of any size: resized, padded or cut into tiles, and boxes in their own pixels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.tasks.detection.scenes import network
from tlx.backbones.preprocessing import Preprocessing
from tlx.tasks.detection import whole_images
from tlx.tasks.detection.head import Candidates
from tlx.tasks.detection.whole_images import found_in

MEAN = (0.5,)


def _seen(tiles: Tensor) -> Tensor:
    """Find each grey value above 150 in each tile, as a box around its pixels: a detector that errs nowhere."""
    found = torch.zeros(len(tiles), 30, 6)
    found[..., 4] = -1
    for number, tile in enumerate(tiles):
        values = sorted({*tile.unique().tolist()} - set(range(150)))
        for row, value in enumerate(values):
            y, x = (tile[0] == value).nonzero(as_tuple=True)
            box = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            found[number, row] = torch.tensor([*map(float, box), 0.0, 0.9])
    return found


def _drawn(size: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> Tensor:
    image = torch.full((1, *size), 60, dtype=torch.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        image[:, top:bottom, left:right] = 160 + number
    return image


BOXES = [
    *((5, 6, 30, 40), (150, 150, 180, 190), (200, 10, 240, 58), (350, 340, 395, 370)),
    *((160, 300, 175, 330), (0, 380, 40, 400)),
]


@pytest.mark.parametrize("pairs", [1, whole_images.PAIRS_AT_ONCE])
@pytest.mark.parametrize("canvas", [200, (200, 260), 320, 400, 512])
def test_boxes_in_tiles_are_those_of_the_whole_image(canvas, pairs, monkeypatch):
    """Guards against parts of objects at the borders of tiles, objects found twice, and boxes at wrong places."""
    monkeypatch.setattr(whole_images, "PAIRS_AT_ONCE", pairs)
    how = Preprocessing(canvas, MEAN, (0.2,), sides=(400, 400))
    found = found_in(_seen, _drawn((400, 400), BOXES), how, fixed=True, most=20, overlap=0.6)
    some = found[found[:, 4] >= 0]
    assert {tuple(map(round, row)) for row in some[:, :4].tolist()} == set(BOXES)
    assert len(some) == len(BOXES)


def test_an_object_larger_than_a_tile_is_not_lost():
    """Guards against an object that no tile shows whole, and that is dropped in each."""
    how = Preprocessing(64, MEAN, (0.2,), sides=(200, 200))
    found = found_in(_seen, _drawn((200, 200), [(20, 20, 180, 60)]), how, fixed=True, most=20, overlap=0.6)
    assert int((found[:, 4] >= 0).sum()) >= 1


@pytest.mark.parametrize("size", [(100, 150), (150, 100), (300, 400), (37, 53)])
def test_boxes_come_back_in_pixels_of_the_image(size):
    """Guards against boxes in pixels of the resized image."""
    wanted = (size[1] // 4, size[0] // 4, size[1] // 2, size[0] // 2)
    how = Preprocessing((96, 128), MEAN, (0.2,), interpolation="nearest", sides=(96, 128))
    found = found_in(_seen, _drawn(size, [wanted]), how, fixed=False, most=5, overlap=0.6)
    row = found[found[:, 4] >= 0]
    assert len(row) == 1
    assert row[0, :4].tolist() == pytest.approx(wanted, abs=max(size) / 96 + 1)


def test_an_image_that_fits_is_not_cut_and_small_ones_are_padded_for_networks_of_one_size():
    """Guards against a turned image in tiles, and against an input that a network of a fixed size refuses."""
    shapes = []

    def detect(tiles: Tensor) -> Tensor:
        shapes.append(tuple(tiles.shape))
        return _seen(tiles)

    how = Preprocessing((96, 128), MEAN, (0.2,), sides=(96, 128))
    found_in(detect, _drawn((128, 96), [(5, 5, 20, 20)]), how, fixed=False, most=5, overlap=0.6)
    found_in(detect, _drawn((60, 80), [(5, 5, 20, 20)]), how, fixed=True, most=5, overlap=0.6)
    assert shapes == [(1, 1, 128, 96), (1, 1, 96, 128)]


def test_images_of_any_size_pass_through_a_network():
    """Guards against sides that are no multiple of a stride, and against boxes outside the image."""
    task = network("fcos").eval()
    image = torch.randint(0, 256, (1, 3, 70, 101), dtype=torch.uint8)
    with torch.no_grad():
        found = task.found_in(image)
    assert found.shape == (1, 100, 6)
    assert float(found[..., 2].max()) <= 101.01
    assert float(found[..., 3].max()) <= 70.01
    scores = found[0, :, 5]
    assert torch.equal(scores, scores.sort(descending=True).values)


def test_nothing_is_found_in_the_padding(monkeypatch):
    """Guards against boxes without an area that count as false and are written into predictions."""
    task = network("fcos").eval()
    image = torch.randint(0, 256, (1, 3, 33, 33), dtype=torch.uint8)  # padded to 64 x 64
    boxes = torch.tensor([[[40.0, 5.0, 60.0, 20.0], [20.0, 5.0, 50.0, 30.0]]])
    found = Candidates(boxes, torch.tensor([[0.9, 0.8]]), torch.tensor([[0, 0]]))
    monkeypatch.setattr(task.head, "candidates", lambda *_: found)
    with torch.no_grad():
        rows = task.detect(image)[0]
    assert rows[rows[:, 4] >= 0].tolist() == [pytest.approx([20, 5, 33, 30, 0, 0.8])]
