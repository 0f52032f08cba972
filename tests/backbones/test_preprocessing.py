"""Preprocessing: plain dicts, other channels, ranges."""

from __future__ import annotations

import json

import pytest

from tlx.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tlx.base.errors import TlxError

IMAGENET = Preprocessing(224, IMAGENET_MEAN, IMAGENET_STD, "bicubic", 0.875)


def test_survives_json() -> None:
    """Guards against a run whose preprocessing changes when it is read back."""
    assert Preprocessing.from_dict(json.loads(json.dumps(IMAGENET.to_dict()))) == IMAGENET


def test_other_channels() -> None:
    """Guards against gray or multispectral images normalised by the wrong channel."""
    assert IMAGENET.for_channels(3) is not None
    assert IMAGENET.for_channels(3) == IMAGENET
    assert IMAGENET.for_channels(1).mean == (pytest.approx(0.449),)
    assert IMAGENET.for_channels(5).mean[:3] == IMAGENET_MEAN
    assert IMAGENET.for_channels(5).mean[3:] == (pytest.approx(0.449), pytest.approx(0.449))
    assert IMAGENET.for_channels(2).std == IMAGENET_STD[:2]
    gray = Preprocessing(32, (0.1,), (0.3,))
    assert gray.for_channels(3).std == (0.3, 0.3, 0.3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 0}, "size of at least 1 pixel"),
        ({"mean": (0.5,)}, "one mean and std per channel"),
        ({"std": (0.1, 0.0, 0.1)}, "std above 0"),
        ({"crop": 1.5}, r"a crop in \(0, 1\]"),
        ({"interpolation": "bilinaer"}, "expected an interpolation \\(bilinear"),
    ],
)
def test_ranges(changes: dict, words: str) -> None:
    """Guards against values that would fail deep inside a transform, or silently give black images."""
    with pytest.raises(TlxError, match=words):
        Preprocessing(**{**IMAGENET.to_dict(), "mean": IMAGENET_MEAN, "std": IMAGENET_STD, **changes})
