"""Stages on stored maps and boxes equal stages on images."""

from __future__ import annotations

import pytest

from tests.callbacks.test_frozen_prefix import assert_equal, both, computed

SCENES = (
    "task=detection", "dataset=scenes", "dataset.count=8", "dataset.image_size=[64,96]", "dataset.repeats=1",
    "dataset.batch_size=4", "dataset.horizontal_flip=true", "backbone=small_cnn", "backbone.width=4", "logger=none",
    "cache.views=2", "trainer.log_every_n_steps=1",
)  # fmt: skip
TWO_STAGES = (
    "strategy.stages=[{name: upper, train: head, epochs: 2, batch_norm: frozen},"
    "{name: more, train: 'last:2', epochs: 1, batch_norm: frozen, start_from: best}]"
)


@pytest.mark.run
@pytest.mark.slow
@pytest.mark.parametrize("augment", ["strong", pytest.param("mosaic", marks=pytest.mark.nightly)])
def test_a_stage_on_stored_maps_equals_one_on_images(augment, tmp_path):
    """Guards against stored boxes of another view, or that did not move with their images."""
    one, other = both(tmp_path, *SCENES, f"dataset.augment={augment}", TWO_STAGES)
    assert_equal(one, other)
    assert computed(one.directory)
    assert one.description["preprocessing"]["sides"] == [64, 96]
    assert one.config.dataset.labels == "boxes"
