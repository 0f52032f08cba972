"""Images that are larger than a network takes: tiles that cover them, features, gradients, memory."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tlx
from tlx.backbones import small_cnn, timm_backbone
from tlx.backbones.tiles import Tiles
from tlx.base.errors import ConfigError, TlxError
from tlx.runs.run import Run
from tlx.tasks import Classification


def test_tiles_cover_an_image_and_overlap_as_asked_for():
    """Guards against a strip at the edge that no tile shows, and against tiles beyond the edge."""
    for side, size, overlap in itertools.product((32, 33, 63, 64, 65, 100, 255), (8, 16, 32), (0.0, 0.25, 0.5, 0.9)):
        offsets = Tiles(size, overlap).offsets(side)
        assert offsets[0] == 0
        assert offsets[-1] == side - size
        steps = [b - a for a, b in itertools.pairwise(offsets)]
        assert all(0 < step <= max(1, np.ceil(size * (1 - overlap))) for step in steps), (side, size, overlap, offsets)
    assert Tiles(32).offsets(128) == [0, 32, 64, 96]
    assert Tiles(32).offsets(32) == [0]
    with pytest.raises(TlxError, match=r"task\.tile_size: expected at most"):
        Tiles(32).offsets(31)


def test_cutting_shows_every_part_where_it_is():
    """Guards against rows and columns that are exchanged."""
    image = torch.arange(2 * 3 * 6 * 8).view(2, 3, 6, 8)
    tiles = Tiles(2).cut(image)
    assert tiles.shape == (2, 12, 3, 2, 2)
    assert torch.equal(tiles[1, 5], image[1, :, 2:4, 2:4])


@pytest.fixture
def network():
    torch.manual_seed(0)
    backbone = small_cnn(width=4, in_channels=1).eval()
    return backbone, torch.randn(2, 1, 40, 64)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_features_are_those_of_the_tiles(network, pool):
    """Guards against features of the whole image, of other tiles, or of another image of the batch."""
    backbone, image = network
    cut = Tiles(16, 0.25, pool).cut(image)
    by_hand = torch.stack([backbone(one) for one in cut])
    by_hand = by_hand.mean(1) if pool == "mean" else by_hand.amax(1)
    backbone.tiles = Tiles(16, 0.25, pool, at_once=5)
    assert torch.allclose(backbone(image), by_hand, atol=1e-6)


def test_tiles_run_in_pieces(network):
    """Guards against a frozen prefix whose tiles get lost on the way to the rest of the network."""
    backbone, image = network
    backbone.tiles = Tiles(16, at_once=5)
    whole = backbone(image)
    for name in backbone.group_names:
        above = backbone.above(name)
        lower = backbone(image, stop=name)
        assert lower.shape[:2] == (2, 12)
        if above is not None:
            assert torch.allclose(backbone(lower, start=above), whole, atol=1e-6)
        given = backbone.run(image, outputs=[name, "stage3"])
        assert torch.equal(given[name], lower if above is not None else whole)
        assert torch.equal(given["stage3"], whole)
    pooled = backbone.run(image, outputs=["stem", "stage3"], pooled=True)
    assert [tuple(x.shape) for x in pooled.values()] == [(2, 4), (2, 16)]
    assert torch.allclose(pooled["stem"], backbone(image, stop="stem").mean(dim=(1, 3, 4)), atol=1e-6)
    assert torch.allclose(pooled["stage3"], whole, atol=1e-6)
    above = backbone.run(backbone(image, stop="stem"), start="stage1", outputs=["stage1", "stage3"], pooled=True)
    assert torch.allclose(above["stage1"], backbone(image, stop="stage1").mean(dim=(1, 3, 4)), atol=1e-6)
    assert torch.allclose(above["stage3"], whole, atol=1e-6)


def test_a_map_of_tiles_is_refused(network):
    """Guards against a map of the whole image, at its memory, where the network was told to see tiles only."""
    backbone, image = network
    backbone.tiles = Tiles(16)
    for ask in (lambda: backbone.maps(image, ["stem"]), lambda: backbone.run(image, outputs="stage2", pooled=False)):
        with pytest.raises(TlxError, match=r"cut into tiles of 16 pixels; set task\.tile_size=null"):
            ask()


def test_gradients_are_the_same_a_few_tiles_at_a_time(network):
    """Guards against tiles that train nothing where they are computed a second time."""
    backbone, image = network
    gradients = []
    for at_once in (1, 7, 1000):
        backbone.tiles = Tiles(16, at_once=at_once)
        backbone.zero_grad()
        backbone(image).square().sum().backward()
        gradients.append([p.grad.clone() for p in backbone.parameters()])
    for other in gradients[1:]:
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(gradients[0], other, strict=True))


def test_no_more_tiles_than_that_are_in_the_network_at_once(network):
    """Guards against memory that grows with image and batch."""
    backbone, image = network
    seen = []
    backbone.groups["stem"].register_forward_hook(lambda module, given, result: seen.append(len(result)))
    backbone.tiles = Tiles(16, 0.5, at_once=6)
    backbone(image)
    assert max(seen) == 6
    assert sum(seen) == 2 * len(Tiles(16, 0.5).offsets(40)) * len(Tiles(16, 0.5).offsets(64))


def test_a_network_of_a_fixed_size_sees_tiles_of_that_size():
    """Guards against a vision transformer that takes no large image although its tiles would fit."""
    backbone = timm_backbone("vit_tiny_patch16_224", pretrained=False).eval()
    backbone.tiles = Tiles(224)
    with torch.inference_mode():
        image = torch.randn(1, 3, 224, 448)
        assert backbone(image).shape == (1, 192)
        assert backbone.run(image, outputs="stem", pooled=True)["stem"].shape == (1, 192)
    backbone.tiles = Tiles(128)
    with pytest.raises(TlxError, match=r"task\.tile_size=224"):
        backbone(image)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Images of 96 pixels with a small bright or dark spot somewhere: two classes."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 8), ("test", 8)):
        for label, value in (("bright", 255), ("dark", 0)):
            (tmp_path / "images" / part / label).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(118, 138, (96, 96), dtype=np.uint8)
                y, x = draw.integers(0, 88, 2)
                pixels[y : y + 8, x : x + 8] = value
                Image.fromarray(pixels).save(tmp_path / "images" / part / label / f"{i}.png")
    return tmp_path


def train(folder: Path, name: str, *overrides: str) -> Run:
    config = [
        "backbone=small_cnn", "backbone.width=4", "dataset=folder", f"dataset.root={folder / 'images'}",
        "dataset.channels=1", "dataset.image_size=96", "dataset.augment=none", "dataset.batch_size=8", "logger=none",
        "task.tile_size=32", "task.tile_pool=max", "optimizer.lr=1e-2", f"run_dir={folder / name}",
        f"cache.dir={folder / 'cache'}",
    ]  # fmt: skip
    return tlx.train(tlx.compose([*config, *overrides]))


@pytest.mark.run
def test_a_run_on_tiles(large):
    """Guards against tiles that a run forgets: in the cache, after training, in prediction."""
    stages = "strategy.stages=[{name: head, train: head, epochs: 2, batch_norm: frozen},"
    stages += "{name: top, train: 'last:2', epochs: 2, batch_norm: frozen}]"
    cached = train(large, "cached", "strategy=last_layers", stages)
    plain = train(large, "plain", "strategy=last_layers", stages, "cache.enabled=false")
    for name in ("val/loss", "test/loss"):
        assert cached.metrics[name] == pytest.approx(plain.metrics[name], rel=1e-3)
    assert Run(cached.directory).test()["test/loss"] == pytest.approx(cached.metrics["test/loss"], rel=1e-4)
    assert Run(cached.directory).model.backbone.tiles == Tiles(32, 0.0, "max")
    other = train(large, "other", "strategy=features", "task.tile_pool=mean")
    log = (other.directory / "tlx.log").read_text()
    assert "cache: train: 48 images" in log  # the rows of other tiles are not taken for these
    assert len(Run(other.directory).predict([large / "images" / "test"])) == 16


@pytest.mark.nightly
def test_a_spot_is_found_wherever_it_is(large):
    """Guards against tiles that help nothing: the largest feature of all tiles shows a small spot."""
    run = train(large, "run", "strategy=scratch", "strategy.stages.0.epochs=12", "task.tile_overlap=0.5")
    assert run.metrics["test/accuracy"] >= 0.9


def test_a_task_cuts_tiles_as_asked_for():
    """Guards against an overlap or a pooling that is typed and has no effect."""
    task = Classification(small_cnn(width=4), ["a", "b"], tile_size=16, tile_overlap=0.25, tile_pool="max")
    assert task.backbone.tiles == Tiles(16, 0.25, "max")


def test_a_tile_larger_than_the_image_is_a_mistake():
    """Guards against a message from inside the network after the images were read."""
    with pytest.raises(ConfigError, match=r"task\.tile_size: expected at most 64"):
        tlx.compose(["dataset.image_size=64", "task.tile_size=128"])
