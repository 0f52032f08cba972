from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from tlx.base.errors import TlxError
from tlx.data import ImageDataModule
from tlx.data.batches.even import EvenBatches
from tlx.data.batches.sampler import PairedSampler, view_draw
from tlx.data.domains import TargetDomain


@pytest.fixture
def arrays_of(tmp_path, node):
    def make(name: str, labels: list[int], **keys):
        values = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=values, labels=np.array(labels))
        return node("arrays", path=str(tmp_path / f"{name}.npz"), name=name, batch_size=4, augment="none", **keys)

    return make


def parts(domain: TargetDomain) -> dict[str, list[str]]:
    return {name: [s.name for s in split.samples] for name, split in domain.splits.items()}


def test_labels_decide_nothing_about_the_target(arrays_of):
    """Guards against a division or an order from which labels could be read."""
    one = TargetDomain.load(arrays_of("one", [0, 1, 2] * 30), ["2", "1", "0"])
    other = TargetDomain.load(arrays_of("other", [0] * 80 + [1] * 5 + [2] * 5), ["2", "1", "0"])
    assert parts(one) == parts(other)
    assert {name: len(split) for name, split in one.splits.items()} == {
        "target_train": 54, "target_val": 18, "test": 18,
    }  # fmt: skip
    for name in ("target_train", "target_val"):
        assert {s.target for s in one.splits[name].samples} == {-1}
    by_row = [0, 1, 2] * 30
    assert all(by_row[int(s.name.split()[1])] == 2 - s.target for s in one.splits["test"].samples)
    hidden = one.hidden_labels
    assert hidden is not None
    assert hidden.known.all()
    assert [2 - by_row[int(name.split()[1])] for name in parts(one)["target_val"]] == hidden.labels.tolist()


def test_classes_must_be_the_source_s(arrays_of):
    """Guards against targets that stand for other classes."""
    with pytest.raises(TlxError, match=r"got also 2; select the shared ones: target.classes=\[0,1\]"):
        TargetDomain.load(arrays_of("one", [0, 1, 2] * 30), ["0", "1"])
    some = TargetDomain.load(arrays_of("one", [0, 1, 2] * 30, classes=[0, 1]), ["0", "1"])
    assert {s.target for s in some.splits["test"].samples} == {0, 1}


def test_batches_bring_the_target_along(arrays_of, preprocessing):
    """Guards against labels in a batch of the target, and against images of the other set."""
    source, target = arrays_of("one", [0, 1] * 20), arrays_of("two", [1, 0] * 35)
    data = ImageDataModule(source, preprocessing, 0, target=target, paired=True)
    batches = list(data.train_dataloader())
    assert sum(len(batch["index"]) for batch in batches) == data.sizes["train"]
    for batch in batches:
        other = batch["unlabelled"]
        assert "target" not in other
        assert (batch["target"] >= 0).all()
        index = other["index"]
        assert torch.equal(other["image"], data.in_order("target_train").dataset.images([0] * len(index), index))
    seen = Counter(i for batch in batches for i in batch["unlabelled"]["index"].tolist())
    assert max(seen.values()) == 1, "none twice before all were seen"
    loaders = data.val_dataloader()
    assert [len(loader.dataset) for loader in loaders] == [data.sizes["val"], data.sizes["target_val"]]
    assert set(data.splits) == {"train", "val", "test", "target_train", "target_val"}
    alone = ImageDataModule(source, preprocessing, 0)
    for one, pair in zip(alone.train_dataloader(), batches, strict=True):
        assert torch.equal(one["index"], pair["index"])


def test_pairs_are_a_function_of_epoch_and_position():
    """Guards against another order after a resume, with other processes, or an image that is never seen."""

    def epoch(number: int, rank: int = 0, world: int = 1, skipped: int = 0) -> list:
        sampler = PairedSampler(10, 3, other=7)
        sampler.set_epoch(number)
        even = EvenBatches(sampler, 3, rank, world)
        even.skipped = skipped
        return [pair for batch in even for pair in batch]

    assert epoch(2) == epoch(2) != epoch(3)
    assert epoch(2)[3:] == epoch(2, skipped=1)
    assert sorted(epoch(2, 0, 2) + epoch(2, 1, 2)) == sorted(epoch(2))
    stream = [other for number in range(7) for _, (_, other) in epoch(number)]
    for start in range(0, 70, 7):
        assert sorted(stream[start : start + 7]) == list(range(7)), "round by round"
    viewed = PairedSampler(10, 3, other=7)
    viewed.views, viewed.first_epoch = 2, 1
    viewed.set_epoch(4)
    assert {draw for pair in viewed for draw, _ in pair} == {view_draw(1)}
