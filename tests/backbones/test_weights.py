"""Weights from packages, files and runs: what is loaded, adapted, reported, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from tlx.backbones import (
    Backbone,
    efficientnet_lite0,
    file_backbone,
    run_backbone,
    small_cnn,
    timm_backbone,
    torchvision_backbone,
)
from tlx.backbones.first_convolution import adapt_kernel
from tlx.backbones.lite0 import weights_file
from tlx.base.errors import TlxError
from tlx.tasks.classification.head import last_layer


@pytest.mark.slow
def test_lite0_is_the_original_network() -> None:
    """Guards against wrong padding, BatchNorm constants or a misplaced tensor in our EfficientNet-Lite0."""
    original: Any = timm.create_model("tf_efficientnet_lite0", bn_eps=1e-3).eval()
    state = torch.load(weights_file(), weights_only=True)
    ours_to_theirs = dict(zip(state, original.state_dict(), strict=True))
    original.load_state_dict({ours_to_theirs[name]: value for name, value in state.items()})
    backbone = efficientnet_lite0().eval()
    for side in (96, 97, 224):  # TensorFlow pads odd and even sides differently
        x = torch.randn(2, 3, side, side)
        with torch.inference_mode():
            expected = original.forward_head(original.forward_features(x), pre_logits=True)
            assert torch.equal(backbone(x), expected)
    assert set(backbone.original_names.values()) == set(state) - {"_fc.weight", "_fc.bias"}


@pytest.mark.slow
def test_lite0_knows_ants_from_bees(test_data: Callable[[str], Path]) -> None:
    """Guards against wrong normalisation: with ImageNet's usual one the original classifier falls to 68 %."""
    from PIL import Image
    from torchvision.transforms import v2

    files = sorted(test_data("hymenoptera").glob("**/val/*/*.jpg"))[::4]
    backbone = efficientnet_lite0().eval()
    state = torch.load(weights_file(), weights_only=True)
    head = nn.Linear(1280, 1000)
    head.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    told = backbone.preprocessing
    transform = v2.Compose(
        [
            v2.Resize(round(told.size / told.crop), v2.InterpolationMode(told.interpolation)),
            v2.CenterCrop(told.size),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(told.mean, told.std),
        ]
    )
    images = torch.stack([transform(Image.open(file).convert("RGB")) for file in files])
    targets = torch.tensor([{"ants": 310, "bees": 309}[file.parent.name] for file in files])
    with torch.inference_mode():
        right = (head(backbone(images)).argmax(1) == targets).float().mean()
    assert len(files) > 30
    assert right > 0.78


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone._orig_mod.", "model.backbone."])
def test_file_with_wrapped_names(tmp_path: Path, suffix: str, prefix: str) -> None:
    """Guards against a wrapper's prefix that makes every tensor of a file miss its place."""
    original = torchvision.models.get_model("shufflenet_v2_x0_5", weights=None).eval()
    state = {prefix + name: value for name, value in original.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, str(path))
    else:
        torch.save({"epoch": 3, "model": {"state_dict": state}}, path)
    backbone = file_backbone(str(path), "shufflenet_v2_x0_5").eval()
    original.fc = nn.Identity()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(backbone(x), original(x))
    assert backbone.report is not None
    assert backbone.report.num_reinitialised == 0
    assert set(backbone.report.left_over) == {f"{prefix}fc.weight", f"{prefix}fc.bias"}
    assert backbone.architecture["_target_"] == "tlx.backbones.torchvision_backbone"


