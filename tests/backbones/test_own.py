"""A user's own network: the contract, and messages instead of tracebacks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.backbones.exactness import assert_every_range_right
from tlx.backbones import build
from tlx.backbones.own import own_backbone
from tlx.base.errors import TlxError

MODULE = """
import os

import torch
from torch import nn

def conv(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())

def build(in_channels, width=4):
    return {"stem": conv(in_channels, width), "stage1": conv(width, 8), "stage2": conv(8, 12)}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv(3, 4), conv(4, 8), conv(8, 12))
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))

def whole():
    return Net(), ["features.0", "features.2"]

def wrong_order():
    return Net(), ["features.1", "features.0", "features.2"]

def twice():
    return Net(), ["features.0", "features.0"]

def unknown_name():
    return Net(), ["features.7"]

def network():
    return Net()

def nothing():
    pass

def apart():
    return {"stem": conv(3, 4), "stage1": conv(5, 8)}

def five_dimensions():
    return {"stem": nn.Sequential(conv(3, 4), nn.Unflatten(1, (2, 2)))}

def no_module():
    return {"stem": 3}

def shared():
    one = nn.Conv2d(3, 3, 1)
    return {"stem": one, "stage1": one}

def breaks():
    raise ValueError("no such file")

number = 3
"""


@pytest.fixture
def mynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's, which is on the path and allowed."""
    (tmp_path / "mynet.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TLX_ALLOW_TARGETS", "mynet")
    monkeypatch.delitem(sys.modules, "mynet", raising=False)


@pytest.mark.usefixtures("mynet")
def test_layer_groups_of_a_function() -> None:
    """Guards against an own network without what others have: sizes, channels, a rebuild with its arguments."""
    backbone = own_backbone("mynet.build", {"width": 6}, size=32, in_channels=5).eval()
    assert backbone.group_names == ["stem", "stage1", "stage2"]
    assert (list(backbone.strides.values()), list(backbone.channels.values())) == ([2, 4, 8], [6, 8, 12])
    assert (backbone.num_features, backbone.in_channels, backbone.fixed_size) == (12, 5, False)
    x = torch.randn(2, 5, 32, 32)
    assert_every_range_right(backbone, x)
    again = build(backbone.architecture).eval()
    again.load_state_dict(backbone.state_dict())
    assert torch.equal(again(x), backbone(x))


@pytest.mark.usefixtures("mynet")
def test_a_network_and_where_to_cut_it() -> None:
    """Guards against a cut that loses a layer, and against a head that is kept."""
    torch.manual_seed(0)
    backbone = own_backbone("mynet.whole", size=32, in_channels=1).eval()
    assert [len(list(group.modules())) > 1 for group in backbone.groups.values()] == [True, True]
    assert backbone.group_names == ["stem", "stage1"]
    assert list(backbone.strides.values()) == [2, 8]
    assert not any("fc" in name for name in backbone.state_dict())
    assert backbone.report is not None
    assert "3 -> 1 input channels" in str(backbone.report)
    assert backbone(torch.randn(2, 1, 32, 32)).shape == (2, 12)


@pytest.mark.usefixtures("mynet")
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("mynet.unknown_name", r"expected names of modules at which to cut, got 'features\.7'"),
        ("mynet.wrong_order", r"expected the names of different modules, bottom to top, got features\.1, features\.0"),
        ("mynet.twice", r"expected the names of different modules, bottom to top, got features\.0, features\.0"),
        ("mynet.os.system", "'mynet.os.system' cannot be imported|defined in a package that you allow"),
        ("mynet.network", r"as \{name: module\}.*got a network \(Net\) without the names at which to cut it"),
        ("mynet.nothing", r"got None \(does it lack a return\?\)"),
        ("mynet.apart", r"layer group 'stage1' to take the output of 'stem', \(2, 4, 16, 16\), got RuntimeError"),
        ("mynet.five_dimensions", r"layer group 'stem' to return a map .* got \(2, 2, 2, 16, 16\)"),
        ("mynet.no_module", "expected a module .* for 'stem', got int 3"),
        ("mynet.shared", "one in both 'stem' and 'stage1'"),
        ("mynet.breaks", "mynet.breaks failed: ValueError: no such file"),
        ("mynet.number", "'mynet.number' is int 3"),
        ("mynet.nosuch", "'mynet.nosuch' cannot be imported"),
        ("mynet.sub.build", "'mynet.sub.build' cannot be imported"),
        ("os.system", "expected a function that you allow, got 'os.system'; if you trust it: type it"),
    ],
)
def test_what_users_get_wrong(target: str, words: str) -> None:
    """Guards against a traceback through tlx for a mistake in a user's own function."""
    with pytest.raises(TlxError, match=words):
        own_backbone(target, size=32)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from torch import nn\n\ndef build(:\n", r"SyntaxError in .*mynet\.py, line 3: "),
        ("import torch\nfrom torch import nosuch\n", r"ImportError in .*mynet\.py, line 2: .*nosuch"),
        ("def build():\n    pass\n\nprint(build.nosuch)\n", r"AttributeError in .*mynet\.py, line 4: .*nosuch"),
        (None, r"No module named 'mynet'; type it in the folder of mynet\.py .*PYTHONPATH=FOLDER tlx"),
    ],
)
def test_errors_of_a_module_are_messages(text: str | None, words: str, tmp_path: Path, mynet: None) -> None:
    """Guards against a traceback for a mistake in a user's module, and against a message without its place."""
    (tmp_path / "mynet.py").unlink()
    if text is not None:
        (tmp_path / "mynet.py").write_text(text, encoding="utf-8")
    with pytest.raises(TlxError, match=f"'mynet.build' cannot be imported: {words}"):
        own_backbone("mynet.build", size=32)


@pytest.mark.usefixtures("mynet")
def test_is_trained_reopened_and_reused_like_others(tmp_path: Path) -> None:
    """Guards against a run that its own directory cannot bring back, or whose weights another run does not get."""
    import tlx

    common = (
        "dataset=digits", "dataset.labels_per_class=3", "dataset.batch_size=6", "logger=none", "strategy=last_layers",
        "trainer=debug", f"output_dir={tmp_path}",
    )  # fmt: skip
    run = tlx.train(tlx.compose([*common, "backbone._target_=mynet.build", "backbone.size=32"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLX_ALLOW_TARGETS", "")
        with pytest.raises(TlxError, match=r"a function that you allow.*TLX_ALLOW_TARGETS=mynet python -m tlx"):
            tlx.Run(run.directory).model  # noqa: B018
    weights = tlx.Run(run.directory).model.backbone.state_dict()
    assert all(torch.equal(value, run.model.backbone.state_dict()[name]) for name, value in weights.items())
    again = tlx.train(tlx.compose([*common, "backbone=run", f"backbone.run={run.directory}"]))
    name = "groups.stem.0.weight"  # frozen
    assert torch.equal(again.model.backbone.state_dict()[name], weights[name])
