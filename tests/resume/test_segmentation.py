"""Segmenters that are stopped by signals go on to the very same weights."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.resume.test_kills import assert_equal, rows
from tlx.callbacks.checkpoint_reading import progress
from tlx.runs.run import Run

pytestmark = pytest.mark.nightly
# Crops, cached maps with their masks, a decoder, whole images at the end of each stage.
SETTING = [
    "task=segmentation", "dataset=scenes", "dataset.classes=[1,X]", "dataset.count=24", "dataset.image_size=48",
    "dataset.batch_size=4", "dataset.repeats=1", "dataset.num_workers=0", "backbone=small_cnn", "backbone.width=4",
    "optimizer.lr=1e-2",
    "strategy=gradual", *(f"strategy.stages.{stage}.epochs=3" for stage in range(3)), "cache.views=1",
    "trainer.log_every_n_steps=1", "trainer.checkpoint_seconds=0",
]  # fmt: skip
STEPS = 6  # an epoch


@pytest.fixture
def begin(tmp_path):
    """Return a function that prepares the directory of a run with a cache of its own."""

    def prepare(name: str) -> Run:
        directory = tmp_path / name
        directory.mkdir()
        own = [f"run_dir={directory / 'run'}", f"cache.dir={directory / 'cache'}"]
        (directory / "overrides").write_text("\n".join([*SETTING, *own]))
        return Run(directory / "run")

    return prepare


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_segmenter_that_is_stopped_ends_with_the_very_same_weights(nursery, begin, number, code):
    """Guards against crops, cached views or masks that go on elsewhere, and whole images of other weights."""
    undisturbed, run = begin("undisturbed"), begin("stopped")
    nursery.start(undisturbed.directory.parent)
    assert nursery.end() == 0, (undisturbed.directory.parent / "output.txt").read_text()
    dice, stops, within, longest, before = random.Random(int(number)), 0, 0, 1.2, 0
    last = run.checkpoints / "last.ckpt"
    while True:
        pid = nursery.start(run.directory.parent)
        time.sleep(dice.uniform(0.3, longest))
        nursery.signal(pid, number)
        ended = nursery.end()
        if ended == 0:
            break
        assert ended == code, (run.directory.parent / "output.txt").read_text()
        assert run.status["state"] == "interrupted"
        stops += 1
        step = progress(last)["global_step"] if last.is_file() else 0
        within += step % STEPS != 0
        longest = 1.2 if step > before else longest + 0.5  # a slow machine: let it come further
        before = step
        assert stops < 100
    assert len(rows(run)) == 9
    assert_equal(run, undisturbed)
    assert stops >= 4
    assert within >= 2
