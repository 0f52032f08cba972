"""Pooled features of many images."""

from __future__ import annotations

import pytest
import torch

import tlx.features
from tlx.backbones import small_cnn


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return small_cnn(width=8).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (10, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def expected(backbone, images):
    mean, std = (torch.tensor(x).view(1, -1, 1, 1) for x in (backbone.preprocessing.mean, backbone.preprocessing.std))
    with torch.no_grad():
        return backbone((images / 255 - mean) / std)


@pytest.mark.parametrize("channels_last", [True, False])
def test_they_are_those_of_the_network(channels_last, backbone, images):
    """Guards against another normalisation, order or layout."""
    found = tlx.features.extract(backbone, images, precision="32-true", channels_last=channels_last, batch_size=4)
    assert found.shape == (10, backbone.num_features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected(backbone, images), rtol=1e-4, atol=1e-5)


def test_batches_may_come_one_by_one(backbone, images):
    """Guards against a first batch that is lost to the trial."""
    found = tlx.features.extract(backbone.train(), iter(images.split(3)))
    assert not backbone.training
    relative = (found - expected(backbone, images)).norm() / found.norm()
    assert relative < 0.02  # whichever precision was the fastest


def test_bfloat16_is_near(backbone, images):
    """Guards against features that differ by more than rounding."""
    found = tlx.features.extract(backbone, images, precision="bf16-mixed", channels_last=True)
    exact = expected(backbone, images)
    assert 1e-5 < (found - exact).norm() / exact.norm() < 0.02


def test_no_images_are_no_features(backbone):
    """Guards against a crash on an empty folder."""
    assert tlx.features.extract(backbone, []).shape == (0, backbone.num_features)
