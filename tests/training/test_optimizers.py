from __future__ import annotations

import pytest
import torch
from torch import nn

from tlx.base.errors import TlxError
from tlx.strategies.parameter_groups import layer_group
from tlx.training.optimizers import build_optimizer

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


FUSED = {name: {"_target_": f"torch.optim.{name}", "lr": 0.1} for name in ("AdamW", "Adam", "SGD", "Adagrad")}


@pytest.mark.parametrize("name", [*FUSED, "RMSprop"])
def test_fused_kernels_are_taken_where_the_class_has_them(name):
    """Guards against `auto` without effect, and against `fused` given to a class that does not know it."""
    node = {"_target_": f"torch.optim.{name}", "lr": 0.1}
    taken = [bool(build_optimizer(node, network(), may).defaults.get("fused")) for may in (True, False)]
    assert taken == [name in FUSED, False]
    assert not build_optimizer({**node, "fused": False}, network()).defaults.get("fused")


def test_fused_kernels_that_do_not_exist_are_an_error():
    """Guards against a TypeError of torch's for what the user typed, and against `true` that is passed over."""
    with pytest.raises(TlxError, match=r"optimizer\.fused: expected auto or false for RMSprop"):
        build_optimizer({"_target_": "torch.optim.RMSprop", "lr": 0.1, "fused": True}, network())


def test_no_fused_kernels_where_there_is_no_device():
    """Guards against plans on the meta device that torch refuses."""
    with torch.device("meta"):
        assert not build_optimizer(ADAMW, network()).defaults.get("fused")


def small_network():
    """Convolutions in channels_last, of which the first is frozen."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3, groups=8, bias=False), nn.BatchNorm2d(16), nn.Conv2d(16, 4, 1)
    )
    net.to(memory_format=torch.channels_last)
    net[0].requires_grad_(False)
    return net, {"stem": owned(net[0]), "stage1": owned(net[1], net[2]), "head": owned(net[3])}


def steps(net, optimizer, numbers, frozen_rate=0.1):
    for number in numbers:
        image = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(number))
        for group in optimizer.param_groups:
            group["lr"] = frozen_rate if layer_group(group) == "stem" else 0.0 if number == 2 else 0.01
        optimizer.zero_grad(set_to_none=True)
        net(image.contiguous(memory_format=torch.channels_last)).square().mean().backward()
        optimizer.step()
    return [p.detach().clone() for p in net.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("name", FUSED)
def test_fused_steps_are_steps(name):
    """Guards against kernels that mix up elements of channels_last weights, move what is frozen or has rate 0."""
    node = {**FUSED[name], "weight_decay": 0.1, **({"momentum": 0.9} if name == "SGD" else {})}
    results = []
    for fused in (True, False):
        net, groups = small_network()
        frozen = net[0].weight.clone()
        optimizer = build_optimizer({**node, "fused": fused}, groups)
        before = steps(net, optimizer, range(2))
        still = steps(net, optimizer, [2])  # rate 0
        assert all(torch.equal(a, b) for a, b in zip(before, still, strict=True))
        results.append(steps(net, optimizer, range(3, 8)))
        assert torch.equal(net[0].weight, frozen)
        assert not torch.equal(results[-1][2], before[2])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("read", [True, False])
def test_a_checkpoint_goes_on_as_it_was_written(name, written, read, tmp_path):
    """Guards against a resumed run whose steps differ, by fused kernels or their lack, from those before."""
    node = {**FUSED[name], "weight_decay": 0.1}

    def start(fused):
        net, groups = small_network()
        return net, build_optimizer({**node, "fused": fused}, groups)

    net, optimizer = start(written)
    steps(net, optimizer, range(3))
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "last.ckpt")
    wanted = steps(net, optimizer, range(3, 6))

    net, optimizer = start(read)
    held = torch.load(tmp_path / "last.ckpt", weights_only=True)
    net.load_state_dict(held["net"])
    optimizer.load_state_dict(held["optimizer"])
    for one, other in zip(wanted, steps(net, optimizer, range(3, 6)), strict=True):
        assert torch.equal(one, other)
