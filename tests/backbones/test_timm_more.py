"""timm's networks that are more than a chain: rotary embeddings, block arguments, computation between the modules."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from tests.backbones.exactness import assert_every_range_right, make_every_tensor_count
from tlx.backbones import Backbone, build, timm_backbone
from tlx.backbones.maps import for_maps
from tlx.backbones.short_names import SHORT
from tlx.backbones.timm_check import check, families, report
from tlx.base.errors import TlxError

SMALL = {"embed_dim": 32, "depth": 4, "num_heads": 2}
STAGES = {"embed_dims": (16, 32, 32, 32)}
# Network -> side of its images, and what makes it small.
NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {
    "cait_xxs24_224": (64, SMALL),
    "coat_lite_tiny": (64, STAGES | {"serial_depths": (1, 1, 1, 1)}),
    "convit_tiny": (64, {"embed_dim": 8, "depth": 4, "num_heads": 4, "local_up_to_layer": 3}),
    "deepseek_vit_412m": (56, SMALL),
    "deepseek_vit_412m_align": (84, SMALL | {"out_features": 8}),
    "eva02_tiny_patch14_224": (56, SMALL | {"img_size": 56}),
    "gemma4_vit_167m": (64, SMALL | {"head_dim": 16, "intermediate_size": 64}),
    "hiera_tiny_224": (64, {"embed_dim": 16, "stages": (1, 2, 2, 1)}),
    "mvitv2_tiny": (64, {}),
    "nest_tiny_jx": (64, {}),
    "qwen3_vit_88m": (64, SMALL),
    "samvit_base_patch16_224": (64, SMALL | {"window_size": 2, "global_attn_indexes": (1, 3), "neck_chans": 16}),
    "twins_svt_small": (64, STAGES | {"depths": (1, 2, 2, 1), "num_heads": (1, 2, 2, 2)}),
    "visformer_tiny": (64, {"init_channels": 8, "embed_dim": 32, "depth": (1, 1, 1), "num_heads": 2}),
    "vit_pe_core_tiny_patch16_384": (64, SMALL),
    "vit_small_patch16_dinov3": (64, SMALL),
    "vit_small_patch16_rope_mixed_224": (64, SMALL),
    "vit_srelpos_small_patch16_224": (64, SMALL),
    "volo_d1_224": (64, {}),
    "xcit_nano_12_p16_224": (64, SMALL),
}
SLOW = {"mvitv2_tiny", "nest_tiny_jx", "volo_d1_224"}  # timm makes them in one size only


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timm build small versions of the networks above."""
    build_any = timm.create_model

    def build_small(name: str, **arguments: Any) -> Any:
        side, more = NETWORKS[name]
        overlay = {**(arguments.pop("pretrained_cfg_overlay", None) or {}), "input_size": (3, side, side)}
        return build_any(name, **arguments, **more, pretrained_cfg_overlay=overlay)

    monkeypatch.setattr(timm, "create_model", build_small)


def filled(name: str) -> tuple[Backbone, Any]:
    """Return a backbone and the original, in eval mode with the same values."""
    torch.manual_seed(0)
    original: Any = timm.create_model(name, num_classes=0).eval()
    make_every_tensor_count(original)
    state = original.state_dict()
    backbone = timm_backbone(name, load=False, pretrained=False).eval()
    assert set(backbone.original_names) == set(backbone.state_dict())
    assert set(backbone.original_names.values()) <= set(state)  # CoaT has several names for one weight
    assert sum(p.numel() for p in backbone.parameters()) == sum(p.numel() for p in original.parameters())
    backbone.load_state_dict({key: state[other] for key, other in backbone.original_names.items()})
    return backbone, original


def features(original: Any, x: Tensor) -> Tensor:
    found: Tensor = original.forward_head(original.forward_features(x), pre_logits=True)
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name in SLOW else name for name in NETWORKS]
)
@pytest.mark.usefixtures("small")
def test_equals_the_original(name: str) -> None:
    """Guards against rotary embeddings, tokens or sizes that a group between others lacks, or has of another image."""
    backbone, original = filled(name)
    side = NETWORKS[name][0]
    other = (side, side) if backbone.fixed_size else (2 * side, 3 * side)  # no square, another size
    assert backbone.fixed_size == (name not in ("vit_small_patch16_dinov3", "qwen3_vit_88m", "gemma4_vit_167m"))
    for size in {(side, side), other}:
        x = torch.randn(2, 3, *size)
        with torch.inference_mode():
            expected = features(original, x)
            assert expected.isfinite().all()
            assert torch.equal(backbone(x), expected)
            names = backbone.group_names
            outputs = backbone.run(x, outputs=names)
            for i, group in enumerate(names[1:], start=1):
                above = backbone.run(outputs[names[i - 1]], start=group, outputs=names[i:], size=size)
                assert all(torch.equal(above[one], outputs[one]) for one in names[i:]), group
            if size == (side, side):
                assert_every_range_right(backbone, x)
            theirs = original.forward_intermediates(x, output_fmt="NCHW", intermediates_only=True)
            ours = backbone.maps(x, names)
            assert all(any(torch.equal(a, b) for b in theirs) for a in ours[1:])
    owned = [id(p) for group in backbone.group_names for p in backbone.group_parameters(group)]
    assert sorted(owned) == sorted(id(p) for p in backbone.parameters())


