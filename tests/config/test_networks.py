"""Networks by name: any of timm's, short names, and a user's own function."""

from __future__ import annotations

import pytest

from tlx.base.errors import ConfigError
from tlx.config import check_command_line, compose


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("dinov3_vits16", "vit_small_patch16_dinov3.lvd1689m"),
        ("twins_svt_small", "twins_svt_small"),
        ("convnext_tiny.fb_in22k", "convnext_tiny.fb_in22k"),
    ],
)
def test_names_of_timm_are_options(typed: str, name: str) -> None:
    """Guards against a network of timm that needs two keys, and one that is another than its name says."""
    node = compose([f"backbone={typed}"]).backbone
    assert (node._target_, node.name, node.pretrained) == ("tlx.backbones.timm_backbone", name, True)
    assert compose([f"backbone={typed}"]).run_name == compose(["backbone=timm", f"backbone.name={name}"]).run_name


def test_names_of_torchvision_have_priority() -> None:
    """Guards against runs that become others because timm has a network of the same name."""
    assert compose(["backbone=resnet50"]).backbone._target_ == "tlx.backbones.torchvision_backbone"


def test_networks_of_timm_in_a_sweep() -> None:
    """Guards against a name that is known alone and unknown among others."""
    assert check_command_line(["backbone=resnet18,twins_svt_small,dinov3_vits16"], None, multirun=True) == []
    (mistake,) = check_command_line(["backbone=resnet18,twins_svt_smal"], None, multirun=True)
    assert "twins_svt_small" in mistake.hint


def test_an_own_function_is_typed_in_two_ways() -> None:
    """Guards against two forms that are two runs, and keys of the default network in the user's function."""
    one = compose(["backbone._target_=mynet.build"])
    other = compose(["backbone=own", "backbone.target=mynet.build"])
    assert one.backbone == other.backbone
    assert one.run_name == other.run_name
    assert "own" in one.run_name


def test_a_function_in_a_file_is_not_run(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a file from elsewhere that names any function as a network."""
    monkeypatch.delenv("TLX_ALLOW_TARGETS", raising=False)
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "theirs.yaml").write_text(
        "_target_: tlx.backbones.own_backbone\nname: theirs\ntarget: os.system\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"(?s)a function that you allow, got .os.system.*target=os.system"):
        compose(["backbone=theirs"], tmp_path)
