"""Boundary IoU against the authors' procedure, written out with an erosion of each class."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion

from tests.conftest import ROOT
from tests.tasks.segmentation.masks import blobs, pair
from tlx.data.ignored import IGNORED
from tlx.tasks.segmentation import boundary
from tlx.tasks.segmentation.boundary import boundary_counts, distance


def slow_counts(predicted: np.ndarray, truth: np.ndarray, classes: int) -> list[list[int]]:
    """Return intersections and unions as `mask_to_boundary` and `boundary_iou` of the authors compute them.

    cv2.erode with a 3 x 3 kernel, as many times as pixels of distance, in a frame of zeros.
    """
    height, width = truth.shape
    times = max(1, round(0.02 * np.sqrt(height**2 + width**2)))
    both, either = [], []
    for one in range(classes):
        rims = []
        for labels in (truth, np.where(truth == IGNORED, IGNORED, predicted)):
            mask = labels == one
            rims.append(mask & ~binary_erosion(mask, np.ones((3, 3)), iterations=times, border_value=0))
        both.append(int((rims[0] & rims[1]).sum()))
        either.append(int((rims[0] | rims[1]).sum()))
    return [both, either]


@pytest.mark.parametrize("size", [(1, 1), (9, 5), (40, 56), (130, 97)])
@pytest.mark.parametrize("at_once", [200, 2**24])
def test_the_counts_are_those_of_an_erosion_of_each_class(size, at_once, monkeypatch):
    """Guards against another distance, edges of the image that are no contour, and bands that see too few rows."""
    monkeypatch.setattr(boundary, "PIXELS_AT_ONCE", at_once)
    for seed in range(3):
        predicted, truth = pair(*size, classes=5, seed=seed)
        expected = slow_counts(predicted.numpy(), truth.numpy(), 5)
        assert boundary_counts(predicted, truth, 5).tolist() == expected


def test_a_contour_as_far_as_the_distance_counts_and_one_pixel_beyond_does_not():
    """Guards against a band that is one pixel too wide or too narrow."""
    size = 200  # 2 % of its diagonal are 5.66 pixels
    assert distance(size, size) == 6
    truth = torch.zeros(size, size, dtype=torch.uint8)
    truth[50:150, 50:150] = 1
    both, either = boundary_counts(truth, truth, 2)
    assert int(both[1]) == int(either[1]) == 100**2 - 88**2


def test_ignored_pixels_count_nowhere():
    """Guards against a score that depends on what is predicted where nobody knows the truth."""
    predicted, truth = pair()
    other = predicted.clone()
    other[truth == IGNORED] = 3
    assert not torch.equal(other, predicted)
    assert torch.equal(boundary_counts(predicted, truth, 4), boundary_counts(other, truth, 4))
    assert int(boundary_counts(predicted, torch.full_like(truth, IGNORED), 4).sum()) == 0


def test_a_shift_costs_more_at_contours():
    """Guards against a boundary IoU that is the IoU."""
    truth = torch.from_numpy(blobs(200, 200, 2, smooth=25))
    both, either = boundary_counts(truth.roll(3, 0), truth, 2).double()
    inside = ((truth == 1) & (truth.roll(3, 0) == 1)).sum() / ((truth == 1) | (truth.roll(3, 0) == 1)).sum()
    assert float(both[1] / either[1]) < float(inside) - 0.1


@pytest.mark.nightly
def test_an_image_of_10_000_pixels_a_side_takes_less_than_1_gb():
    """Guards against copies of a whole slide for each class."""
    code = (
        "import resource, torch\n"
        "from tlx.tasks.segmentation.boundary import boundary_counts\n"
        "from tlx.tasks.segmentation.confusion import confusion\n"
        "truth = (torch.arange(10_000) // 700).byte()[:, None].repeat(1, 10_000)\n"
        "predicted = truth.roll(30, 0)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "counts = boundary_counts(predicted, truth, 20), confusion(predicted, truth, 20)\n"
        "assert int(counts[1].sum()) == 10**8\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 1e9
