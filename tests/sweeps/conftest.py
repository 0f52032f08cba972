"""Jobs that train, fail, die or diverge as they are told, and the command line that sweeps over them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tlx.cli import main
from tlx.sweeps.records import Record, Records

SABOTEUR = """
import os, signal
from pathlib import Path
import torch
from tlx.backbones import small_cnn


def backbone(act, marks, in_channels=3, load=True, name="saboteur"):
    net = small_cnn(width=4, in_channels=in_channels, load=load)
    if not load:
        return net
    marks = Path(marks)
    script = (marks / "script.txt").read_text().split() if act == "script" else [act]
    before = len((marks / act).read_text().split()) if (marks / act).exists() else 0
    with (marks / act).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    act = script[min(before, len(script) - 1)]
    if act == "fail":
        raise ValueError("sabotage")
    if act == "kill" and not (marks / "spared").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "nan":
        torch.nn.init.constant_(next(net.parameters()), float("nan"))
    return net
"""
OPTION = "_target_: saboteur.backbone\nname: saboteur\nact: train\nmarks: ???\n"
TINY = [
    "backbone=saboteur", "dataset.image_size=16", "dataset.channels=1", "dataset.classes=[0,1]", "strategy=full",
    "trainer.stage_epochs=1", "trainer.limit_batches=2", "logger=none",
]  # fmt: skip


@dataclass
class Place:
    """A working directory for sweeps of saboteurs."""

    directory: Path
    sweep: Callable[..., str]

    def arguments(self, *more: str) -> list[str]:
        own = ["--config-dir", str(self.directory / "own"), f"output_dir={self.directory / 'outputs'}"]
        return ["train", "-m", *own, *TINY, f"backbone.marks={self.directory / 'marks'}", *more]

    def trained(self, act: str) -> int:
        """How often a job with that act was built."""
        path = self.directory / "marks" / act
        return len(path.read_text().split()) if path.exists() else 0

    @property
    def sweeps(self) -> list[Path]:
        return sorted((self.directory / "outputs" / "sweeps").iterdir())

    def records(self) -> list[Record]:
        (only,) = self.sweeps
        return list(Records(only))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    """A place whose sweeps run in this process: its jobs share one server that has imported torch."""
    for name, text in {"lib/saboteur.py": SABOTEUR, "own/backbone/saboteur.yaml": OPTION}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "marks").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path / "lib")]))
    for name, value in {"TLX_ALLOW_TARGETS": "saboteur", "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # set by a multirun: put back afterwards
    monkeypatch.setattr(sys, "argv", ["tlx"])
    monkeypatch.chdir(tmp_path)

    def sweep(*more: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(made.arguments(*more))
        streams = capsys.readouterr()
        told = streams.out + streams.err
        assert stop.value.code == code, told
        return told

    made = Place(tmp_path, sweep)
    return made
