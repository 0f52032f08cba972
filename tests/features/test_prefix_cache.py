"""The cache keeps several outputs of a frozen prefix: what is read back is what the network gives."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from hashlib import blake2b

import pytest
import torch
from torch import nn

import tlx
from tests.conftest import digits_file
from tests.data.test_labels import Masks, masked
from tlx.backbones import small_cnn, timm_backbone
from tlx.backbones.backbone import Backbone
from tlx.backbones.preprocessing import Preprocessing
from tlx.data import ImageDataModule, ImageSet, Sample, Split
from tlx.data.ignored import IGNORED
from tlx.data.mask_labels import MASKS, MaskArray
from tlx.features import prefix_cache
from tlx.features.boundary import Request
from tlx.features.prefix_cache import PrefixCache
from tlx.tasks import Classification
from tlx.tasks.classification.kind import ClassificationKind

NETWORKS = {"small_cnn": lambda: small_cnn(width=4), "test_vit": lambda: timm_backbone("test_vit", pretrained=False)}


@pytest.fixture
def cached(tmp_path):
    """Return a function: name of a network -> a task on it, digits, and a function that opens their cache."""

    def make(name):
        torch.manual_seed(0)
        backbone = NETWORKS[name]()
        side = backbone.preprocessing.size if backbone.fixed_size else 16
        typed = [
            "dataset=arrays", f"dataset.path={digits_file(tmp_path / 'digits.npz', [12, 12])}", "dataset.channels=3",
            f"dataset.image_size={side}", "dataset.batch_size=4", "dataset.augment=none", f"cache.dir={tmp_path / 'c'}",
        ]  # fmt: skip
        config = tlx.compose(typed)
        data = ImageDataModule(config.dataset, backbone.preprocessing, 0)
        return Classification(backbone, ["0", "1"]).eval(), data, lambda: PrefixCache(config.cache, data, "a run")

    return make


def ask(task, cache, boundary, split="train"):
    return cache.rows(task, Request(split, None, boundary), numerics(task, cache))


def numerics(task, cache):
    return cache.numerics(task, "32-true", nullcontext)


def assert_rows_are(rows, task, data, pooled):
    """Compare rows with a run of the network, batch by batch."""
    for batch in data.images_of("train", range(data.sizes["train"])):
        with torch.inference_mode():
            expected = task.backbone.run(task.normalise(batch["image"]), outputs=list(rows), pooled=pooled)
        for name, output in expected.items():
            assert torch.equal(rows[name].take(batch["index"]), output), name


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("pooled", [False, True])
def test_several_outputs_are_those_of_the_network(name, pooled, cached, monkeypatch):
    """Guards against maps of a pyramid that are another group's, pooled, or tokens when they are read back."""
    task, data, opened = cached(name)
    groups = [task.backbone.group_names[i] for i in (1, -1)]
    cache = opened()
    boundary = cache.outputs(task, groups, data.sizes["train"], numerics(task, cache), pooled)
    rows = ask(task, cache, boundary)
    assert list(rows) == groups
    assert_rows_are(rows, task, data, pooled)
    monkeypatch.setattr(prefix_cache, "compute", None)  # another run finds all of it
    assert_rows_are(ask(task, opened(), boundary), task, data, pooled)


def test_a_task_that_reads_lower_groups_is_given_them_beside_the_boundary(cached):
    """Guards against a pyramid that is fed the boundary alone, and against a head that reads another output of it."""
    task, data, opened = cached("small_cnn")
    cache = opened()
    task.reads = ("stem", "stage3")
    prefix = ("stem", "stage1", "stage2")
    boundary = cache.boundary(task, prefix, data.sizes["train"], numerics(task, cache))
    rows = ask(task, cache, boundary)
    assert (boundary.name, list(rows)) == ("stage2", ["stem", "stage2"])
    assert_rows_are(rows, task, data, None)
    data.feed("train", dict(reversed(rows.items())))
    for batch in data.train_dataloader():
        assert set(batch["prefix"]) == {"stem", "stage2"}
        with torch.inference_mode():
            image = torch.cat([one["image"] for one in data.images_of("train", batch["index"].tolist())])
            assert torch.equal(task.features_of(batch), task.backbone(task.normalise(image)))


def test_maps_share_their_rows_with_boundaries(cached):
    """Guards against a second copy of what a frozen prefix gives already, and against features in a map's place."""
    task, data, opened = cached("small_cnn")
    cache = opened()
    how, images = numerics(task, cache), data.sizes["train"]
    below = cache.boundary(task, ("stem", "stage1"), images, how)
    ask(task, cache, below)
    segments = list(below.outputs[0].entry.folder.glob("*.rows"))
    maps = cache.outputs(task, ["stage1", "stage3"], images, how, pooled=False)
    rows = ask(task, cache, maps)
    assert_rows_are(rows, task, data, False)
    assert maps.outputs[0].entry == below.outputs[0].entry
    assert list(below.outputs[0].entry.folder.glob("*.rows")) == segments  # what was there was not computed again
    whole = cache.boundary(task, task.backbone.group_names, images, how)
    assert whole.name == "stage3"
    assert whole.outputs[-1].entry != maps.outputs[-1].entry
    assert ask(task, cache, whole)["stage3"].take(torch.arange(2)).ndim == 2


class MapReader(Classification):
    """Reads the maps of two groups, as a decoder does."""

    kind = type("MapKind", (ClassificationKind,), {"reads_maps": True})()
    reads = ("stem", "stage3")


class StoredMasks(Masks):
    """Masks that can be stored beside the outputs of their images."""

    def key(self, label):
        return blake2b(label.numpy().tobytes(), digest_size=16).digest()


