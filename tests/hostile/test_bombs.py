"""Files of a few megabytes that stand for as many gigabytes; each is refused before it is unpacked."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier

from tlx import Run, TlxError
from tlx.backbones import small_cnn
from tlx.backbones.state_files import read_state, read_weights
from tlx.base.machine import most_processes
from tlx.callbacks.stages import Stages
from tlx.data.sources import arrays as arrays_module
from tlx.data.sources.arrays import arrays
from tlx.features.classical_head import ClassicalHead
from tlx.features.classifiers import _pipeline, from_bytes, to_bytes
from tlx.strategies.plan import plan_stages
from tlx.tasks import Classification

LARGE = bytes(2**27)


def bomb(member: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, LARGE)
    return content.getvalue()


@pytest.mark.slow
def test_a_checkpoint_that_unpacks_to_much_more_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    """Guards against a checkpoint of 2 MB whose pickle is compressed and has gigabytes, which torch unpacks first."""
    run = Run(shutil.copytree(tiny_run.directory, tmp_path / "run"))
    path = run.checkpoints / "best.ckpt"
    path.write_bytes(bomb("archive/data.pkl"))
    assert path.stat().st_size < 2**20
    with pytest.raises(TlxError, match=r"best\.ckpt: it unpacks to 134,"):
        _ = run.model
    for read in (read_state, read_weights):
        with pytest.raises(TlxError, match=r"best\.ckpt': it unpacks to 134,"):
            read(path)


def test_the_best_weights_of_a_stage_that_unpack_to_much_more_are_refused(tmp_path: Path) -> None:
    """Guards against a bomb beside the last checkpoint of a run that is resumed, unpacked in the next stage."""
    (tmp_path / "stage_best.ckpt").write_bytes(bomb("archive/data.pkl"))
    stages = [{"name": "a", "train": "head"}, {"name": "b", "train": "all", "start_from": "best"}]
    task = Classification(small_cnn(width=4), ["x", "y"])
    callback = Stages(plan_stages({"stages": stages}, {"lr": 0.1}, task.group_names), "val/loss", "min", tmp_path)
    callback.load_state_dict({"index": 1, "first_epoch": 3, "first_step": 9, "best": None, "waited": 0})
    strategy = SimpleNamespace(barrier=lambda: None, load_model_state_dict=task.load_state_dict)
    with pytest.raises(TlxError, match=r"stage_best\.ckpt: it unpacks to 134,"):
        callback.on_train_epoch_start(SimpleNamespace(current_epoch=3, strategy=strategy), task)  # type: ignore[arg-type]


def test_a_number_that_stands_for_a_huge_tensor_is_refused(tmp_path: Path) -> None:
    """Guards against a weight of one number and any shape, with which converting and adapting takes all memory."""
    torch.save({"conv1.weight": torch.zeros(1).expand(64, 10**9, 3, 3)}, tmp_path / "w.pth")
    with pytest.raises(TlxError, match=r"got conv1\.weight of 64 x 1,000,000,000 x 3 x 3"):
        read_weights(tmp_path / "w.pth")
    torch.save({"conv1.weight": torch.zeros(1).expand(64, 3, 3, 3)}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").state["conv1.weight"].shape == (64, 3, 3, 3)


def test_a_classifier_that_unpacks_to_much_more_is_refused() -> None:
    """Guards against the same in the place of a classifier, and against an error of Python's for what is none."""
    with pytest.raises(TlxError, match="it unpacks to 134,"):
        from_bytes(bomb("schema.json"))
    head = ClassicalHead(2)
    for state in (torch.zeros(1, dtype=torch.uint8).expand(10**11), torch.zeros(3, 3).to_sparse(), "x", None):
        with pytest.raises(TlxError, match="expected bytes written by skops"):
            head.set_extra_state(state)  # type: ignore[arg-type]


def test_arrays_that_do_not_fit_or_are_damaged_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a .npz file of 3 MB with 3 GB of zeros, and against a traceback for one that is damaged."""
    path = tmp_path / "set.npz"
    images = np.random.default_rng(0).integers(0, 255, (40, 16, 16), dtype=np.uint8)
    np.savez_compressed(path, images=images, labels=np.arange(40) % 2)
    with monkeypatch.context() as patch:
        patch.setattr(arrays_module, "memory_available", lambda: 10_000)
        with pytest.raises(TlxError, match=r"set\.npz, images: expected an array that fits into memory"):
            arrays(path)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(TlxError, match=r"set\.npz, images: expected plain numbers"):
        arrays(path)


@pytest.mark.parametrize("jobs", [100_000, "many", 1e9])
def test_a_classifier_starts_no_crowd(jobs: object) -> None:
    """Guards against a foreign classifier that has a process started for each of its 100,000 `n_jobs`, in `tlx predict`
    and when a run goes on."""
    most = most_processes()
    inner = BaggingClassifier(n_estimators=2).fit([[0.0], [1.0]] * 4, [0, 1] * 4)
    outer = CalibratedClassifierCV(inner, ensemble=False, cv=2).fit([[0.0], [1.0]] * 4, [0, 1] * 4)
    fitted = outer.calibrated_classifiers_[0].estimator
    inner.n_jobs = outer.n_jobs = fitted.n_jobs = jobs
    loaded = from_bytes(to_bytes(outer))
    for one in (loaded, loaded.estimator, loaded.calibrated_classifiers_[0].estimator):
        assert one.n_jobs == most
    node = {"_target_": "sklearn.ensemble.BaggingClassifier", "n_jobs": jobs, "name": "bagging"}
    assert _pipeline(node, 0).steps[-1][1].n_jobs == most