def test_report_tells_every_tensor(tmp_path: Path) -> None:
    """Guards against a partial fit that goes unnoticed: wrong shapes, missing and superfluous tensors."""
    state = {name: value.half() for name, value in small_cnn(width=8).state_dict().items()}
    state["groups.stage3.0.weight"] = torch.zeros(5, 5)
    del state["groups.stage1.1.bias"]
    state["surplus.weight"] = torch.zeros(2, 3)
    torch.save(state, tmp_path / "partial.pt")
    torch.manual_seed(0)
    fresh = small_cnn(width=8)
    torch.manual_seed(0)
    backbone = file_backbone(str(tmp_path / "partial.pt"), {"_target_": "tlx.backbones.small_cnn", "width": 8})
    report = backbone.report
    assert report is not None
    assert report.left_over == {"surplus.weight": (2, 3)}
    assert report.groups["stage3"].reinitialised == {"groups.stage3.0.weight": "expected (32, 32, 3, 3), got (5, 5)"}
    assert report.groups["stage1"].reinitialised == {"groups.stage1.1.bias": "missing, (16,)"}
    assert report.num_loaded + report.num_reinitialised == len(backbone.state_dict())
    assert torch.equal(backbone.groups["stage3"][0].weight, fresh.groups["stage3"][0].weight)  # type: ignore[index]
    loaded = backbone.state_dict()["groups.stage2.0.weight"]
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, state["groups.stage2.0.weight"].float())
    text = str(report)
    for words in ("partial.pt", "stage3 ", "expected (32, 32, 3, 3), got (5, 5)", "surplus.weight (2, 3)"):
        assert words in text


def test_nothing_fits(tmp_path: Path) -> None:
    """Guards against a run that starts from random weights while its user believes in a file."""
    torch.save(torchvision.models.get_model("squeezenet1_1", weights=None).state_dict(), tmp_path / "w.pth")
    with pytest.raises(TlxError, match=r"expected weights that fit resnet18, got none in .*w\.pth"):
        file_backbone(str(tmp_path / "w.pth"), "resnet18")


class Pickled:
    """Something that a file of weights must not hold."""


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    """Guards against executing a pickle, and against tracebacks for files of another kind."""
    torch.save({"model": Pickled()}, tmp_path / "object.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights at all")
    torch.save({"lr": 0.1, "names": ["a"]}, tmp_path / "numbers.pth")
    (tmp_path / "weights.zip").write_text("")
    for name, words in {
        "object.pth": r"expected named tensors in .*got only objects that need their own code.*Pickled",
        "text.pth": r"expected a file with weights.*\(a text: no weights\)",
        "text.safetensors": r"expected a file with weights.*\(a text: no weights at all\)",
        "numbers.pth": "expected named tensors in .* got a dict with lr, names",
        "weights.zip": "an empty file",
        "objects.pth": "no such file.*did you mean '.*object.pth'",
    }.items():
        with pytest.raises(TlxError, match=words):
            file_backbone(str(tmp_path / name), "resnet18")


def test_unknown_architecture() -> None:
    """Guards against a bare KeyError for a misspelt architecture."""
    with pytest.raises(TlxError, match="did you mean 'resnet50'"):
        file_backbone("w.pth", "resnet5O")


@pytest.mark.slow
def test_real_weights_with_torchvision_names(test_data: Callable[[str], Path]) -> None:
    """Guards against real files that do not load whole: both were exported for torchvision."""
    folder = test_data("weights")
    for name in ("squeezenet1_1", "mobilenet_v2"):
        (path,) = (folder / name).glob("*.pth")
        backbone = file_backbone(str(path), name).eval()
        original = torchvision.models.get_model(name, weights=None)
        original.load_state_dict(torch.load(path, weights_only=True))
        original.eval()
        x = torch.randn(1, 3, 97, 97)
        with torch.inference_mode():
            assert torch.equal(backbone(x), original.features(x).mean((2, 3))) or torch.equal(
                backbone(x), nn.functional.adaptive_avg_pool2d(original.features(x), 1).flatten(1)
            )
        assert backbone.report is not None
        assert backbone.report.num_reinitialised == 0
        assert all(key.startswith("classifier.") for key in backbone.report.left_over)


def test_old_names_of_torchvision() -> None:
    """Guards against torchvision's own published DenseNet and ViT files, which keep names of older versions."""
    from tlx.backbones.loading import load_state

    backbone = torchvision_backbone("densenet121", load=False)
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for name, value in torchvision.models.get_model("densenet121").state_dict().items()
    }
    assert load_state(backbone, old, "old").num_reinitialised == 0


