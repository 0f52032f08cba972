"""The relative movement of layer groups, and that a run which goes on measures from the same start."""

from __future__ import annotations

import math

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tlx
from tests.stops import stop_in_step
from tlx.base.errors import Interrupted
from tlx.callbacks.epoch_table import EpochTable
from tlx.callbacks.movement import relative_movement

GROUPS = ["stem", "stage1", "stage2", "stage3", "head"]


@pytest.mark.parametrize(
    ("now", "start", "expected"),
    [
        ([[3.0, 4.0]], [[3.0, 4.0]], 0.0),
        ([[3.0, 4.0]], [[0.0, 4.0]], 0.75),
        ([[1.0], [2.0]], [[1.0], [0.0]], 2.0),  # over all tensors together, not their mean
        ([[2.0, 2.0], [0.0]], [[1.0, 1.0], [math.sqrt(2)]], 1.0),
        ([[1.0]], [[0.0]], None),
        ([], [], None),
    ],
)
def test_movement_is_relative_to_the_norm_of_all_weights(now, start, expected):
    """Guards against a mean over tensors, and a division by zero for weights that start at zero."""
    found = relative_movement(map(torch.tensor, now), map(torch.tensor, start))
    assert found == (None if expected is None else pytest.approx(expected))


def test_half_precision_does_not_move_by_rounding():
    """Guards against weights that seem to have moved because the start was kept in another precision."""
    start = torch.randn(100, generator=torch.Generator().manual_seed(0))
    assert relative_movement([start.bfloat16()], [start]) == 0.0
    assert relative_movement([start.bfloat16() * 2], [start]) == pytest.approx(1.0)


def test_the_sum_of_many_squares_is_not_cut_off():
    """Guards against sums in half precision, which end at 65,504."""
    start = torch.full((100_000,), 2.0, dtype=torch.float16)
    assert relative_movement([start * 1.5], [start]) == pytest.approx(0.5, rel=1e-3)


def compose(directory, *more):
    return tlx.compose(
        [
            "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "strategy=gradual",
            "trainer.stage_epochs=2", "dataset.labels_per_class=10", "optimizer.lr=1e-2", "trainer.log_every_n_steps=1",
            f"run_dir={directory}", *more,
        ]
    )  # fmt: skip


def curves(directory) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
    found = {tag: [(p.step, p.value) for p in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found | {
        tag: [(p.step, p.encoded_image_string) for p in events.Images(tag)] for tag in events.Tags()["images"]
    }


def stop_at_the_end_of_an_epoch(patch):
    """Inside the second stage: the last checkpoint is that of the epoch before, all of this one is trained again."""
    original = EpochTable.on_train_epoch_end

    def stop(self, trainer, pl_module):
        original(self, trainer, pl_module)
        if trainer.current_epoch == 3:
            raise Interrupted("the test wants it so")

    patch.setattr(EpochTable, "on_train_epoch_end", stop)


def stop_in_the_middle_of_an_epoch(patch):
    """Inside the second stage, in order: the run goes on with the next step of the same epoch."""
    stop_in_step(patch, 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The curves of a run that was never stopped."""
    return curves(tlx.train(compose(tmp_path_factory.mktemp("whole") / "run")).directory)


@pytest.mark.run
@pytest.mark.parametrize("stop", [stop_at_the_end_of_an_epoch, stop_in_the_middle_of_an_epoch])
def test_a_run_that_goes_on_has_the_curves_of_one_never_stopped(stop, whole, tmp_path, monkeypatch):
    """Guards against movement from where it was resumed, and points that are missing or there twice."""
    with monkeypatch.context() as patch:
        stop(patch)
        with pytest.raises(Interrupted):
            tlx.train(compose(tmp_path / "cut"))
    cut = tlx.train(compose(tmp_path / "cut"))
    assert len(list(cut.directory.glob("events*"))) == 2  # the first start, the second
    found = curves(cut.directory)
    assert {f"movement/{group}" for group in GROUPS} <= set(whole) == set(found)
    for tag in whole:
        assert found[tag] == whole[tag], tag
    assert len(whole["movement/head"]) == 6


@pytest.mark.run
def test_a_review_that_is_written_again_replaces_the_first(whole, tmp_path):
    """Guards against pictures and figures that are there twice after a kill at the very end."""
    run = tlx.train(compose(tmp_path / "cut"))
    status = run.directory / "status.json"
    status.write_text(status.read_text().replace('"finished"', '"interrupted"'))
    tlx.train(compose(tmp_path / "cut"))
    assert len(list(run.directory.glob("events*"))) == 2  # training and the review, the review again
    assert curves(run.directory) == whole
