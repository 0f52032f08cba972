"""Every class equally often: what an epoch draws, what several epochs draw, and that a run is exact with it."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
import torch

import tlx
import tlx.callbacks.checkpoints
import tlx.callbacks.stages
import tlx.train
from tests.callbacks.test_frozen_prefix import assert_equal
from tlx.base.errors import Interrupted
from tlx.data import ImageDataModule
from tlx.data.batches.balance import balanced_epoch, members_of
from tlx.data.batches.even import EvenBatches
from tlx.data.batches.sampler import EpochSampler, PairedSampler, view_draw

SIZES = [[60, 20, 5], [7, 7, 7], [1, 100], [3, 1, 1, 50, 11], [9]]


def targets_of(sizes: list[int]) -> torch.Tensor:
    targets = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))]


def members(targets: torch.Tensor) -> dict[int, torch.Tensor]:
    return members_of([(target,) for target in targets.tolist()])


def pairs(targets: torch.Tensor, epoch: int, **how) -> list[tuple[int, int]]:
    sampler = EpochSampler(len(targets), 3, shuffle=True, members=members(targets), **how)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("sizes", SIZES)
def test_an_epoch_has_as_many_images_as_the_split_and_of_every_class_equally_many(sizes):
    """Guards against an epoch of another length, and against classes that are even on average alone."""
    targets = targets_of(sizes)
    for epoch in range(7):
        images, _ = balanced_epoch(members(targets), len(targets), 0, epoch)
        counts = Counter(targets[images].tolist())
        assert sum(counts.values()) == len(targets)
        assert set(counts) == set(range(len(sizes)))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("sizes", SIZES)
def test_over_epochs_no_image_falls_behind(sizes):
    """Guards against images of a large class that are never seen, and against favourites among repeated ones."""
    targets, seen, of_class = targets_of(sizes), Counter(), Counter()
    for epoch in range(25):
        images, _ = balanced_epoch(members(targets), len(targets), 0, epoch)
        seen.update(images.tolist())
        of_class.update(targets[images].tolist())
        assert max(of_class.values()) - min(of_class.values()) <= 1  # what is left over goes round
        for one in range(len(sizes)):
            counts = [seen[i] for i in (targets == one).nonzero().squeeze(1).tolist()]
            assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("sizes", SIZES)
def test_no_image_is_drawn_twice_in_the_same_way(sizes):
    """Guards against the repeats of a small class that all look the same, in an epoch or in two."""
    targets = targets_of(sizes)
    drawn = [pair for epoch in range(9) for pair in pairs(targets, epoch)]
    assert len(set(drawn)) == len(drawn) == 9 * len(targets)
    assert min(draw for draw, _ in drawn) == 0  # those below stand for views


def test_the_order_is_a_function_of_seed_and_epoch():
    """Guards against a resumed run that sees other images, and against classes that come one after another."""
    targets = targets_of([60, 20, 5])
    assert pairs(targets, 4) == pairs(targets, 4) != pairs(targets, 5)
    other = EpochSampler(85, 4, shuffle=True, members=members(targets))
    other.set_epoch(4)
    assert list(other) != pairs(targets, 4)
    classes = [int(targets[i]) for _, i in pairs(targets, 4)]
    assert len({tuple(classes[start : start + 4]) for start in range(0, 84, 4)}) > 8


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_the_batches_of_one(world):
    """Guards against processes that draw the same image of a small class, where one would draw two."""
    targets = targets_of([60, 20, 5])
    sampler = EpochSampler(85, 3, shuffle=True, members=members(targets))
    sampler.set_epoch(2)
    shards = [pair for rank in range(world) for batch in EvenBatches(sampler, 5, rank, world) for pair in batch]
    assert sorted(shards) == sorted(pairs(targets, 2))


def test_views_of_an_epoch_are_one_view():
    """Guards against repeats of an image under another view than the rows of a cache are of."""
    targets = targets_of([60, 20, 5])
    sampler = EpochSampler(85, 3, shuffle=True, members=members(targets))
    sampler.views, sampler.first_epoch = 2, 1
    sampler.set_epoch(4)
    assert {draw for draw, _ in sampler} == {view_draw(1)}
    assert [i for _, i in sampler] == [i for _, i in pairs(targets, 4)]


def test_pairs_balance_the_source_and_leave_the_target_alone():
    """Guards against an adaptation whose source is not balanced, or whose target comes in another order for it."""
    targets = targets_of([60, 20, 5])
    sampler, plain = PairedSampler(85, 3, other=7, members=members(targets)), PairedSampler(85, 3, other=7)
    assert [own for own, _ in sampler] == pairs(targets, 0)
    assert [other for _, other in sampler] == [other for _, other in plain]


def test_batches_are_balanced(make_tree, node, preprocessing):
    """Guards against a key without effect, and against a description and weights of what is not drawn."""
    tree = make_tree({"train/a": 40, "train/b": 8, "test/a": 3, "test/b": 3})
    data = ImageDataModule(node("folder", root=str(tree), sampling="balanced"), preprocessing, seed=0)
    counts = Counter(t for batch in data.train_dataloader() for t in batch["target"].tolist())
    assert counts == {0: data.sizes["train"] / 2, 1: data.sizes["train"] / 2}
    assert data.class_counts == [data.sizes["train"] / 2] * 2
    assert "an epoch draws every class equally often, 19 images of each" in data.describe()
    plain = ImageDataModule(node("folder", root=str(tree)), preprocessing, seed=0)
    assert plain.class_counts == [32, 6]
    val = [torch.cat([batch["index"] for batch in one.val_dataloader()]).tolist() for one in (data, plain)]
    assert val[0] == val[1] == list(range(data.sizes["val"]))
    assert "equally often" not in plain.describe()


def train(directory, uneven, *overrides):
    common = ["dataset.sampling=balanced", "dataset.augment=affine", f"cache.dir={directory.parent / 'cache'}"]
    return tlx.train(tlx.compose([*uneven, *common, f"run_dir={directory}", *overrides]))


@pytest.mark.run
@pytest.mark.parametrize("views", [0, 2])
def test_a_run_is_the_same_with_and_without_the_cache(uneven, tmp_path, views):
    """Guards against rows of another view than the images of an epoch that draws some of them twice."""
    how = ("strategy=last_layers", "trainer.stage_epochs=3", f"cache.views={views}")
    one = train(tmp_path / "cached", uneven, *how)
    assert_equal(one, train(tmp_path / "plain", uneven, *how, "cache.enabled=false"))
    assert "equally often" in (one.directory / "tlx.log").read_text()


@pytest.mark.run
def test_a_run_that_stops_in_the_middle_of_an_epoch_goes_on_to_the_same_weights(uneven, tmp_path, monkeypatch):
    """Guards against repeats that are counted from the start of the process."""
    how = ("strategy=full", "trainer.stage_epochs=3")
    whole = train(tmp_path / "whole", uneven, *how)
    enter = tlx.callbacks.stages.Stages.on_train_batch_start

    def entering(self, trainer, module, *more):
        enter(self, trainer, module, *more)
        if trainer.global_step == 8:  # of 7 an epoch
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(tlx.callbacks.stages.Stages, "on_train_batch_start", entering)
        with pytest.raises(Interrupted):
            train(tmp_path / "cut", uneven, *how)
    again = train(tmp_path / "cut", uneven, *how)
    assert "resuming after epoch 1, step 9" in (again.directory / "tlx.log").read_text()
    states = [torch.load(r.checkpoints / "last.ckpt", weights_only=True)["state_dict"] for r in (whole, again)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