def test_timm_file(tmp_path: Path) -> None:
    """Guards against timm's own names, which a cut model no longer has."""
    original = timm.create_model("test_vit")
    torch.save(original.state_dict(), tmp_path / "w.pth")
    backbone = file_backbone(str(tmp_path / "w.pth"), "timm/test_vit")
    assert backbone.report is not None
    assert backbone.report.num_reinitialised == 0
    assert set(backbone.report.left_over) == {"head.weight", "head.bias"}
    fresh = timm_backbone("test_vit", load=False)
    assert set(fresh.state_dict()) == set(backbone.state_dict())


def write_run(directory: Path, backbone: Backbone, head_prefix: str = "head.") -> dict[str, torch.Tensor]:
    """Write what `run_backbone` reads of a run directory."""
    (directory / "checkpoints").mkdir(parents=True)
    described = {
        "architecture": backbone.architecture,
        "preprocessing": backbone.preprocessing.to_dict(),
        "group_names": backbone.group_names,
        "class_names": ["0", "1", "2"],
        "num_features": backbone.num_features,
    }
    (directory / "model.json").write_text(json.dumps(described))
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    state[f"{head_prefix}weight"] = torch.randn(3, backbone.num_features)
    state[f"{head_prefix}bias"] = torch.randn(3)
    torch.save({"state_dict": state, "epoch": 1}, directory / "checkpoints" / "best.ckpt")
    return state


@pytest.mark.parametrize("head_prefix", ["head.", "head.1."])
def test_run(tmp_path: Path, head_prefix: str) -> None:
    """Guards against a run whose weights, preprocessing or head get lost on the way to the next one."""
    source = small_cnn(width=8)
    source.preprocessing = replace(source.preprocessing, size=20, crop=0.5)  # as of dataset.image_size
    state = write_run(tmp_path / "run", source, head_prefix)
    backbone = run_backbone(str(tmp_path / "run"))
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(backbone.eval()(x), source.eval()(x))
    assert backbone.architecture == source.architecture
    assert backbone.preprocessing == source.preprocessing
    assert backbone.upper_source is not None
    assert backbone.upper_source.class_names == ["0", "1", "2"]
    head = last_layer(backbone.upper_source).state
    assert torch.equal(head["head.1.weight"], state[f"{head_prefix}weight"])
    assert torch.equal(head["head.1.bias"], state[f"{head_prefix}bias"])
    assert backbone.report is not None
    assert (backbone.report.num_reinitialised, backbone.report.left_over) == (0, {})
    assert "classification, 3 classes" in str(backbone.report)


def test_run_for_other_channels(tmp_path: Path) -> None:
    """Guards against a gray run that cannot serve for colour images: the same picture must give the same features."""
    source = small_cnn(width=8, in_channels=1)
    write_run(tmp_path / "gray", source)
    backbone = run_backbone(str(tmp_path / "gray"), in_channels=3).eval()
    gray = torch.randn(2, 1, 32, 32)
    assert torch.allclose(backbone(gray.expand(-1, 3, -1, -1)), source.eval()(gray), atol=1e-5)
    assert backbone.preprocessing.mean == (0.5, 0.5, 0.5)
    assert backbone.report is not None
    assert "1 -> 3 input channels" in str(backbone.report)


