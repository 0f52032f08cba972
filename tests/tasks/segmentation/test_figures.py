"""The metrics of a split, and the sums of several processes."""

from __future__ import annotations

import pytest
import torch

from tests.tasks.segmentation.masks import split
from tlx.tasks.segmentation import scores
from tlx.tasks.segmentation.boundary import boundary_counts
from tlx.tasks.segmentation.confusion import confusion_by_image
from tlx.tasks.segmentation.figures import SplitFigures
from tlx.tasks.segmentation.pixel_counts import PixelCounts
from tlx.tasks.segmentation.scores import ClassPixels


def measured() -> tuple[torch.Tensor, torch.Tensor]:
    """Return matrices (6, 5, 5) and boundaries (6, 2, 5) of six images; the fifth class is nowhere."""
    predicted, truth = split()
    boundaries = [boundary_counts(p, t, 5) for p, t in zip(predicted, truth, strict=True)]
    return confusion_by_image(predicted, truth, 5), torch.stack(boundaries)


def test_figures_are_those_of_the_summed_matrix():
    """Guards against a mean of batch means, and a background that stays in the foreground's mean."""
    matrices, boundaries = measured()
    figures = SplitFigures(5, background=0)
    figures.add("test", matrices[:4], torch.tensor(1.0), boundary=boundaries[:4])
    figures.add("test", matrices[4:].sum(dim=0), torch.tensor(4.0), images=2, boundary=boundaries[4:].sum(dim=0))
    found = {name: float(value) for name, value in figures.take("test").items()}
    pixels = ClassPixels.of(matrices.sum(dim=0))
    both, either = boundaries.sum(dim=0).double()
    assert found == pytest.approx(
        {
            "loss": 2.0,
            "miou": float(scores.iou(pixels)[:4].mean()),
            "miou_foreground": float(scores.iou(pixels)[1:4].mean()),
            "dice": float(scores.dice(pixels)[:4].mean()),
            "accuracy": float(matrices.sum(dim=0).diagonal().sum() / matrices.sum()),
            "boundary_iou": float((both / either)[:4].mean()),
        },
        abs=1e-6,
    )


def test_a_split_starts_anew_and_the_others_stay():
    """Guards against figures of one epoch that hold those of the epochs before, and of splits that mix."""
    matrices, boundaries = measured()
    figures = SplitFigures(5, background=None)
    assert figures.take("val") == figures.take("target") == {}
    figures.add("val", matrices)
    figures.add("test", matrices[:1], torch.tensor(2.0), boundary=boundaries[:1])
    first = figures.take("val")
    assert set(first) == {"miou", "dice", "accuracy"}  # nothing else was measured
    assert figures.take("val") == {}
    assert float(figures.take("test")["miou"]) != pytest.approx(float(first["miou"]), abs=1e-4)


def test_the_shares_of_two_processes_are_those_of_one():
    """Guards against sums of one process, and a process without an image that ends the sums or brings a NaN."""
    matrices, boundaries = measured()
    whole, parts = PixelCounts(5, 0), [PixelCounts(5, 0), PixelCounts(5, 0), PixelCounts(5, 0)]
    whole.update(matrices, torch.tensor(5 / 6), 6, boundaries)
    parts[0].update(matrices[:1], torch.tensor(0.0), 1, boundaries[:1])
    parts[1].update(matrices[1:], torch.tensor(1.0), 5, boundaries[1:])
    parts[2].update(matrices[:0], torch.tensor(torch.nan), 0, boundaries[:0])
    for other in parts[1:]:
        parts[0].merge_state(other)  # as torchmetrics puts states of processes together
    expected = {name: pytest.approx(float(value)) for name, value in whole.compute().items()}
    assert {name: float(value) for name, value in parts[0].compute().items()} == expected


def test_counts_of_more_pixels_than_float32_can_tell_apart_are_exact():
    """Guards against counts that stop growing at 16,777,216 pixels."""
    counts = PixelCounts(2, None)
    for _ in range(2):
        counts.update(torch.tensor([[2**40, 0], [1, 2]]), None, 1, None)
    assert counts.confusion.tolist() == [[2**41, 0], [2, 4]]
    assert float(counts.compute()["miou"]) == pytest.approx((1 + 2 / 3) / 2)
