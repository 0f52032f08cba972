"""What a run stores of its training images, to find images unlike all of them."""

from __future__ import annotations

import pytest
import torch

import tlx
from tlx.features.prefix_cache import PrefixCache
from tlx.inference import known_images

PROBE = ["strategy=linear_probe", "trainer.stage_epochs=1"]


@pytest.mark.parametrize("strategy", [PROBE, ["strategy=features", "classifier=nearest_centroid"]])
def test_features_that_the_run_has_cached_are_not_computed_again(strategy, uneven, monkeypatch, tmp_path):
    """Guards against a sweep of heads in which every job reads hundreds of images once more when it ends."""
    typed = [*uneven, *strategy, f"cache.dir={tmp_path / 'cache'}"]
    computed = tlx.train(tlx.compose([*typed, "cache.enabled=false", f"run_dir={tmp_path / 'computed'}"]))
    asked, features = [], PrefixCache.features

    def noted(self, *given):
        asked.append(features(self, *given))
        return asked[-1]

    monkeypatch.setattr(PrefixCache, "features", noted)
    stored = tlx.train(tlx.compose([*typed, f"run_dir={tmp_path / 'stored'}"]))
    assert [rows is not None for rows in asked] == [True, True]
    known, expected = (known_images.read(run.directory / known_images.FILE) for run in (stored, computed))
    assert torch.allclose(known.features.float(), expected.features.float(), atol=1e-3)
    assert known.limit == pytest.approx(expected.limit, abs=1e-3)