@pytest.mark.usefixtures("small")
def test_starts_in_the_middle_of_images_that_are_no_squares() -> None:
    """Guards against rotary embeddings of a square for the stored output of other images, which train no less."""
    backbone, _ = filled("vit_small_patch16_dinov3")
    x = torch.randn(2, 3, 32, 128)  # as many patches as 64 x 64
    with torch.inference_mode():
        whole = backbone(x)
        below = backbone(x, stop="stage2")
        assert torch.equal(backbone.run(below, "stage3", size=(32, 128))["stage4"], whole)
        assert not torch.equal(backbone(below, start="stage3"), whole)
    with pytest.raises(TlxError, match=r"tokens of a square image, or of 64 x 64 pixels, got 12"):
        backbone(backbone(torch.randn(1, 3, 48, 64), stop="stage1"), start="stage2")


@pytest.mark.usefixtures("small")
def test_trains_is_copied_and_rebuilt() -> None:
    """Guards against block arguments that hold the tensors of a step, and against rotary weights that do not train."""
    import copy

    backbone, _ = filled("vit_small_patch16_rope_mixed_224")
    backbone.train()
    backbone(torch.randn(2, 3, 64, 64)).sum().backward()
    rotary = [p for name, p in backbone.named_parameters() if "rope" in name]
    assert rotary
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in rotary)
    copied = copy.deepcopy(backbone).eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(copied(x), backbone.eval()(x))
    with torch.device("meta"):
        again = build(backbone.architecture)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in backbone.state_dict().items()}


@pytest.mark.usefixtures("small")
def test_gives_maps_for_segmentation_and_detection() -> None:
    """Guards against maps with the class and register tokens in them, and a pool that takes block arguments."""
    backbone = for_maps(filled("vit_small_patch16_dinov3")[0])
    x = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        maps = backbone.run(x, outputs=["stage2", "stage4"], pooled=False)
        assert [tuple(one.shape) for one in maps.values()] == [(2, 32, 4, 6)] * 2
        assert backbone(x).shape == (2, 32)
    assert backbone.strides == dict.fromkeys(backbone.group_names, 16)


def test_short_names_are_what_timm_says() -> None:
    """Guards against a short name for weights that timm lacks, and a wrong size or licence in the list."""
    licences = {"Apache": "apache-2.0", "MIT": "mit", "CC": "cc-by-nc-4.0", "DINOv3": "dinov3-license"}
    known = set(timm.list_pretrained())
    for name, short in SHORT.items():
        assert short.timm in known, name
        config = timm.get_pretrained_cfg(short.timm)
        assert config.input_size[-1] == short.side, name
        assert config.license == licences[short.licence.split()[0]], name


def test_the_check_says_what_is_right_and_why_others_are_not() -> None:
    """Guards against a list of networks that are then refused, and a check that ends at the first of these."""
    right, refused, last = report(["test_vit", "crossvit_tiny_240"])
    assert right == "test_vit  stem stage1 stage2 stage3 stage4"
    assert refused.startswith("crossvit_tiny_240  expected every module to run once")
    assert last == "# 1 of 2 are right"
    found = families()
    assert len(found) > 80
    assert {"test_vit", "test_convnext"} <= set(found)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name", ["vit_small_patch16_dinov3", "eva02_tiny_patch14_224", "hiera_tiny_224", "mvitv2_tiny"]
)
def test_the_check_of_networks_in_their_own_size(name: str) -> None:
    """Guards against small versions that differ from what users train."""
    assert check(name).wrong == ""


@pytest.mark.usefixtures("small")
def test_a_blank_image_moves_no_statistics() -> None:
    """Guards against BatchNorm of the first group that learns from the blank image that a start in the middle needs."""
    backbone, _ = filled("xcit_nano_12_p16_224")
    first = backbone.train().groups[backbone.group_names[0]]
    below = backbone(torch.randn(2, 3, 64, 64), stop="stage1").detach()
    before = {name: value.clone() for name, value in first.state_dict().items() if "running" in name}
    assert before
    backbone.run(below, start="stage2", size=(64, 64))
    assert all(torch.equal(first.state_dict()[name], value) for name, value in before.items())
    assert first.training
