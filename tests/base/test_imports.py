"""What each verb imports, and what it does not: seconds of every start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT

TORCH = {"torch", "torchvision", "pytorch_lightning", "torchmetrics", "timm", "sklearn", "scipy", "matplotlib"}
SHOWN = {"tensorboard", "torch.utils.tensorboard", "optuna", "ray", "submitit", "pydicom"}
# As the command line starts: its arguments are the process's own.
SPY = """
import atexit, json, sys
from tlx.cli import main
atexit.register(lambda: open(sys.argv[-1], "w").write(json.dumps(sorted(sys.modules))))
told = sys.argv
sys.argv = ["tlx", *told[1:-1]]
atexit.register(lambda: setattr(sys, "argv", told))
main()
"""
SMALL = ["backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "trainer.stage_epochs=1"]


def pictures(root: Path) -> None:
    """Write 24 images of two classes."""
    for i in range(24):
        file = root / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (i, 40 * (i % 2), i)).save(file)


def imported(tmp_path: Path, *arguments: str, code: int = 0) -> set[str]:
    """Return the names of all modules that a command has imported when it ends."""
    out = tmp_path / "modules.json"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SPY, *arguments, str(out)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return set(json.loads(out.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["list", "backbones", "timm/*convnext*"], 0),
        (["train", "backbone=resnet51"], 2),
        (["train", "--cfg", "job"], 0),
    ],
)
def test_what_needs_no_network_imports_no_torch(tmp_path, arguments, code):
    """Guards against seconds of imports before a mistyped key is told, and before a training says what begins."""
    assert not imported(tmp_path, *arguments, code=code) & (TORCH | SHOWN | {"numpy"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train", "resume=RUN"], 0),
        (["predict", "RUN", "missing.jpg"], 2),
        (["predict", "RUN", "broken"], 2),
        (["test", "RUN", "dataset.rooot=pets"], 2),
        (["compare", "RUN", "RUN"], 0),
        (["lineage", "RUN"], 0),
        (["runs", "."], 0),
    ],
)
def test_an_answer_about_a_run_that_needs_no_network_imports_no_torch(tmp_path, tiny_run, arguments, code):
    """Guards against seconds of imports for a run that is finished, an image that is missing, or a mistyped key."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one.jpg").write_bytes(b"no image")
    shutil.copytree(tiny_run.directory, tmp_path / "RUN")
    typed = [text.replace("RUN", str(tmp_path / "RUN")) for text in arguments]
    assert not imported(tmp_path, *typed, code=code) & (TORCH | SHOWN)


@pytest.mark.slow
def test_broken_files_are_reported_without_torch(tmp_path):
    """Guards against a minute of imports before a broken image is named, and a run directory of a refused run."""
    pictures(tmp_path / "pictures")
    (tmp_path / "pictures" / "a" / "0.png").write_bytes(b"no image")
    typed = ["train", *SMALL, "dataset=folder", "dataset.root=pictures", "run_dir=run"]
    assert not imported(tmp_path, *typed, code=2) & (TORCH | SHOWN)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_plan_imports_torch_alone(tmp_path):
    """Guards against a trainer, or a compiler for weights that are never drawn, for the sake of a table."""
    found = imported(tmp_path, "plan", "strategy=gradual")
    assert "torch" in found
    assert not found & ((TORCH | SHOWN | {"torch._dynamo.eval_frame"}) - {"torch"})


@pytest.mark.run
def test_a_run_imports_what_it_uses(tmp_path):
    """Guards against all of torchmetrics and scipy.signal, scikit-learn, timm, TensorBoard and torch's compiler where
    none is used."""
    pictures(tmp_path / "pictures")
    data = ["dataset=folder", "dataset.root=pictures"]
    found = imported(tmp_path, "train", *SMALL, *data, "strategy=linear_probe", "logger=none")
    parts = {
        "torchmetrics.audio",
        "torchmetrics.image",
        "torchmetrics.classification",
        "matplotlib.backends.backend_agg",
    }
    parts |= {"torch._dynamo.eval_frame", "torch._inductor", "torch.distributed.tensor"}
    assert not found & (SHOWN | {"timm", "sklearn", "scipy"} | parts)


