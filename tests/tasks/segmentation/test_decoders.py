"""Decoders fit the maps of every family of networks, and read them from cached outputs as from images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tlx.backbones import small_cnn, torchvision_backbone
from tlx.backbones.maps import for_maps, without_widening
from tlx.backbones.report import GroupReport, LoadReport
from tlx.strategies.plan import plan_stages
from tlx.tasks.dense.levels import choose_levels, levelled
from tlx.tasks.segmentation.decoders import NAMES
from tlx.tasks.segmentation.task import Segmentation

CLASSES = ["background", "cell"]


def _network(name: str, decoder: str) -> Segmentation:
    torch.manual_seed(0)
    backbone = small_cnn(width=8) if name == "small_cnn" else torchvision_backbone(name, weights=None)
    return Segmentation(backbone, CLASSES, decoder=decoder).eval()


def _images(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("decoder", NAMES)
@pytest.mark.parametrize("name", ["small_cnn", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_scores_have_the_size_of_the_image(name, decoder):
    """Guards against maps of missing or uneven strides, and against outputs of another size than an odd image."""
    network = _network(name, decoder)
    with torch.no_grad():
        assert network(_images(70, 101)).shape == (2, 2, 70, 101)


@pytest.mark.parametrize("decoder", NAMES)
def test_every_parameter_above_and_in_the_backbone_gets_a_gradient(decoder):
    """Guards against parts that are never run, which DDP refuses: a pool's norm, a widening convolution, `dense`."""
    network = _network("mobilenet_v3_small", decoder).train()
    target = torch.randint(0, 2, (2, 64, 64), dtype=torch.uint8)
    network.loss({"image": _images(64, 64), "target": target}).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["small_cnn", "shufflenet_v2_x0_5"])
@pytest.mark.parametrize("decoder", NAMES)
def test_cached_outputs_of_any_prefix_give_the_scores_of_the_image(name, decoder):
    """Guards against a stage from the cache that trains on other maps than the same stage from images."""
    network, images = _network(name, decoder), _images(64, 96)
    names = network.backbone.group_names
    with torch.no_grad():
        expected, x = network(images), network.normalise(images)
        for place, boundary in enumerate(names):
            stored = [group for group in names[: place + 1] if group in network.reads or group == boundary]
            pooled = False if boundary == names[-1] else None
            rows = network.backbone.run(x, outputs=stored, pooled=pooled)
            scores = network.fitted(network.head(network.features_of({"prefix": rows})), (64, 96))
            torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)


def test_a_segmenter_leaves_out_what_gives_no_map():
    """Guards against VGG's dense layers, which hold most of its weights, in a network that never runs them."""
    backbone = for_maps(torchvision_backbone("vgg11", weights=None))
    assert backbone.group_names == [f"block{i}" for i in range(1, 6)]
    assert backbone.num_features == 512
    assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, 512)
    narrow = for_maps(torchvision_backbone("mobilenet_v2", weights=None))
    assert narrow.channels["stage4"] == 320
    assert narrow.num_features == 320


def test_the_report_of_weights_is_about_what_is_left():
    """Guards against a segmenter from a segmenter that is told to have layers with random weights."""
    backbone = torchvision_backbone("mobilenet_v3_small", weights=None)
    groups = {group: GroupReport() for group in backbone.group_names}
    for name in backbone.state_dict():
        groups[backbone.group_of(name)].reinitialised[name] = "missing"
    backbone.report = LoadReport("run a", groups)
    report = for_maps(backbone).report
    left = {name for group in report.groups.values() for name in group.reinitialised}
    assert left == set(backbone.state_dict()) < {name for group in groups.values() for name in group.reinitialised}
    assert list(report.groups) == backbone.group_names


def test_only_a_last_widening_convolution_is_left_out():
    """Guards against a cut that takes a convolution which belongs to the map."""
    widening = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 64, 1), nn.BatchNorm2d(64), nn.ReLU())
    assert len(without_widening(widening)) == 1
    for kept in (nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1)), nn.Sequential(nn.Conv2d(8, 64, 1))):
        assert without_widening(kept) is kept


def test_missing_strides_are_skipped_or_resized():
    """Guards against a level with the map of another stride at its own size."""
    strides, channels = {"stem": 4, "stage1": 4, "stage2": 16}, {"stem": 3, "stage1": 5, "stage2": 7}
    skipped = choose_levels(strides, channels, (2, 4, 8, 16), "skip")
    assert [(level.channels, level.group) for level in skipped] == [
        (0, "stage1"), (5, "stage1"), (0, "stage1"), (7, "stage2")
    ]  # fmt: skip
    resized = choose_levels(strides, channels, (4, 8, 32), "resize")
    maps = {"stem": torch.zeros(1, 3, 16, 24), "stage1": torch.rand(1, 5, 16, 24), "stage2": torch.rand(1, 7, 4, 6)}
    shapes = [tuple(one.shape) for one in levelled(maps, resized, (64, 96))]
    assert shapes == [(1, 5, 16, 24), (1, 5, 8, 12), (1, 7, 2, 3)]


@pytest.mark.nightly
@pytest.mark.parametrize("decoder", NAMES)
@pytest.mark.parametrize("name", ["alexnet", "swin_t", "vit_b_16", "convnext_tiny", "densenet121", "regnet_y_400mf"])
def test_further_families_give_scores_and_gradients(name, decoder):
    """Guards against families with channels last, tokens, or a stem of stride 4 without a level below."""
    network = _network(name, decoder).train()
    size = 224 if network.backbone.fixed_size else 64
    target = torch.randint(0, 2, (2, size, size), dtype=torch.uint8)
    network.loss({"image": _images(size, size), "target": target}).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_batch_norm_of_new_groups_trains_whatever_the_policy():
    """Guards against a new decoder that is normalised with means of 0 and variances of 1."""
    network = _network("mobilenet_v3_small", "unet")
    stage = plan_stages({"stages": [{"name": "all", "train": "all", "batch_norm": "frozen"}]}, {"lr": 1.0},
                        network.group_names, upper=network.upper_groups)[0]  # fmt: skip
    network.train_groups(stage)
    network.train()
    norms = {part.training for part in network.decoder.modules() if isinstance(part, nn.BatchNorm2d)}
    assert norms == {True}
    assert {part.training for part in network.backbone.modules() if isinstance(part, nn.BatchNorm2d)} == {False}


def test_maps_reach_the_decoder_from_the_largest_to_the_smallest():
    """Guards against a decoder that reads the maps of some groups as those of others."""
    strides, channels = {"stem": 2, "stage1": 4, "stage2": 8}, {"stem": 3, "stage1": 5, "stage2": 7}
    levels = choose_levels(strides, channels, [2, 4, 8], "skip")
    assert [(level.stride, level.channels, level.group) for level in levels] == [
        (2, 3, "stem"), (4, 5, "stage1"), (8, 7, "stage2"),
    ]  # fmt: skip
