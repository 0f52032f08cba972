"""The key of an entry changes with all that changes its rows, and with nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from tlx.backbones import small_cnn
from tlx.backbones.tiles import Tiles
from tlx.features import keys
from tlx.features.keys import label, prefix_key

GROUPS = ("stem", "stage1")


def key(backbone, groups=GROUPS, preprocessing=None, channels=3, **how):
    how = {"precision": "32-true", "layout": "channels_last", "device": "cpu", **how}
    return prefix_key(backbone, groups, preprocessing or backbone.preprocessing, channels, **how)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return small_cnn(width=4)


def test_weights_and_buffers_of_the_prefix_count(backbone):
    """Guards against rows of other weights: of a weight that trained, or of statistics that moved."""
    first = key(backbone)
    for name, tensor in backbone.state_dict().items():
        changed = copy.deepcopy(backbone)
        with torch.no_grad():
            changed.state_dict()[name].add_(1)
        assert (key(changed) != first) == (backbone.group_of(name) in GROUPS), name
        assert tensor.shape == changed.state_dict()[name].shape
    assert key(copy.deepcopy(backbone)) == first


def test_all_else_that_changes_the_rows_counts(backbone):
    """Guards against rows of another size, normalisation, precision, layout or device, and of other tiles."""
    plain = backbone.preprocessing
    found = [
        key(backbone),
        key(backbone, groups=("stem",)),
        key(backbone, preprocessing=replace(plain, size=plain.size * 2)),
        key(backbone, preprocessing=replace(plain, mean=tuple(m + 0.01 for m in plain.mean))),
        key(backbone, preprocessing=replace(plain, interpolation="nearest")),
        key(backbone, channels=1),
        key(backbone, precision="bf16-mixed"),
        key(backbone, layout="contiguous"),
        key(backbone, device="cuda"),
    ]
    cut = copy.deepcopy(backbone)
    for tiles in (Tiles(8), Tiles(16), Tiles(8, overlap=0.5)):
        cut.tiles = tiles
        found.append(key(cut))
    assert len(set(found)) == len(found)


def test_what_earlier_versions_kept_is_still_found(monkeypatch):
    """Guards against a key that changes with the code: all that was kept would be computed again."""
    for library in (keys.torch, keys.torchvision, keys.PIL):
        monkeypatch.setattr(library, "__version__", "2")
    backbone = small_cnn(width=4)
    with torch.no_grad():
        for tensor in backbone.state_dict().values():
            tensor.fill_(1)
    assert key(backbone) == "1908309ed0569579eca3d9098c8bb9da"
    assert key(backbone, pooled="mean") == "95bbede7c8111a5d31e42d424a8e4b8e"
    assert label({"decode": "full"}) == "893aaf3ee8c5"


def test_the_label_is_a_function_of_how_images_are_drawn():
    """Guards against one view in the place of another, and against labels that differ from process to process."""
    told = {"augment": "light", "flip": True, "view": 0, "view_seed": 0}
    others = [{**told, "view": 1}, {**told, "view_seed": 1}, {**told, "flip": False}, {**told, "augment": "strong"}, {}]
    assert len({label(told), *(label(other) for other in others)}) == 6
    assert label(dict(reversed(told.items()))) == label(told)
