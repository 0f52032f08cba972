"""What would end the first step is refused before training, with what to type."""

from __future__ import annotations

import re

import pytest
import torch

import tlx
from tlx.base.errors import TlxError
from tlx.training.experiment import build
from tlx.training.first_step import need_possible
from tlx.training.planning import plan

RESNET = ("backbone=resnet18", "backbone.weights=null", "dataset=digits", "dataset.image_size=16", "logger=none")
FEW = ("dataset.labels_per_class=1", "dataset.classes=[0,1]", "dataset.batch_size=1")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["linear_probe", "features"])
@pytest.mark.parametrize(
    ("backbone", "size", "least"), [("alexnet", 32, 63), ("squeezenet1_1", 8, 17), ("vgg11", 16, 32)]
)
def test_images_that_are_too_small_for_a_network_are_refused_with_the_smallest_side(backbone, size, least, strategy):
    """Guards against torch's traceback at the first step, and a side that the network does not take either."""
    common = [f"backbone={backbone}", "backbone.weights=null", "dataset=digits", f"strategy={strategy}"]
    with pytest.raises(TlxError, match=f"at least {least} pixels.*type dataset.image_size={least}"):
        build(tlx.compose([*common, f"dataset.image_size={size}"]))
    _, task = build(tlx.compose([*common, f"dataset.image_size={least}"]))
    task.eval()
    task(torch.zeros(1, 3, least, least, dtype=torch.uint8))
    with pytest.raises(RuntimeError):
        task(torch.zeros(1, 3, least - 1, least - 1, dtype=torch.uint8))


@pytest.mark.slow
def test_a_canvas_that_is_too_small_for_a_network_is_refused():
    """Guards against torch's traceback where the canvas of a detector has replaced the network's own size."""
    asked = ["task=detection", "dataset=scenes", "dataset.count=10", "backbone=alexnet", "backbone.weights=null"]
    with pytest.raises(TlxError, match=r"at least \d+ pixels.*got 32"):
        build(tlx.compose([*asked, "strategy=last_layers", "dataset.image_size=32", "logger=none"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["strategy=scratch"], "dataset.batch_size=2 or more.*strategy.stages.0.batch_norm=frozen"),
        (["strategy=top_down", "strategy.stages.0.batch_norm=train"], "stage to_stage4.*strategy.stages.0.batch_norm"),
        (["strategy=scratch", "dataset.image_size=64"], None),  # 2 x 2 values a channel
        (["strategy=scratch", "strategy.stages.0.batch_norm=frozen"], None),
        (["strategy=linear_probe"], None),
    ],
)
def test_a_batch_of_one_is_refused_where_batch_norm_would_need_two(more, expected):
    """Guards against "Expected more than 1 value per channel", and a refusal where one image does."""
    config = tlx.compose([*RESNET, *FEW, *more])
    if expected is not None:
        with pytest.raises(TlxError, match=expected) as caught:
            build(config)
        typed = re.search(r"strategy\.stages\S+$", str(caught.value))[0]
        config = tlx.compose([*RESNET, *FEW, *more, typed])
    data, task = build(config)
    task.train_groups(plan(config, task.group_names)[-1])
    task.train()
    task(next(iter(data.train_dataloader()))["image"])


def test_the_only_batch_may_be_incomplete_and_processes_share_it():
    """Guards against two images for two processes, of which each has one, and a hint that does not help there."""
    config = tlx.compose([*RESNET, *FEW, "strategy=scratch", "dataset.batch_size=32"])
    data, task = build(config)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    stages = plan(config, task.group_names)
    need_possible(task, data, stages, ["scratch"], processes=1)
    with pytest.raises(
        TlxError, match=r"batches of 1 for each process: there are 2 training images.*add training images"
    ):
        need_possible(task, data, stages, ["scratch"], processes=2)
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    assert all(parameter.device.type == "cpu" and parameter.requires_grad for parameter in task.parameters())
