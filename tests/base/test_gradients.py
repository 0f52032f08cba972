"""What is computed without gradients leaves nothing behind that cannot be trained or written to."""

from __future__ import annotations

import ast
import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import tlx
import tlx.features
from tests.conftest import ROOT
from tlx.backbones import small_cnn
from tlx.data.batches.dataset import SplitDataset
from tlx.data.batches.kept import KeptImages
from tlx.data.splits.samples import Sample, Split
from tlx.runs.run import Run
from tlx.training.experiment import build
from tlx.training.timing import ForwardPasses

SMALL = ("backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "logger=none")


def inference_tensors() -> dict[int, Tensor]:
    """All tensors alive that can neither be trained nor written to."""
    gc.collect()
    return {id(o): o for o in gc.get_objects() if issubclass(type(o), Tensor) and o.is_inference()}


def train_once(model: torch.nn.Module, images: Tensor) -> None:
    model.train()
    for parameter in model.parameters():
        parameter.requires_grad = True
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    F.mse_loss(model(images), torch.ones(())).backward()
    optimizer.step()
    assert all(p.grad is not None for p in model.parameters())


def test_no_module_enters_inference_mode():
    """Guards against a new place whose memory or weights cannot be trained afterwards, Lightning's own included."""
    found = []
    for path in sorted((ROOT / "tlx").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            off = [k for k in call.keywords if k.arg == "inference_mode" and ast.unparse(k.value) == "False"]
            if name.endswith("inference_mode") and [ast.unparse(a) for a in call.args] != ["False"]:
                found.append(f"{path.name}:{call.lineno} {ast.unparse(call)}")
            if name.rpartition(".")[2] == "Trainer" and not off:
                found.append(f"{path.name}:{call.lineno} a Trainer without inference_mode=False")
    assert found == []


def test_memory_of_images_that_is_taken_while_features_are_computed_can_be_written_later():
    """Guards against a run that ends in its first stage above a cache: "Inplace update to inference tensor"."""
    images = KeptImages([12, 12], transformed=False)
    pixels = torch.arange(12, dtype=torch.uint8).view(2, 2, 3)
    with torch.inference_mode():
        images.open()
        images.put(0, pixels)
    images.put(1, pixels)
    assert images.get(1).tolist() == pixels.tolist()
    split = Split([Sample(0, 0, "0")], torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    with torch.inference_mode():
        held = SplitDataset(split, torch.nn.Identity(), 1)
    assert not held._resized.is_inference()


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("channels_last", [True, False, "auto"])
def test_a_backbone_trains_after_its_features_were_extracted(channels_last, within):
    """Guards against weights that the change of layout has made untrainable; also in the caller's inference mode."""
    backbone = small_cnn(width=4)
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    with torch.inference_mode(within):
        features = tlx.features.extract(backbone, images, channels_last=channels_last)
    assert not features.is_inference()
    train_once(backbone, images / 255)


def test_a_task_trains_after_a_trial_of_layouts():
    """Guards against a trial whose candidates' weights stay in the task."""
    config = tlx.compose(
        [*SMALL, "dataset=digits", "strategy=features", "trainer.channels_last=auto", "trainer.precision=auto"]
    )
    data, task = build(config)
    with torch.inference_mode():
        assert ForwardPasses(config, data, task).mode.precision in ("32-true", "bf16-mixed")
        task.set_memory_format(channels_last=True)
    train_once(task, torch.zeros(4, 1, 16, 16, dtype=torch.uint8))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """24 pictures of two classes, of which two are copies."""
    folder = tmp_path_factory.mktemp("files")
    drawn = np.random.default_rng(0).integers(0, 256, (24, 20, 20), dtype=np.uint8)
    drawn[1], drawn[13] = drawn[0], drawn[12]
    for i, pixels in enumerate(drawn):
        path = folder / ("one" if i < 12 else "two") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.mark.run
@pytest.mark.parametrize("strategy", ["gradual", "features"])
def test_a_run_leaves_nothing_that_cannot_be_trained(strategy, files, tmp_path):
    """Guards against whatever training, test and prediction hold longer than the pass in which it was made."""
    before = inference_tensors()
    config = tlx.compose(
        [
            *SMALL, "dataset=folder", f"dataset.root={files}", f"strategy={strategy}", "trainer.stage_epochs=1",
            f"run_dir={tmp_path / 'run'}", f"cache.dir={tmp_path / 'cache'}",
        ]
    )  # fmt: skip
    run = tlx.train(config)
    run.test()
    predicted = run.predict([files])
    assert run.metrics["test/accuracy"] >= 0
    assert len(predicted) == 24
    assert [tuple(t.shape) for key, t in inference_tensors().items() if key not in before] == []
    train_once(run.model.backbone, torch.zeros(4, 1, 16, 16))  # in the process that has tested and predicted
    assert tlx.train(
        tlx.compose(
            [
                *SMALL,
                "dataset=folder",
                f"dataset.root={files}",
                "strategy=full",
                "backbone=run",
                "~backbone.width",
                f"backbone.run={run.directory}",
                "trainer.stage_epochs=1",
                f"run_dir={tmp_path / 'more'}",
            ]
        )
    ).finished
    assert Run(tmp_path / "more").finished
