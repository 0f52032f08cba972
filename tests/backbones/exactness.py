"""What "the same network" means: bit-for-bit equality of features, run whole and piece by piece."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tlx.backbones import Backbone


def make_every_tensor_count(model: nn.Module) -> None:
    """Give norms, biases, scales and statistics distinct values: fresh ones hide a swapped or a skipped layer."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict(keep_vars=True).items():
            if not tensor.is_floating_point() or (tensor.ndim > 1 and "layer_scale" not in name):
                continue
            if name.endswith(("weight", "running_var")) or "scale" in name or "gamma" in name:
                tensor.uniform_(0.8, 1.2, generator=generator)
            else:
                tensor.uniform_(-0.1, 0.1, generator=generator)


def fill_from(backbone: Backbone, original: nn.Module) -> None:
    """Put the original's own tensors into a backbone built on the meta device; every tensor must find its name."""
    state = original.state_dict()
    assert set(backbone.original_names) == set(backbone.state_dict())
    backbone.load_state_dict({name: state[other] for name, other in backbone.original_names.items()}, assign=True)


def assert_pieces_equal_whole(backbone: Backbone, x: Tensor) -> Tensor:
    """Run group by group, check every boundary and that no group spoils its input; return the features."""
    whole = backbone(x)
    out = x
    for name in backbone.group_names:
        given = out.clone()
        result = backbone(out, start=name, stop=name)
        assert torch.equal(out, given), f"{name} changes its input in place: a cached input would be spoilt"
        out = result
    last = backbone.group_names[-1]
    assert torch.equal(backbone.pool(out), whole)
    assert torch.equal(backbone(given, start=last), whole)
    middle = backbone.group_names[len(backbone.group_names) // 2]
    before = backbone.group_names[len(backbone.group_names) // 2 - 1]
    assert torch.equal(backbone(backbone(x, stop=before), start=middle), whole)
    return whole


def assert_every_range_right(backbone: Backbone, x: Tensor) -> None:
    """Run every range of groups, each output alone and with the others, and compare them with the whole."""
    names = backbone.group_names
    outputs = backbone.run(x, outputs=names)
    assert list(outputs) == names
    assert torch.equal(outputs[names[-1]], backbone(x))
    for i, name in enumerate(names):
        assert torch.equal(backbone.run(x, outputs=name)[name], outputs[name]), f"{name} alone is another"
        if i > 0:
            above = backbone.run(outputs[names[i - 1]], start=name, outputs=names[i:])
            for other in names[i:]:
                assert torch.equal(above[other], outputs[other]), f"from {name} to {other} is another"
    maps = [name for name in names if backbone.layouts[name].kind != "vector"]
    for pooled, asked in ((True, names), (False, maps)):
        together = backbone.run(x, outputs=asked, pooled=pooled)
        for i, name in enumerate(asked):
            assert torch.equal(backbone.run(x, outputs=name, pooled=pooled)[name], together[name]), (name, pooled)
            if i > 0:
                before = names[names.index(name) - 1]
                above = backbone.run(outputs[before], start=name, outputs=name, pooled=pooled)
                assert torch.equal(above[name], together[name]), (name, pooled)


def assert_map_right(backbone: Backbone, name: str, found: Tensor, x: Tensor) -> None:
    """Compare the declared stride and channels of a group with its map (B, C, H, W)."""
    assert found.ndim == 4
    assert found.shape[1] == backbone.channels[name], name
    exact = x.shape[-1] / backbone.strides[name]
    # Networks without padding lose pixels at the border.
    assert exact - 3 <= found.shape[-1] <= exact + 1, (name, found.shape, backbone.strides[name])


def assert_measures_right(backbone: Backbone, x: Tensor) -> None:
    """Compare the declared strides and channels with the maps that the groups really give."""
    names = [name for name in backbone.group_names if backbone.strides[name] > 0]
    maps = backbone.maps(x, names)
    for name, found in zip(names, maps, strict=True):
        assert_map_right(backbone, name, found, x)
    flat = [name for name in backbone.group_names if backbone.strides[name] == 0]
    for name in flat:
        assert backbone(x, stop=name).shape == (x.shape[0], backbone.channels[name])
    assert backbone(x).shape == (x.shape[0], backbone.num_features)