@pytest.mark.nightly
def test_the_compiler_is_whole_when_it_is_asked(tmp_path):
    """Guards against a lean start after which nothing compiles, or Lightning does not know a compiled network."""
    code = """
from tlx.base.imports import start_lean
start_lean()
import sys
import torch, torchvision, pytorch_lightning
from pytorch_lightning.utilities.compile import OptimizedModule
network = torch.nn.Linear(3, 2)
optimizer = torch.optim.AdamW(network.parameters())

def step(model):
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()

step(network)
assert not isinstance(network, OptimizedModule)
early = torch._dynamo.trace_rules  # as the start of a process group and DDP ask
early.clear_lru_cache()
assert torch._dynamo.utils.get_optimize_ddp_mode() == "ddp_optimizer"
assert "torch._dynamo.eval_frame" not in sys.modules and "matplotlib" not in sys.modules
import torch._dynamo.config as config
import torch._dynamo
assert torch._dynamo.config is config and type(torch._dynamo) is type(sys)
assert torch._dynamo.utils.config is config and config.__spec__.name == "torch._dynamo.config"
assert early.lookup is torch._dynamo.trace_rules.lookup and type(torch._dynamo.trace_rules) is type(sys)
early.clear_lru_cache()
config.optimize_ddp = False
assert torch._dynamo.utils.get_optimize_ddp_mode() == "no_optimization"
compiled = torch.compile(network, backend="eager")
step(compiled)
assert isinstance(compiled, OptimizedModule) and not isinstance(network, OptimizedModule)
assert issubclass(torch._dynamo.OptimizedModule, OptimizedModule)
from importlib import import_module
assert import_module("torchvision.ops.roi_align").is_compile_supported("cpu") is torch._dynamo.is_dynamo_supported()
import torchmetrics
figure, axes = torchmetrics.MeanMetric().plot(torch.tensor(1.0))
assert type(axes).__name__ == "Axes"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.nightly
def test_torchmetrics_is_whole_when_it_is_asked(tmp_path):
    """Guards against a lean start after which a user's own code lacks a metric, or sees two of one class."""
    code = """
from tlx.base.imports import start_lean
start_lean()
import sys, threading
import pytorch_lightning, torchmetrics
assert "scipy.signal" not in sys.modules and "torchmetrics.image" not in sys.modules
assert not hasattr(torchmetrics, "__warningregistry__") and "torchmetrics.image" not in sys.modules
import pickle, skops.io
assert pickle.whichmodule(type("Nameless", (), {"__module__": None})(), "F1Score") == "__main__"
assert "torchmetrics.image" not in sys.modules
early = torchmetrics.Metric
found = []
for thread in [threading.Thread(target=lambda: found.append(torchmetrics.Accuracy)) for _ in range(4)]:
    thread.start()
    thread.join(0)
from torchmetrics.functional import accuracy
from torchmetrics import *
assert issubclass(Accuracy, object) and torchmetrics.Accuracy is Accuracy is torchmetrics.classification.Accuracy
assert early is torchmetrics.Metric is torchmetrics.metric.Metric
assert isinstance(torchmetrics.F1Score(task="binary"), early)
assert torchmetrics.functional.accuracy is accuracy
assert type(torchmetrics) is type(sys) and set(torchmetrics.__all__) <= set(dir(torchmetrics))
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
assert found == [Accuracy] * 4
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mine", [None, "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_threads_wait_briefly_unless_the_user_says_how(mine):
    """Guards against threads that keep busy cores from one another, and against a setting that overrides the user's."""
    code = "from tlx.base.imports import start_lean; start_lean(); import os; print(os.environ.get('GOMP_SPINCOUNT'))"
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=env | ({mine: "7"} if mine else {}),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert told == {None: "10000", "OMP_WAIT_POLICY": "None", "GOMP_SPINCOUNT": "7"}[mine]
