"""Levels and anchors follow the training boxes; a run restores and takes over them."""

from __future__ import annotations

import pytest
import torch

from tests.tasks.detection.scenes import MODELS, network, scenes
from tlx.backbones import UpperSource, small_cnn
from tlx.tasks.detection.box_levels import BoxLevels
from tlx.tasks.detection.task import Detection

CELLS = [(52.0, 50.0)] * 80 + [(100.0, 110.0)] * 10 + [(20.0, 18.0)] * 10


def test_boxes_of_one_size_do_not_fall_on_one_level_alone():
    """Guards against ranges made for other images, where every blood cell is found by one level."""
    sizes = [(side, side) for side in torch.linspace(40, 180, 200).tolist()]
    levels = BoxLevels.of(sizes)
    assert levels.strides == (8, 16, 32, 64)
    shares = levels.shares(sizes)
    assert sum(shares) == pytest.approx(1)
    assert sorted(share > 0.1 for share in shares) == [True] * 4
    assert [4 * s <= limit <= 16 * s for s, limit in zip(levels.strides, levels.limits, strict=False)] == [True] * 3
    assert BoxLevels.of(CELLS).shares(CELLS)[:3] == pytest.approx([0.9, 0.0, 0.1])  # equal ones stay together


def test_small_boxes_get_a_finer_level_and_large_ones_a_coarser_one():
    """Guards against boxes between the locations of the finest level, and against layers that find nothing."""
    small = [(7.0, 9.0)] * 30 + [(40.0, 50.0)] * 70
    assert BoxLevels.of(small).strides[0] == 4
    assert BoxLevels.of(small).without_location(small) == 0
    assert BoxLevels.of(CELLS).without_location([(4.0, 4.0), (8.0, 8.0)]) == pytest.approx(0.375)
    assert BoxLevels.of([(700.0, 800.0)] * 9).strides[-1] == 128
    assert BoxLevels.of(None).strides == BoxLevels.of([]).strides == (8, 16, 32, 64)


def test_anchors_have_the_shapes_of_the_boxes():
    """Guards against square anchors for plates and poles, of which none overlaps enough."""
    plates = [(90.0, 30.0), (100.0, 33.0), (110.0, 36.0)] * 10
    levels = BoxLevels.of(plates)
    shape = [(w, h) for level in levels.anchors for w, h in level]
    overlap = max(min(w, 100) * min(h, 33) / (w * h + 3300 - min(w, 100) * min(h, 33)) for w, h in shape)
    assert overlap > 0.8
    assert len({len(level) for level in levels.anchors}) == 1
    assert all(w > 0 and h > 0 for w, h in shape)


@pytest.mark.parametrize("model", MODELS)
def test_a_network_without_the_training_boxes_loads_levels_and_thresholds(model):
    """Guards against a run that is opened with other levels than those it was trained with, or fails to load."""
    images, target = scenes(2)
    tiny = target.clone()
    tiny[..., :4] /= 6
    trained = network(model, target=tiny).eval()
    trained.score_thresholds.copy_(torch.tensor([0.1, 0.2, 0.9]))
    assert trained.box_levels.strides[0] == 4
    opened = network(model).eval()
    opened.load_state_dict(trained.state_dict())
    assert torch.equal(opened.score_thresholds, trained.score_thresholds)
    with torch.no_grad():
        torch.testing.assert_close(opened.found_in(images), trained.found_in(images))


@pytest.mark.parametrize("model", MODELS)
def test_rows_of_classes_are_taken_over_by_name(model):
    """Guards against weights of one class, or of one anchor or edge, that become those of another."""
    _, target = scenes(2)
    old = network(model, class_names=["1", "4", "X"], target=target)
    state = {name: value for name, value in old.state_dict().items() if not name.startswith("backbone.")}
    backbone = small_cnn(width=8)
    backbone.upper_source = UpperSource(["1", "4", "X"], state, "detection", old.kind.name)
    torch.manual_seed(1)
    larger = target.clone()
    larger[..., :4] *= 1.3
    new = Detection(backbone, ["X", "new", "1"], model=model, pyramid_channels=64, head_convs=None)
    assert new.carried_classes == ["X", "1"]
    assert "head: 2 of 3 classes carried over by name; new: new" in new.head_report
    assert "pyramid: carried over" in new.head_report
    images, _ = scenes(1)
    for task in (old, new):
        task.eval()
        task.backbone.load_state_dict(old.backbone.state_dict())
        if model != "fcos":
            task.head.cells.copy_(old.head.cells)
    with torch.no_grad():
        logits = {"fcos": "cls_logits", "retinanet": "cls_logits", "fasterrcnn": "region_logits"}[model]
        one, other = old(images).rows[logits], new(images).rows[logits]
    skip = 1 if model == "fasterrcnn" else 0
    torch.testing.assert_close(one[..., skip + 2], other[..., skip + 0])
    torch.testing.assert_close(one[..., skip + 0], other[..., skip + 2])
    assert not torch.allclose(one[..., skip + 1], other[..., skip + 1])


def test_levels_of_other_boxes_are_not_taken_over():
    """Guards against limits of a run's own boxes in a network for larger ones."""
    _, target = scenes(2)
    old = network("fcos", target=target)
    state = {name: value for name, value in old.state_dict().items() if not name.startswith("backbone.")}
    state["head.limits"] = state["head.limits"] + 1
    backbone = small_cnn(width=8)
    backbone.upper_source = UpperSource(["1", "4", "X"], state, "detection", old.kind.name)
    new = Detection(backbone, ["1", "4", "X"], pyramid_channels=64, head_convs=2)
    assert new.carried_classes == ["1", "4", "X"]
    assert not torch.equal(new.head.limits, state["head.limits"])


def test_a_pyramid_of_other_strides_is_left_with_the_reason():
    """Guards against a report that the run has no such weights, where the sizes of boxes differ."""
    _, target = scenes(2)
    old = network("fcos", target=target)
    state = {name: value for name, value in old.state_dict().items() if not name.startswith("backbone.")}
    state["pyramid.strides"] = old.pyramid.strides * 2
    backbone = small_cnn(width=8)
    backbone.upper_source = UpperSource(["1", "4", "X"], state, "detection", old.kind.name)
    new = Detection(backbone, ["1", "4", "X"], pyramid_channels=64, head_convs=2)
    assert new.carried_classes == []
    assert "those of the run have the strides [16, 32, 64, 128]" in new.head_report
