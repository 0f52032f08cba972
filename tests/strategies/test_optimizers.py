from __future__ import annotations

import pytest
import torch
from torch import nn

from tlx.strategies.optimizers import build_optimizer, layer_group

ADAMW = {"_target_": "torch.optim.AdamW", "lr": 1e-3, "weight_decay": 0.05, "betas": [0.8, 0.9], "layer_decay": 0.5}


def owned(*modules):
    return [(o, k, p) for m in modules for o in m.modules() for k, p in o.named_parameters(recurse=False)]


def network():
    return {
        "stem": owned(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        "stage1": owned(nn.Linear(4, 4), nn.LayerNorm(4)),
        "head": owned(nn.Linear(4, 2)),
    }


@pytest.mark.parametrize("target", ["torch.optim.AdamW", "torch.optim.SGD", "torch.optim.RMSprop", "torch.optim.NAdam"])
def test_every_parameter_is_there_once_by_identity(target):
    """Guards against parameters that no group has, or that two groups step twice."""
    groups = network()
    optimizer = build_optimizer({"_target_": target, "lr": 0.1}, groups)
    found = [id(p) for g in optimizer.param_groups for p in g["params"]]
    wanted = [id(p) for members in groups.values() for _, _, p in members]
    assert sorted(found) == sorted(wanted)
    assert len(set(found)) == len(found)


def test_shared_parameters_are_stepped_once():
    """Guards against a tied weight in two groups."""
    layer = nn.Linear(2, 2)
    optimizer = build_optimizer(ADAMW, {"stem": owned(layer), "head": owned(layer)})
    assert sum(len(g["params"]) for g in optimizer.param_groups) == 2


def test_no_weight_decay_on_norms_and_biases():
    """Guards against shrinking BatchNorm scales and biases to zero, and against decaying nothing at all."""
    optimizer = build_optimizer(ADAMW, network())
    decay = {g["name"]: g["weight_decay"] for g in optimizer.param_groups}
    assert decay == {
        "stem": 0.05,
        "stem/no_decay": 0,
        "stage1": 0.05,
        "stage1/no_decay": 0,
        "head": 0.05,
        "head/no_decay": 0,
    }
    for group in optimizer.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_decay_on_everything_where_asked():
    """Guards against decay_norm_and_bias without effect."""
    optimizer = build_optimizer({**ADAMW, "decay_norm_and_bias": True}, network())
    assert [g["name"] for g in optimizer.param_groups] == ["stem", "stage1", "head"]
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.05}


def test_own_keys_stay_and_the_optimizers_keys_arrive():
    """Guards against betas or momentum that are dropped, and layer_decay handed to torch."""
    optimizer = build_optimizer(ADAMW, network())
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert {layer_group(g) for g in optimizer.param_groups} == {"stem", "stage1", "head"}
