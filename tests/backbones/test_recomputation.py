"""`trainer.checkpoint_groups`: less memory, and the very same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tlx
from tests.resume.test_kills import differences
from tlx.backbones import small_cnn, timm_backbone, torchvision_backbone
from tlx.backbones.recomputation import recomputed
from tlx.base.errors import TlxError
from tlx.procedures import plan_table
from tlx.training import memory

SMALL = ["dataset=digits", "dataset.image_size=32", "backbone=small_cnn", "backbone.width=8", "strategy=full"]
NETWORKS = [
    pytest.param(lambda: with_dropout(), 32, id="dropout"),
    pytest.param(lambda: torchvision_backbone("efficientnet_b0", weights=None), 32, id="stochastic_depth"),
    pytest.param(lambda: timm_backbone("test_vit", load=False), 160, id="vit"),
    pytest.param(
        lambda: timm_backbone("eva02_tiny_patch14_224", load=False), 224, id="rotary", marks=pytest.mark.nightly
    ),
    pytest.param(
        lambda: torchvision_backbone("densenet121", weights=None), 32, id="in_place", marks=pytest.mark.nightly
    ),
]


def with_dropout():
    """A small network with dropout in one of its groups."""
    backbone = small_cnn(width=4)
    backbone.groups["stage1"] = nn.Sequential(backbone.groups["stage1"], nn.Dropout(0.3))
    return backbone


class Doubling(nn.Module):
    """Changes its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x.mul_(2))


def after_two_steps(backbone, images, again):
    """Return outputs, gradients and the state of a network that took two steps."""
    backbone.recomputed = tuple(again)
    backbone.train()
    found = []
    for number in (1, 2):
        torch.manual_seed(number)
        features = backbone(images)
        features.square().sum().backward()
        found.append(features.detach())
    gradients = {name: p.grad for name, p in backbone.named_parameters() if p.grad is not None}
    return {"outputs": torch.stack(found), **gradients, **{f"state/{n}": v for n, v in backbone.state_dict().items()}}


@pytest.mark.parametrize(("make", "side"), NETWORKS)
def test_a_group_that_runs_again_gives_the_same(make, side):
    """Guards against other random numbers in the second run, BatchNorm statistics that move twice, counted batches
    included, and a network whose block arguments are lost."""
    images = torch.rand(2, 3, side, side)
    torch.manual_seed(0)
    usual = make()
    state = {name: value.clone() for name, value in usual.state_dict().items()}
    expected = after_two_steps(usual, images, ())
    changed = make()
    changed.load_state_dict(state)
    for again in (changed.group_names, changed.group_names[1:2]):
        changed.load_state_dict(state)
        changed.zero_grad(set_to_none=True)
        got = after_two_steps(changed, images, again)
        assert got.keys() == expected.keys()
        assert [name for name, value in expected.items() if not torch.equal(value, got[name])] == []


def test_a_group_may_change_its_input_in_place():
    """Guards against a second run on an input that the first one has changed."""
    module, x, gradients = Doubling(), torch.rand(3, 4), []
    for run in (module, lambda x: recomputed(module, x)):
        module.zero_grad()
        run(x.clone()).square().sum().backward()
        gradients.append(module.layer.weight.grad.clone())
    assert torch.equal(*gradients)


def test_only_inputs_are_kept():
    """Guards against groups that keep everything nevertheless."""
    kept: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
    for again in ((), ("stem", "stage1", "stage2", "stage3")):
        backbone, held = small_cnn(width=8).train(), []
        backbone.recomputed = again
        with torch.autograd.graph.saved_tensors_hooks(lambda t, held=held: held.append(t) or t, lambda t: t):
            backbone(torch.rand(4, 3, 32, 32))
        kept[again] = [tuple(tensor.shape) for tensor in held]
    assert len(kept.pop(())) > 20
    assert [*kept.values()] == [[(4, 3, 32, 32), (4, 8, 32, 32), (4, 16, 16, 16), (4, 32, 8, 8)]]


def test_the_estimate_knows_groups_that_run_again():
    """Guards against a run that is refused although it fits, and against an estimate that forgets the second run."""
    estimates = {}
    for typed in ("null", "all", "stem", "stage3"):
        config = tlx.compose([*SMALL, f"trainer.checkpoint_groups={typed}"])
        estimates[typed] = memory.estimated(config, batch=8).parts["activations"]
    assert 0 < estimates["all"] < estimates["stem"] < estimates["null"]
    assert estimates["stage3"] <= estimates["null"]
    image = 8 * 3 * 32 * 32 * 4
    assert estimates["all"] > image


def test_a_plan_shows_them_and_mistakes_are_found_before_torch():
    """Guards against a selector that matches nothing without a word, and against keys that do not go together."""
    text = plan_table(tlx.compose([*SMALL, "trainer.checkpoint_groups=stage*"]))
    assert "computed again in the backward pass: stage1, stage2, stage3 (trainer.checkpoint_groups)" in text
    for typed, message in (
        ("trainer.checkpoint_groups=stge1", "trainer.checkpoint_groups: expected one of the layer groups stem"),
        ("trainer.checkpoint_groups=head", "trainer.checkpoint_groups: expected layer groups below the head"),
        ("trainer.checkpoint_groups=[]", "trainer.checkpoint_groups: expected at least one layer group"),
        ("trainer.compile=true", "trainer.compile: expected false with trainer.checkpoint_groups='all'"),
        ("trainer.strategy=fsdp", "trainer.strategy: expected ddp with trainer.checkpoint_groups='all'"),
    ):
        with pytest.raises(TlxError, match=message.replace("[", r"\[")):
            tlx.compose([*SMALL, *(() if "groups" in typed else ("trainer.checkpoint_groups=all",)), typed])


@pytest.mark.run
def test_a_run_has_the_same_name_and_the_same_weights(uneven, tmp_path):
    """Guards against a run that is trained again because it needed less memory, and against other weights."""
    line = [*uneven, "strategy=full", "strategy.stages.0.batch_norm=train", "task.dropout=0.2"]
    runs, names = [], []
    for typed in ("null", "all"):
        config = tlx.compose([*line, f"trainer.checkpoint_groups={typed}"])
        names.append(config.run_name)
        config.run_dir = str(tmp_path / typed)
        runs.append(tlx.train(config))
    assert names[0] == names[1]
    usual, again = (torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"] for run in runs)
    assert list(differences(usual, again)) == []
