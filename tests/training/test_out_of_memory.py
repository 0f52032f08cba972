"""Where memory is short, the message says what to type."""

from __future__ import annotations

import json

import pytest
import torch

import tlx
from tlx.base.errors import TlxError
from tlx.procedures import plan_table
from tlx.tasks.learner import Learner
from tlx.training.memory import Estimate
from tlx.training.out_of_memory import is_out_of_memory


def of_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of …")


def of_a_cpu():
    torch.empty(2**56, dtype=torch.uint8)


@pytest.mark.run
@pytest.mark.parametrize(
    ("fail", "more", "told"),
    [
        (of_a_gpu, (), [
            "dataset.batch_size: expected 8 images of 16 x 16 pixels at once to fit into memory, got: "
            "CUDA out of memory. Tried to allocate 2.00 GiB; type one or more of: "
            "dataset.micro_batch=auto (the same batch in parts), "
            "trainer.checkpoint_groups=all (the same result in more time), trainer.precision=bf16-mixed, a smaller ",
        ]),
        pytest.param(of_a_cpu, ("dataset.micro_batch=4", "trainer.checkpoint_groups=all"), [
            "dataset.micro_batch: expected 4 images of 16 x 16", "can't allocate memory",
            "type one or more of: dataset.micro_batch=2, trainer.precision=bf16-mixed, a smaller",
        ], marks=pytest.mark.nightly),
    ],
)  # fmt: skip
def test_what_to_type_is_said_in_the_first_start_and_in_a_later_one(uneven, tmp_path, monkeypatch, fail, more, told):
    """Guards against a traceback of torch, and against a checkpoint that is called unreadable because a resumed run has
    less memory than the first."""
    step, fails_from = Learner.training_step, [1]

    def training_step(self, batch, batch_idx):
        if self.trainer.current_epoch >= fails_from[0]:
            fail()
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Learner, "training_step", training_step)
    line = [*uneven, "strategy=full", "trainer.stage_epochs=3", "trainer.validate_every=1", *more]
    config = tlx.compose([*line, f"run_dir={tmp_path / 'run'}"])
    for _ in range(2):
        with pytest.raises(TlxError) as failed:
            tlx.train(config)
        assert all(text in str(failed.value) for text in told), str(failed.value)
        assert "type one or more of" in json.loads((tmp_path / "run" / "status.json").read_text())["error"]
    fails_from[0] = 9
    assert tlx.train(config).metrics["train/epochs"] == 3


def test_other_errors_stay_as_they_are():
    """Guards against advice about memory for a mistake in a network."""
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as failed:
        of_a_cpu()
    assert is_out_of_memory(failed.value)
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))


def test_a_plan_says_the_memory_of_a_step():
    """Guards against a plan that is silent about memory, and one that counts a whole batch for a micro batch."""
    line = ["dataset=digits", "dataset.image_size=64", "backbone=small_cnn", "strategy=full", "dataset.batch_size=64"]
    texts = [plan_table(tlx.compose([*line, *more])) for more in ((), ("dataset.micro_batch=16",))]
    memory = [next(one for one in text.splitlines() if one.startswith("memory of a step: at")) for text in texts]
    assert " MB activations" in memory[0]
    size = [float(one.split("at least ")[1].split(" MB")[0]) for one in memory]
    assert size[0] > 3 * size[1] > 0
    estimate = Estimate({"weights": 10**9, "activations": 3 * 10**9, "images": 10, "reading": 10**10})
    assert estimate.of_a_step() == (
        "memory of a step: at least 4.0 GB (3.0 GB activations, 1.0 GB weights, gradients and optimizer)"
    )