def test_run_that_is_none(tmp_path: Path) -> None:
    """Guards against a traceback for a misspelt or unfinished run."""
    write_run(tmp_path / "digits", small_cnn(width=8))
    with pytest.raises(TlxError, match=r"did you mean '.*digits'"):
        run_backbone(str(tmp_path / "digit"))
    (tmp_path / "digits" / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(TlxError, match=r"expected checkpoints/best\.ckpt in"):
        run_backbone(str(tmp_path / "digits"))
    assert run_backbone(str(tmp_path / "digits"), load=False).upper_source is None
    (tmp_path / "digits" / "model.json").write_text('{"architecture": {}}')
    with pytest.raises(TlxError, match=r"model\.json: expected the description of a network, got preprocessing"):
        run_backbone(str(tmp_path / "digits"))


def test_first_convolution_rule() -> None:
    """Guards against an adapted kernel that changes what an image of equal channels gives."""
    kernel = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    value = torch.randn(1, 1, 9, 9, dtype=torch.float64)
    gray = nn.functional.conv2d(value, adapt_kernel(kernel, 1))
    for channels in (2, 3, 4, 7):
        adapted = adapt_kernel(kernel, channels)
        assert adapted.shape == (4, channels, 5, 5)
        assert torch.equal(adapted[:, 0], kernel[:, 0] * (3 / channels))
        if channels % 3 == 0:
            assert torch.allclose(nn.functional.conv2d(value.expand(-1, channels, -1, -1), adapted), gray)
    assert torch.equal(adapt_kernel(kernel, 7)[:, 5], kernel[:, 2] * (3 / 7))
    assert adapt_kernel(kernel, 3) is kernel


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_any_number_of_channels(channels: int) -> None:
    """Guards against networks that take colour images only, and against an adaptation that goes unreported."""
    for backbone in (
        efficientnet_lite0(in_channels=channels),
        torchvision_backbone("resnet18", load=False, in_channels=channels),
        timm_backbone("test_resnet", load=False, in_channels=channels),
        small_cnn(width=8, in_channels=channels),
    ):
        assert backbone.in_channels == channels
        assert backbone.eval()(torch.randn(2, channels, 64, 64)).shape == (2, backbone.num_features)
        assert backbone.report is not None
        own = backbone.architecture["_target_"] == "tlx.backbones.small_cnn"
        assert own or any(f"{channels} input channels" in note for note in backbone.report.notes)
    gray = efficientnet_lite0(in_channels=1).eval()
    x = torch.randn(1, 1, 64, 64)
    assert torch.allclose(gray(x), efficientnet_lite0().eval()(x.expand(-1, 3, -1, -1)), atol=1e-4)


def test_torchvision_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards against an offline error that says neither which file is missing nor where it would be found."""
    from urllib.error import URLError

    def offline(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(TlxError, match=r"(?s)resnet18-f37072fd\.pth.*https://download.*backbone\.weights=null"):
        torchvision_backbone("resnet18")
    assert torchvision_backbone("resnet18", load=False).num_features == 512


def test_torchvision_weights_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Guards against weights in torch's cache that are not used."""
    (tmp_path / "checkpoints").mkdir()
    original = torchvision.models.get_model("mobilenet_v3_small", weights=None).eval()
    torch.save(original.state_dict(), tmp_path / "checkpoints" / "mobilenet_v3_small-047dcff4.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    backbone = torchvision_backbone("mobilenet_v3_small").eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(backbone(x), original.classifier[:2](original.avgpool(original.features(x)).flatten(1)))
    assert str(backbone.report) == "weights: torchvision mobilenet_v3_small IMAGENET1K_V1"


def test_torchvision_weights_decide_the_preprocessing() -> None:
    """Guards against one preprocessing for all weights, and for a Vision Transformer against one size."""
    with torch.device("meta"):
        old = torchvision_backbone("resnet50", weights="IMAGENET1K_V1", load=False).preprocessing
        new = torchvision_backbone("resnet50", load=False).preprocessing
        large = torchvision_backbone("vit_b_16", weights="IMAGENET1K_SWAG_E2E_V1", load=False)
    assert (round(old.size / old.crop), round(new.size / new.crop)) == (256, 232)
    assert (large.preprocessing.size, large.preprocessing.interpolation) == (384, "bicubic")
    assert large.groups["stem"].pos_embedding.shape[1] == 24 * 24 + 1  # type: ignore[index]
    with pytest.raises(TlxError, match="did you mean 'IMAGENET1K_V2'"):
        torchvision_backbone("resnet50", weights="IMAGENET1K_V3")
    with pytest.raises(TlxError, match="did you mean 'resnet50'"):
        torchvision_backbone("resnet5O")
