"""Which labels a data set gives that can give several kinds."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from tlx.config import compose
from tlx.config.compose import compose_for_images
from tlx.config.labels import fill_labels
from tlx.config.naming import identity
from tlx.tasks.catalog import KINDS, OwnKind


class OfBoxes(OwnKind):
    """A task that learns from boxes."""

    labels = "boxes"


def test_the_task_decides(monkeypatch):
    """Guards against a detector that gets masks, and a segmenter that gets boxes."""
    monkeypatch.setitem(KINDS, "mine.Boxes", OfBoxes())
    assert compose(["task=segmentation", "dataset=scenes"]).dataset.labels == "masks"
    config = OmegaConf.create({"task": {"_target_": "mine.Boxes"}, "dataset": {"_target_": "tlx.data.scenes"}})
    config.target = {"_target_": "tlx.data.coco", "labels": None}
    fill_labels(config)
    assert (config.dataset.labels, config.target.labels) == ("boxes", "boxes")
    config.dataset.labels = "masks"
    fill_labels(config)
    assert config.dataset.labels == "masks", "what the user says stays"


def test_a_check_without_a_task_gets_masks():
    """Guards against `tlx check dataset=scenes` that asks for a task."""
    assert compose_for_images(["dataset=scenes"]).dataset.labels == "masks"
    assert compose_for_images(["dataset=digits"]).dataset.get("labels") is None


def test_runs_of_segmenters_keep_their_names():
    """Guards against finished runs that are trained again because a key was added."""
    config = compose(["task=segmentation", "dataset=scenes"])
    assert not {"labels", "min_side", "max_side"} & set(identity(config)["dataset"])
    old = OmegaConf.create(OmegaConf.to_container(config))
    for key in ("labels", "min_side", "max_side"):
        del old.dataset[key]
    assert identity(old) == identity(config)
    config.dataset.labels = "boxes"
    assert identity(config)["dataset"]["labels"] == "boxes"


@pytest.mark.parametrize("key", ["min_side", "max_side"])
def test_sides_are_about_boxes(key):
    """Guards against a key that is accepted and changes nothing."""
    from tlx.base.errors import ConfigError

    with pytest.raises(ConfigError, match=f"dataset.{key}: expected null for masks"):
        compose(["task=segmentation", "dataset=scenes", f"dataset.{key}=300"])
