"""Weight files as other people write them: the content decides, nothing in them runs, and a message says what to do."""

from __future__ import annotations

import argparse
import collections
import gzip
import os
import pickle
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from tlx import TlxError
from tlx.backbones import file_backbone, small_cnn
from tlx.config import check_command_line

SMALL = {"_target_": "tlx.backbones.small_cnn", "width": 2}


def state() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return small_cnn(width=2).state_dict()


def behind(prefix: str, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in values.items()}


def loaded(path: Path, key: str | None = None) -> tuple[bool, str]:
    """Return whether a file's weights (of seed 7) are all in the network, and the notes of the report."""
    backbone = file_backbone(str(path), SMALL, state_key=key)
    assert backbone.report is not None
    same = all(torch.equal(value, state()[name]) for name, value in backbone.state_dict().items())
    return same and backbone.report.num_reinitialised == 0, "\n".join(backbone.report.notes)


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("name", ["imagenet.pth.tar", "UPPER.PTH", "pytorch_model.bin", "net.weights", "no_suffix"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_the_content_decides(tmp_path: Path, name: str, form: str) -> None:
    """Guards against weights that are refused for their file's name."""
    if form == "safetensors":
        from safetensors.torch import save_file

        save_file(state(), str(tmp_path / name))
    else:
        held = {"state_dict": behind("module.", state()), "arch": "x"}
        torch.save(held, tmp_path / name, _use_new_zipfile_serialization=form == "zip")
    assert loaded(tmp_path / name) == (True, "")


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_beside_the_tensors_are_passed_over(tmp_path: Path, zipped: bool) -> None:
    """Guards against reference scripts' files that are refused for an argparse.Namespace or a number of NumPy's."""
    held = {
        "model": state(),
        "args": argparse.Namespace(lr=0.1, path=Path("x")),
        "best": np.float64(57.0),
        "curve": np.arange(3),
        "cfg": OmegaConf.create({"a": [1, {"b": "${a}"}]}),
        "seen": collections.defaultdict(list, {"a": [1]}),
        "last": collections.deque([1, 2]),
    }
    torch.save(held, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    same, notes = loaded(tmp_path / "w.pth")
    assert same
    assert "none of their code was run: argparse.Namespace" in notes


def test_a_whole_network_gives_its_tensors(tmp_path: Path) -> None:
    """Guards against torch.save(model) that is refused, although its tensors can be read without its class."""
    torch.save(nn.DataParallel(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))), tmp_path / "whole.pth")
    with pytest.raises(TlxError, match=r"names in the file: module\.0\.weight, module\.0\.bias, module\.1\.weight"):
        file_backbone(str(tmp_path / "whole.pth"), SMALL)


@pytest.mark.parametrize("function", [os.mkdir, subprocess.check_call, eval, np.save])
@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_of_a_file_runs(tmp_path: Path, function: Callable[..., Any], zipped: bool) -> None:
    """Guards against an object in a file that is built by its own function once such objects are let in."""
    mark = tmp_path / "mark"
    arguments = {
        os.mkdir: (str(mark),),
        subprocess.check_call: (["touch", str(mark)],),
        eval: (f"open({str(mark)!r}, 'w')",),
        np.save: (f"{mark}.npy", [1]),
    }.get(function, ())
    held = {"model": state(), "extra": Call(function, *arguments)}
    torch.save(held, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    if function is np.save:  # a name of a library: passed over
        assert loaded(tmp_path / "w.pth")[0]
    else:
        with pytest.raises(TlxError, match=r"it refers to .*no code of it was run"):
            loaded(tmp_path / "w.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_averaged_weights_are_told_and_taken(tmp_path: Path) -> None:
    """Guards against an average that lies in the file and is passed over in silence."""
    other = {name: value * 0 for name, value in state().items()}
    for usual, averaged in (("state_dict", "state_dict_ema"), ("model", "model_ema"), ("params", "params_ema")):
        torch.save({usual: other, averaged: state(), "optimizer": {"state": {"x": other}}}, tmp_path / "w.pth")
        same, notes = loaded(tmp_path / "w.pth")
        assert not same
        assert f"averaged weights; to load them: backbone.state_key={averaged}" in notes
        assert loaded(tmp_path / "w.pth", averaged) == (True, "")
    with pytest.raises(TlxError, match=r"got 'params_em'; did you mean 'params_ema'\?"):
        loaded(tmp_path / "w.pth", "params_em")


def test_teacher_and_student(tmp_path: Path) -> None:
    """Guards against weights of one of two networks without a word about which."""
    other = {name: value * 0 for name, value in state().items()}
    torch.save({"student": behind("module.backbone.", other), "teacher": behind("backbone.", state())}, tmp_path / "d")
    same, notes = loaded(tmp_path / "d")
    assert same
    assert "taken from 'teacher'" in notes
    assert "backbone.state_key=student" in notes
    both = {"module.encoder_q.": state(), "module.encoder_k.": other}
    torch.save({"state_dict": {k: v for p, s in both.items() for k, v in behind(p, s).items()}}, tmp_path / "moco")
    with pytest.raises(TlxError, match=r"several under module\.encoder_q, module\.encoder_k; choose: backbone\.state"):
        loaded(tmp_path / "moco")
    assert loaded(tmp_path / "moco", "module.encoder_q") == (True, "")
    torch.save({"state_dict": behind("module.encoder_q.", state())}, tmp_path / "one")
    assert loaded(tmp_path / "one") == (True, "names in the file begin with 'module.encoder_q'")
    flat = behind("model._orig_mod.", state()) | behind("ema_model.module.", other)
    torch.save({"state_dict": flat}, tmp_path / "flat")
    assert loaded(tmp_path / "flat") == (
        True, "'ema_model' contains further weights that fit; to load them: backbone.state_key=ema_model",
    )  # fmt: skip


def test_a_lone_tensor_does_not_hide_the_weights(tmp_path: Path) -> None:
    """Guards against {"epoch": tensor, "state_dict": …}, of which only the number was taken for the weights."""
    torch.save({"epoch": torch.tensor(3), "state_dict": state(), "loss": torch.zeros(2)}, tmp_path / "w.pth")
    assert loaded(tmp_path / "w.pth") == (True, "")


def _no_weights(folder: Path) -> dict[str, str]:
    """Write files that are no weights; return name -> what the message says."""
    torch.save({"state_dict": state()}, folder / "whole.pth")
    torch.save(state(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    zipped, legacy = (folder / "whole.pth").read_bytes(), (folder / "legacy.pth").read_bytes()
    torch.save(state(), folder / "protocol.pth", pickle_protocol=4)
    with (folder / "arrays.pth").open("wb") as file:
        np.savez(file, a=np.zeros(2))
    (folder / "folder.pth").mkdir()
    os.mkfifo(folder / "pipe.pth")
    for name, content in {
        "page.pth": b"\n<!DOCTYPE html><html>404</html>",
        "pointer.pth": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "text.pth": b"AccessDenied",
        "empty.pth": b"",
        "zeros.pth": bytes(5000),
        "cut.pth": zipped[: len(zipped) // 2],
        "cut_legacy.pth": legacy[: len(legacy) // 2],
        "cut_early.pth": legacy[:600],
        "cut.safetensors": (5000).to_bytes(8, "little") + b'{"__metadata__":{}',
        "packed.pth": gzip.compress(b"x" * 99),
        "keras.pth": b"\x89HDF\r\n\x1a\n" + bytes(99),
        "net.onnx": b"\x08\x07\x12\x07pytorch\x1a\x052.0.0",
        "pickle.pth": pickle.dumps({"a": 1}),
    }.items():
        (folder / name).write_bytes(content)
    return {
        "page.pth": "a web page",
        "pointer.pth": "git lfs pull",
        "text.pth": "a text: AccessDenied",
        "empty.pth": "an empty file",
        "zeros.pth": "only zeros",
        "cut.pth": "truncated or damaged",
        "cut_legacy.pth": "truncated",
        "cut_early.pth": "truncated",
        "cut.safetensors": "truncated",
        "packed.pth": "gzip",
        "keras.pth": "HDF5",
        "net.onnx": "an ONNX model",
        "pickle.pth": "a pickle of Python objects",
        "arrays.pth": "NumPy arrays",
        "folder.pth": "a folder",
        "pipe.pth": "not a regular file",
        "protocol.pth": "pickle protocol 4",
    }


def test_what_is_no_weights_is_named(tmp_path: Path) -> None:
    """Guards against torch's advice to load a web page with weights_only=False, and against a wait for a pipe."""
    for name, words in _no_weights(tmp_path).items():
        with pytest.raises(TlxError, match=re.escape(words)) as told:
            file_backbone(str(tmp_path / name), SMALL)
        assert "weights_only" not in str(told.value), name
        assert "\033" not in str(told.value), name


@pytest.mark.slow
def test_before_training(tmp_path: Path) -> None:
    """Guards against `tlx plan` and `tlx check` that pass what `tlx train` cannot read."""
    words = _no_weights(tmp_path)
    for name in ("page.pth", "pointer.pth", "empty.pth", "cut.pth", "net.onnx", "folder.pth", "pipe.pth"):
        (found,) = check_command_line(
            ["backbone=file", f"backbone.path={tmp_path / name}", "backbone.architecture=resnet18", "dataset=digits"],
            None, multirun=False,
        )  # fmt: skip
        assert words[name] in str(found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value * float("nan"), "NaN values"),
        (lambda value: value.to("meta"), "without values"),
        (lambda value: value.to(torch.complex64), "complex64"),
    ],
)
def test_tensors_that_are_no_weights(tmp_path: Path, change: Callable[[Tensor], Tensor], words: str) -> None:
    """Guards against a network that is filled with NaN, and against a traceback for tensors of another kind."""
    torch.save({name: change(v) if v.is_floating_point() else v for name, v in state().items()}, tmp_path / "w.pth")
    with pytest.raises(TlxError, match=words):
        loaded(tmp_path / "w.pth")
