"""Two processes train a segmenter as one does with the same batches, from a network that has learnt."""

from __future__ import annotations

import pytest

from tests.distributed.test_processes import EPOCHS, apart, train
from tlx.runs.run import Run

pytestmark = [pytest.mark.nightly, pytest.mark.usefixtures("forked_commands")]
SCENES = [
    "task=segmentation", "dataset=scenes", "dataset.classes=[1,X]", "dataset.count=160", "dataset.fraction=1.0",
    "dataset.image_size=64", "dataset.repeats=1", "dataset.augment=light", "cache.views=1",
    "optimizer=adamw", "optimizer.lr=3e-3",
]  # fmt: skip


def test_processes_equal_one_and_their_figures_are_of_all_images(tmp_path):
    """Guards against Dice of each process's own crops, a mean over pixels of unequal numbers, tiles and whole images
    that count twice or not at all, and stages that end at different moments."""
    two, one = (train(tmp_path / name, n, 8, "rewrap", *SCENES) for name, n in (("two", 2), ("one", 1)))
    for epoch in range(EPOCHS):
        assert apart(two[0][epoch], two[1][epoch]) == 0.0, epoch
        assert apart(two[0][epoch], one[0][epoch]) < 1e-4, epoch  # the loss is in single precision
    assert apart(one[0][0], one[0][-1]) > 1e-2
    figures = [Run(tmp_path / name).metrics for name in ("one", "two")]
    assert figures[0]["test/miou_foreground"] > 0.15  # it has learnt something of both characters
    names = {name for name in figures[0] if name.startswith(("val/", "test/"))}
    whole = {"val/whole_miou/head", "val/whole_miou/back"}
    assert {"val/miou", "val/loss", "test/boundary_iou", "test/iou/X", *whole} <= names
    for name in names - {"val/loss"}:  # its Dice is that of batches, and these differ
        assert figures[1][name] == pytest.approx(figures[0][name], abs=1e-4), name
