"""The list of layer groups: running parts of it, names, parameters, errors, laziness."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import tlx.backbones
from tests.backbones.exactness import (
    assert_every_range_right,
    assert_map_right,
    assert_measures_right,
    assert_pieces_equal_whole,
)
from tlx.backbones import Backbone, build, catalog, efficientnet_lite0, small_cnn, timm_backbone, torchvision_backbone
from tlx.base.errors import TlxError


def test_catalog_needs_no_torch() -> None:
    """Guards against seconds of imports before --help or a mistake in the configuration is answered."""
    code = (
        "import sys, tlx.backbones.catalog, tlx.backbones.preprocessing;"
        "assert not {'torch', 'torchvision', 'timm', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_builders_are_functions_whatever_was_imported_first() -> None:
    """Guards against a submodule that takes the place of the builder of the same name, which `_target_` then finds."""
    for name in tlx.backbones.__all__:
        assert callable(getattr(tlx.backbones, name)), name
    with pytest.raises(AttributeError, match="no attribute 'resnet'"):
        tlx.backbones.resnet  # noqa: B018


@pytest.mark.parametrize("name", ["small_cnn", "efficientnet_lite0"])
def test_own_networks_run_in_pieces(name: str) -> None:
    """Guards against own networks that break the rules tested for torchvision's."""
    backbone = {"small_cnn": small_cnn, "efficientnet_lite0": efficientnet_lite0}[name](load=False).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert_pieces_equal_whole(backbone, x)
        assert_every_range_right(backbone, x)
        assert_measures_right(backbone, x)
    assert tuple(backbone.group_names) == catalog.group_names(name)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in backbone.modules())


def test_maps_of_several_groups_in_any_order() -> None:
    """Guards against maps in the order of running instead of asking, and against a repeated or missing one."""
    backbone = small_cnn().eval()
    x = torch.randn(1, 3, 32, 32)
    names = ["stage2", "stem", "stage2"]
    found = backbone.maps(x, names)
    assert all(torch.equal(a, backbone(x, stop=name)) for a, name in zip(found, names, strict=True))


def test_token_maps_are_upright() -> None:
    """Guards against a map of tokens that is transposed or shifted by the class token."""
    backbone = torchvision_backbone("vit_b_32", weights=None, load=False).eval()
    stem: Any = backbone.groups["stem"]
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        (found,) = backbone.maps(x, ["stem"])
        positions = stem.pos_embedding[0, 1:].T.reshape(1, 768, 7, 7)
        expected = stem.conv_proj(x) + positions
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "timm/test_vit", "timm/test_convnext", "timm/test_resnet"])
def test_every_range_of_every_layout_is_right(name: str) -> None:
    """Guards against outputs of one pass that are not those of single passes, whatever the inner layout: maps, tokens,
    a vector, a norm in the pool."""
    torch.manual_seed(0)
    if name.startswith("timm/"):
        backbone = timm_backbone(name.removeprefix("timm/"), load=False)
    else:
        backbone = torchvision_backbone(name, load=False)
    size = backbone.preprocessing.size if backbone.fixed_size else 64
    with torch.inference_mode():
        x = torch.randn(2, 3, size, size)
        assert_every_range_right(backbone.eval(), x)
        names = [group for group in backbone.group_names if backbone.strides[group] > 0]
        found = backbone.run(x, outputs=names, pooled=False)
        assert all(torch.equal(a, found[group]) for a, group in zip(backbone.maps(x, names), names, strict=True))
        for group in names:
            assert_map_right(backbone, group, found[group], x)
        if "dense" in backbone.groups:
            assert torch.equal(backbone.run(x, pooled=True)["dense"], backbone(x))


def test_outputs_have_the_form_that_was_asked_for() -> None:
    """Guards against a mean in the place of the features of the last group, and against a map that is pooled."""
    backbone = small_cnn(width=4).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        features, inner = backbone(x), backbone(x, stop="stage3")
        assert torch.equal(backbone.run(x)["stage3"], features)
        assert torch.equal(backbone.run(x, outputs="stage3", pooled=True)["stage3"], features)
        assert torch.equal(backbone.run(x, outputs="stage3", pooled=False)["stage3"], inner)
        both = backbone.run(x, outputs=["stage3", "stem"], pooled=True)
        assert list(both) == ["stage3", "stem"]
        assert torch.equal(both["stem"], backbone(x, stop="stem").mean((2, 3)))
        assert backbone.run(x, outputs=[]) == {}


def test_maps_of_tokens_above_the_image_know_their_shape() -> None:
    """Guards against a map of other sides than the image's where only tokens come in."""
    backbone = timm_backbone("test_vit", load=False).eval()
    first, second = backbone.group_names[:2]
    side = backbone.preprocessing.size
    with torch.inference_mode():
        x = torch.randn(1, 3, side, side)
        tokens = backbone(x, stop=first)
        (found,) = backbone.run(tokens, start=second, outputs=second, pooled=False).values()
        assert torch.equal(found, backbone.maps(x, [second])[0])
        with pytest.raises(TlxError, match="tokens of an image of 160 x 160 pixels, got 90; run from the image"):
            backbone.run(tokens[:, :-10], start=second, outputs=second, pooled=False)