def masks_that(name, val_fraction, split_seed, kind=StoredMasks):
    split = masked(12, 40)
    again = [replace(sample, source=0, target=1 - split.samples[0].target) for sample in split.samples[:1]]
    train = Split(split.samples[:8] + again, split.pixels)  # the first image again, with another mask
    return ImageSet(name, ["1", "0"], train, Split(split.samples[8:], split.pixels), Split([]), "", labels=kind())


def masks_that_cannot_be_stored(name, val_fraction, split_seed):
    return masks_that(name, val_fraction, split_seed, Masks)


def masked_data(tmp_path, source):
    torch.manual_seed(0)
    config = tlx.compose(["dataset=digits", "dataset.augment=affine", f"cache.dir={tmp_path / 'c'}"])
    keys = {"_target_": f"{__name__}.{source}", "name": "masks", "val_fraction": 0.2, "split_seed": 0}
    node = {**keys, "channels": 1, "image_size": 32, "batch_size": 4, "augment": "affine"}
    task = MapReader(small_cnn(width=4, in_channels=1), ["0", "1"]).eval()
    task.reads = MapReader.reads
    data = ImageDataModule(node, task.backbone.preprocessing, 0)
    return task, data, PrefixCache(config.cache, data, "a run")


def test_the_label_that_belongs_to_a_view_is_stored_beside_several_maps(tmp_path):
    """Guards against masks of the whole image beside maps of a moved view, against the mask of another image of the
    same pixels, and against features where a decoder reads maps."""
    task, data, cache = masked_data(tmp_path, "masks_that")
    names, how, count = task.backbone.group_names, numerics(task, cache), data.sizes["train"]
    boundary = cache.boundary(task, names, 2 * count, how)
    assert [one.name for one in boundary.outputs] == ["stem", "stage3"]
    assert cache._bytes(boundary) == sum(one.bytes for one in boundary.outputs) + 32 * 32 + 16
    data.take_turns(2, first_epoch=0)
    for epoch in range(2):
        data.set_epoch(epoch)
        data.feed("train", None)
        plain = {
            index: (batch["image"][row], batch["target"][row])
            for batch in data.train_dataloader()
            for row, index in enumerate(batch["index"].tolist())
        }
        data.feed("train", cache.rows(task, Request("train", epoch, boundary), how), cache.labels("train", epoch))
        seen = list(data.train_dataloader())
        assert sum(len(batch["index"]) for batch in seen) == data.sizes["train"]
        for batch in seen:
            images, masks = zip(*(plain[i] for i in batch["index"].tolist()), strict=True)
            assert torch.equal(batch["target"], torch.stack(masks))
            with torch.inference_mode():
                maps = task.backbone.run(task.normalise(torch.stack(images)), outputs=task.reads, pooled=False)
            for name, expected in maps.items():
                assert torch.allclose(batch["prefix"][name], expected, atol=1e-6)
    assert len({tuple(batch["target"].flatten().tolist()) for batch in seen}) == len(seen)


def coded(name, val_fraction, split_seed, repeats):
    """Return images whose gray values are the classes of their masks, 1 to 4; beyond an image they are 0."""
    pixels = torch.randint(1, 5, (12, 1, 40, 50), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    samples = [Sample(i, MaskArray(pixels[i, 0].numpy()), f"{i}") for i in range(12)]
    train, val = Split(samples[:9], pixels), Split(samples[9:], pixels)
    return ImageSet(name, [*"01234"], train, val, Split([]), "", labels=MASKS)


def test_each_stored_view_shows_the_classes_of_its_mask(tmp_path):
    """Guards against the mask of another image or of another view beside stored maps: here the map is the image."""
    how = Preprocessing(size=24, mean=(0.0,), std=(1.0,), interpolation="nearest")
    groups = {"stem": nn.Identity(), "stage1": nn.Conv2d(1, 2, 2, 2)}
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone = Backbone(groups, pool, architecture={"name": "copy"}, preprocessing=how, num_features=2)
    task = MapReader(backbone, ["0", "1"]).eval()
    task.reads = ("stem",)
    node = {
        "_target_": f"{__name__}.coded", "name": "coded", "val_fraction": 0.2, "split_seed": 0, "channels": 1,
        "batch_size": 4, "augment": "light", "repeats": 1,
    }  # fmt: skip
    data = ImageDataModule(node, how, 0)
    cache = PrefixCache(tlx.compose([f"cache.dir={tmp_path / 'c'}"]).cache, data, "a run")
    asked = numerics(task, cache)
    boundary = cache.boundary(task, ("stem",), 3 * data.sizes["train"], asked)
    data.take_turns(3, first_epoch=0)
    seen = set()
    for view in range(3):
        data.set_epoch(view)
        data.feed("train", cache.rows(task, Request("train", view, boundary), asked), cache.labels("train", view))
        for batch in data.train_dataloader():
            shown = (batch["prefix"]["stem"][:, 0] * 255).round()
            counted = batch["target"] != IGNORED
            assert torch.equal(shown[counted], batch["target"][counted].float())
            assert not shown[~counted].any()
            seen |= {tuple(mask.flatten().tolist()) for mask in batch["target"]}
    assert len(seen) == 3 * 9


def test_labels_that_cannot_be_stored_are_read_with_their_images(tmp_path):
    """Guards against cached rows beside labels that stayed where they were."""
    task, data, cache = masked_data(tmp_path, "masks_that_cannot_be_stored")
    assert cache.boundary(task, task.backbone.group_names, data.sizes["train"], numerics(task, cache)) is None
