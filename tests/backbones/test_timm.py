"""timm's models as layer groups: exactly the original, or a refusal that says why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from tests.backbones.exactness import (
    assert_every_range_right,
    assert_measures_right,
    assert_pieces_equal_whole,
    make_every_tensor_count,
)
from tlx.backbones import build, timm_backbone
from tlx.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tlx.base.errors import TlxError

# Model -> strides of its groups, by hand.
MODELS = {
    "convnext_atto": [4, 4, 8, 16, 32],
    "deit_tiny_distilled_patch16_224": [16] * 5,
    "densenet121": [2, 4, 8, 16, 32],
    "dla46x_c": [1, 2, 4, 8, 16, 32],
    "efficientnet_b0": [2, 4, 8, 16, 32],
    "levit_128s": [16, 16, 32, 64],
    "mambaout_femto": [4, 4, 8, 16, 32],
    "mlp_mixer": [16] * 5,
    "mobilenetv3_small_050": [2, 4, 8, 16, 32],
    "pvt_v2_b0": [4, 4, 8, 16, 32],
    "regnety_002": [2, 4, 8, 16, 32],
    "repvgg_a0": [2, 4, 8, 16, 32],
    "resnet18": [2, 4, 8, 16, 32],
    "swin_tiny_patch4_window7_224": [4, 4, 8, 16, 32],
    "tf_efficientnet_lite0": [2, 4, 8, 16, 32],
    "vgg11": [1, 2, 4, 8, 16, 32],
    "vit_tiny_patch16_224": [16] * 5,
    "vit_tiny_r_s16_p8_224": [32] * 5,
}
NAMES = {"mlp_mixer": "gmlp_ti16_224"}
LARGE = {"vgg11", "swin_tiny_patch4_window7_224"}  # of torchvision, the suite compares their like


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=pytest.mark.nightly) if model in LARGE else model for model in MODELS]
)
def test_equals_the_original(model: str) -> None:
    """Guards against code between timm's modules that a cut along them would lose, and against wrong maps."""
    name = NAMES.get(model, model)
    torch.manual_seed(0)
    backbone = timm_backbone(name, load=False, pretrained=False).eval()
    original: Any = timm.create_model(name, num_classes=0).eval()
    make_every_tensor_count(original)
    state = original.state_dict()
    assert set(backbone.original_names) == set(backbone.state_dict())
    assert set(backbone.original_names.values()) == set(state)
    backbone.load_state_dict({key: state[other] for key, other in backbone.original_names.items()})

    size = backbone.preprocessing.size if backbone.fixed_size else 96
    x = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        expected = original.forward_head(original.forward_features(x), pre_logits=True)
        assert expected.isfinite().all()
        assert expected.std() > 0
        assert torch.equal(assert_pieces_equal_whole(backbone, x), expected)
        assert_every_range_right(backbone, x)
        assert list(backbone.strides.values()) == MODELS[model]
        if not name.startswith("levit"):  # its patches halve as 14, 7, 4: timm calls the last one stride 64
            assert_measures_right(backbone, x)
        theirs = original.forward_intermediates(x, output_fmt="NCHW", intermediates_only=True)
        ours = backbone.maps(x, backbone.group_names)
        # Every group above the stem ends at one of timm's features; theirs are upright maps as ours must be.
        assert all(any(torch.equal(a, b) for b in theirs) for a in ours[1:-1])
    groups = [id(p) for group in backbone.group_names for p in backbone.group_parameters(group)]
    assert sorted(groups) == sorted(id(p) for p in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", Preprocessing(224, IMAGENET_MEAN, IMAGENET_STD, "bicubic", 0.95)),
        ("vit_tiny_patch16_224", Preprocessing(224, (0.5,) * 3, (0.5,) * 3, "bicubic", 0.9)),
        ("test_resnet", Preprocessing(160, (0.5,) * 3, (0.5,) * 3, "bilinear", 0.95)),
    ],
)
def test_images_are_prepared_as_timm_prepares_them(name: str, expected: Preprocessing) -> None:
    """Guards against weights that see images cropped, resized or normalised otherwise than in their training."""
    assert timm_backbone(name, load=False).preprocessing == expected


def test_vision_transformer_in_four_equal_runs() -> None:
    """Guards against a group for each of twelve blocks, or runs of unequal length."""
    backbone = timm_backbone("vit_tiny_patch16_224", load=False)
    assert backbone.group_names == ["stem", "stage1", "stage2", "stage3", "stage4"]
    assert [len(backbone.groups[f"stage{i}"]) for i in range(1, 5)] == [3, 3, 3, 3]  # type: ignore[arg-type]
    assert "groups.stem.0.model.cls_token" in backbone.state_dict()


@pytest.mark.parametrize("name", ["hrnet_w18_small", "crossvit_tiny_240", "pit_ti_224"])
def test_refuses_what_is_no_chain(name: str) -> None:
    """Guards against a silently wrong network where features are computed beside the chain of modules."""
    with pytest.raises(TlxError, match=f"{name} cannot be cut into layer groups: expected"):
        timm_backbone(name, load=False)


def test_unknown_names_get_a_hint() -> None:
    """Guards against timm's own errors, which name no alternative."""
    with pytest.raises(TlxError, match="did you mean 'resnet50'"):
        timm_backbone("resnet5O", load=False)
    with pytest.raises(TlxError, match=r"did you mean 'convnext_tiny\.fb_in22k'"):
        timm_backbone("convnext_tiny.fb_in22", load=False)


def test_offline_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards against the 47 seconds that timm waits for a network that is not there."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    begin = time.perf_counter()
    with pytest.raises(TlxError, match=r"(?s)Missing: model.safetensors of timm/resnet18.*backbone.pretrained=false"):
        timm_backbone("resnet18")
    assert time.perf_counter() - begin < 5


def test_cached_weights_need_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards against asking the hub although the file is here, and against weights that are not loaded."""
    from safetensors.torch import save_file

    torch.manual_seed(3)
    original: Any = timm.create_model("test_resnet")
    file = tmp_path / "model.safetensors"
    save_file(original.state_dict(), str(file))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: str(file))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    backbone = timm_backbone("test_resnet").eval()
    x = torch.randn(1, 3, 64, 64)
    original.eval()
    assert torch.equal(backbone(x), original.forward_head(original.forward_features(x), pre_logits=True))


def test_rebuilt_from_its_architecture_on_meta() -> None:
    """Guards against an architecture that needs weights, memory or a download to be rebuilt."""
    first = timm_backbone("vit_tiny_patch16_224", load=False, in_channels=4)
    with torch.device("meta"):
        again = build(first.architecture)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in first.state_dict().items()}
    assert all(p.device.type == "meta" for p in again.parameters())
    assert again.preprocessing == first.preprocessing
    assert len(again.preprocessing.mean) == 4