def test_unknown_and_reversed_groups_are_errors() -> None:
    """Guards against a silent run of everything, or nothing, for a name that does not exist."""
    backbone = small_cnn()
    x = torch.randn(2, 3, 32, 32)
    with pytest.raises(TlxError, match="did you mean 'stage3'"):
        backbone(x, stop="stage33")
    with pytest.raises(TlxError, match="start='stage2' above stop='stem'"):
        backbone(x, start="stage2", stop="stem")
    with pytest.raises(TlxError, match="start='stage2' above stop='stage1'"):
        backbone.run(x, start="stage2", outputs=["stage3", "stage1"])
    with pytest.raises(TlxError, match="did you mean 'stem'"):
        backbone.run(x, outputs=["stemm"])
    with pytest.raises(TlxError, match=r"expected images of shape \(B, 3, H, W\), got \(2, 1, 32, 32\)"):
        backbone(x[:, :1])
    with pytest.raises(TlxError, match=r"set dataset\.image_size=224"):
        torchvision_backbone("vit_b_32", load=False)(x)
    with pytest.raises(TlxError, match=r"expected groups that output maps \(block1, .*got 'dense'"):
        torchvision_backbone("alexnet", load=False).maps(torch.randn(1, 3, 64, 64), ["dense"])


def test_parameters_of_the_pool_belong_to_the_last_group() -> None:
    """Guards against a final norm that no group trains: it would be in no optimizer group."""
    with torch.device("meta"):
        for name in ("convnext_tiny", "swin_t", "vit_b_16"):
            backbone = torchvision_backbone(name, load=False)
            last = {id(p) for p in backbone.group_parameters("stage4")}
            assert {id(p) for p in backbone.pool.parameters()} <= last
            assert list(backbone.pool.parameters())
            assert backbone.group_modules("stage4") == [backbone.groups["stage4"], backbone.pool]
            assert backbone.group_of("pool.0.weight") == "stage4"
            assert backbone.group_of("groups.stem.0.weight") == "stem"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "regnet_y_400mf", "efficientnet_lite0", "small_cnn"])
def test_rebuilt_on_the_meta_device(name: str) -> None:
    """Guards against a plan that needs memory, and against an architecture that does not give the same network."""
    builders: dict[str, Callable[..., Backbone]] = {
        "efficientnet_lite0": efficientnet_lite0,
        "small_cnn": lambda **k: small_cnn(width=24, **k),
    }
    make = builders.get(name, lambda **k: torchvision_backbone(name, **k))
    with torch.device("meta"):
        first: Backbone = make(load=False, in_channels=2)
        again = build(first.architecture)
    shapes = {key: value.shape for key, value in first.state_dict().items()}
    assert {key: value.shape for key, value in again.state_dict().items()} == shapes
    assert all(p.device.type == "meta" for p in again.parameters())
    assert (again.strides, again.channels, again.num_features) == (first.strides, first.channels, first.num_features)
    assert again.preprocessing == first.preprocessing


def test_random_weights_follow_the_seed() -> None:
    """Guards against runs from scratch that cannot be repeated."""
    makers: list[Callable[[], Backbone]] = [
        small_cnn,
        lambda: torchvision_backbone("resnet18", weights=None),
        lambda: efficientnet_lite0(pretrained=False),
    ]
    for make in makers:
        states = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            states.append(next(iter(make().parameters())).detach())
        assert torch.equal(states[0], states[1])
        assert not torch.equal(states[0], states[2])


def test_a_dict_from_a_file_builds_only_our_own() -> None:
    """Guards against a checkpoint that names something else to be called."""
    for target in ("os.system", "tlx.backbones.file_backbone", "torch.load", ""):
        with pytest.raises(TlxError, match=r"expected a _target_ of tlx\.backbones\.torchvision_backbone"):
            build({"_target_": target, "name": "x"})
    with pytest.raises(TlxError, match=r"expected the arguments of tlx\.backbones\.small_cnn"):
        build({"_target_": "tlx.backbones.small_cnn", "depth": 3})


def test_measuring_leaves_the_modes_alone() -> None:
    """Guards against strides that are asked for during training and switch its BatchNorm to eval."""
    backbone = small_cnn()
    backbone.groups["stem"].eval()
    before = [m.training for m in backbone.modules()]
    statistics = backbone.state_dict()["groups.stage1.1.running_mean"].clone()
    assert backbone.strides["stage3"] == 8
    assert [m.training for m in backbone.modules()] == before
    assert torch.equal(backbone.state_dict()["groups.stage1.1.running_mean"], statistics)
