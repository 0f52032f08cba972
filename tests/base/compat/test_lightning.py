"""What tlx uses of Lightning beyond its documentation is still there, and does what tlx takes it for."""

from __future__ import annotations

import inspect
import signal
import warnings

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

from tlx.base.compat.lightning import UncheckedSlurm, checkpoint_of, leave_signals_alone, trainer_of, wrap_again


def trainer(**more) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_train_batches=1, limit_val_batches=0, **more,
    )  # fmt: skip


class Handlers(pl.Callback):
    """Notes what handles SIGTERM while a model trains."""

    def on_train_start(self, trainer, pl_module):
        self.seen = signal.getsignal(signal.SIGTERM)


def test_the_trainer_of_a_module_may_be_none():
    """Guards against an error where a task makes its optimizer without a trainer."""
    module, own = BoringModel(), trainer()
    assert trainer_of(module) is None
    module.trainer = own
    assert trainer_of(module) is own


@pytest.mark.parametrize("left", [True, False])
def test_signals_are_left_to_tlx(left):
    """Guards against a SIGTERM that Lightning answers with an error of its own before tlx has saved."""
    mine = lambda number, frame: None  # noqa: E731
    before = signal.signal(signal.SIGTERM, mine)
    try:
        seen = Handlers()
        own = trainer(max_epochs=1, callbacks=[seen])
        if left:
            leave_signals_alone(own)
        own.fit(BoringModel())
        assert (seen.seen is mine) == left  # Lightning's own is there otherwise: the name is the one that it uses
    finally:
        signal.signal(signal.SIGTERM, before)


def test_no_step_asks_whether_another_process_got_a_signal():
    """Guards against waiting for the device in every step of several processes."""
    assert "self._broadcast_sigterm_tensor()" in inspect.getsource(_TrainingEpochLoop.advance)
    own = trainer()
    leave_signals_alone(own)
    assert own.fit_loop.epoch_loop._broadcast_sigterm_tensor() is None


def test_a_checkpoint_in_memory_is_the_one_that_is_written(tmp_path):
    """Guards against best weights without their counts: a resumed run asks these whether the weights are its own."""
    seen = []

    class Compare(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "written.ckpt", weights_only=True)
            seen.append((checkpoint_of(trainer), torch.load(tmp_path / "written.ckpt", weights_only=True)))

    trainer(max_epochs=1, callbacks=[Compare()]).fit(BoringModel())
    held, on_disk = seen[0]
    weights, others = held.pop("state_dict"), on_disk.pop("state_dict")
    assert held == on_disk
    assert weights.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in weights.items())


def test_a_module_is_wrapped_again():
    """Guards against layers that are thawed and not synchronised, so that the processes drift apart."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)  # without threads, unlike gloo
    try:
        module = BoringModel()
        strategy = DDPStrategy(parallel_devices=[torch.device("cpu")])
        module.layer.weight.requires_grad_(False)
        wrap_again(strategy, module)
        first = strategy.model
        module.layer.weight.requires_grad_(True)
        wrap_again(strategy, module)
        assert isinstance(strategy.model, DistributedDataParallel)
        assert strategy.model is not first
        assert strategy.model.module is module
        assert strategy.model.reducer is not first.reducer  # which holds the parameters that are synchronised
    finally:
        dist.destroy_process_group()


def test_slurm_is_not_compared_with_its_allocation(monkeypatch):
    """Guards against a run on a part of an allocation that Lightning refuses, and against a warning about `srun`."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    for name in ("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.warns(UserWarning, match="srun"):
        SLURMEnvironment()
    with warnings.catch_warnings(action="error"):
        UncheckedSlurm()
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(RuntimeError, match="--ntasks=2"):
        SLURMEnvironment()
    assert UncheckedSlurm(auto_requeue=False).auto_requeue is False
