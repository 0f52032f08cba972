"""torchvision's networks as layer groups: exactly the original, in order, with true strides."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.backbones.exactness import (
    assert_every_range_right,
    assert_map_right,
    assert_measures_right,
    assert_pieces_equal_whole,
    fill_from,
    make_every_tensor_count,
)
from tests.backbones.recording import record
from tlx.backbones import Backbone, catalog, torchvision_backbone
from tlx.backbones.torchvision_models import _ValuesOnCpu

# Deeper variants of families of which the suite tries others.
LARGEST = ("swin_v2_b", "swin_v2_s", "swin_b", "swin_s", "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_b5",
           "efficientnet_b6", "efficientnet_b7", "densenet161", "densenet201", "convnext_large")  # fmt: skip
REPRESENTATIVES = (
    "alexnet",
    "vgg11_bn",
    "resnet18",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "regnet_x_400mf",
    "vit_b_32",
    "swin_t",
    "swin_v2_t",
    "convnext_tiny",
)

# Pixels of the image per pixel of a group's output, bottom to top, by family.
STRIDES = {
    "alexnet": [8, 16, 16, 16, 32, 0],
    "vgg": [2, 4, 8, 16, 32, 0],
    "resnet": [4, 4, 8, 16, 32],
    "wide_resnet": [4, 4, 8, 16, 32],
    "resnext": [4, 4, 8, 16, 32],
    "densenet": [4, 4, 8, 16, 32],
    "convnext": [4, 4, 8, 16, 32],
    "swin": [4, 4, 8, 16, 32],
    "swin_v2": [4, 4, 8, 16, 32],
    "squeezenet": [4, 4, 8, 16],
    "shufflenet_v2": [4, 8, 16, 32],
    "mnasnet": [2, 4, 8, 16, 32],
    "mobilenet_v2": [2, 4, 8, 16, 32],
    "mobilenet_v3": [2, 4, 8, 16, 32, 0],
    "efficientnet_b": [2, 4, 8, 16, 32],
    "efficientnet_v2": [2, 4, 8, 16, 32],
    "regnet": [2, 4, 8, 16, 32],
}


def features_of_original(model: nn.Module, x: Tensor) -> Tensor:
    """Return the input of the last linear layer; of SqueezeNet, which has none, the pooled `features`."""
    if isinstance(model, torchvision.models.SqueezeNet):
        return nn.functional.adaptive_avg_pool2d(model.features(x), 1).flatten(1)
    seen: list[Tensor] = []
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    handle = last.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    model(x)
    handle.remove()
    return seen[0]


def assert_cut_where_the_resolution_halves(backbone: Backbone, x: Tensor) -> None:
    """Check that the first layer of every stage already gives the resolution of the whole stage."""
    for name in (name for name in backbone.group_names if name.startswith("stage")):
        group, layout = backbone.groups[name], backbone.layouts[name]
        given = backbone(x, stop=backbone.group_names[backbone.group_names.index(name) - 1])
        first = next(group.children())(given.clone())
        size = x.shape[-2], x.shape[-1]
        assert layout.to_map(first, size).shape[-2:] == layout.to_map(group(given), size).shape[-2:], name


def without_values(name: str) -> tuple[Backbone, nn.Module]:
    """A backbone and the original of the same name on the meta device, both as they are for use."""
    # The default weights of vit_h_14 take 518 px, which takes minutes where values are computed; the others 224.
    weights = "IMAGENET1K_SWAG_LINEAR_V1" if name == "vit_h_14" else "DEFAULT"
    with torch.device("meta"), _ValuesOnCpu() if name.startswith("regnet") else nullcontext():
        backbone = torchvision_backbone(name, weights=weights, load=False)
        options = {"image_size": backbone.preprocessing.size} if backbone.fixed_size else {}
        original = torchvision.models.get_model(name, weights=None, **options)
    return backbone.eval(), original.eval()


def check_groups(name: str, backbone: Backbone, original: nn.Module) -> None:
    """Compare groups and strides with the catalog and the original; every parameter is in one group."""
    assert tuple(backbone.group_names) == catalog.group_names(name)
    vectors = [group for group in backbone.group_names if backbone.layouts[group].kind == "vector"]
    ends = [list(backbone.groups[group].modules())[-1] for group in vectors]
    assert not any(isinstance(end, nn.Dropout) for end in ends)  # the one in front of the last layer is the head's
    patch = getattr(original, "patch_size", 0)
    assert list(backbone.strides.values()) == STRIDES.get(catalog.family(name), [patch] * 5)
    groups = [id(p) for group in backbone.group_names for p in backbone.group_parameters(group)]
    assert sorted(groups) == sorted(id(p) for p in backbone.parameters())


@torch.no_grad()
def check(name: str) -> None:
    """Compare a backbone with the torchvision model of the same name and the same tensors, value by value."""
    backbone, original = without_values(name)
    torch.manual_seed(0)
    options = {"image_size": backbone.preprocessing.size} if backbone.fixed_size else {}
    original = torchvision.models.get_model(name, weights=None, **options).eval()
    make_every_tensor_count(original)
    fill_from(backbone, original)

    size = backbone.preprocessing.size if backbone.fixed_size else 64
    x = torch.randn(1 if backbone.fixed_size else 2, 3, size, size)
    expected = features_of_original(original, x)
    assert expected.isfinite().all()
    assert expected.std() > 0
    assert torch.equal(assert_pieces_equal_whole(backbone, x), expected)
    assert_every_range_right(backbone, x if not backbone.fixed_size else x[:1])
    check_groups(name, backbone, original)
    assert_cut_where_the_resolution_halves(backbone, x)
    assert_measures_right(backbone, x)


def tried(name: str) -> bool:
    """Whether the suite compares a network by its operations: two of a family, beside the one compared by value."""
    family = [other for other in catalog.TORCHVISION if catalog.family(other) == catalog.family(name)]
    others = [other for other in family if other not in (*REPRESENTATIVES, *LARGEST)]
    return name in sorted(others, key=lambda other: catalog._FACTS[other][0])[:2]


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.nightly] * (not tried(n))) for n in catalog.TORCHVISION]
)
def test_every_model_is_the_original_operation_by_operation(name: str) -> None:
    """Guards against a variant whose layers do not follow its family's pattern: one left out, doubled, misplaced, given
    another's tensors or another option."""
    backbone, original = without_values(name)
    size = backbone.preprocessing.size if backbone.fixed_size else 64
    x = torch.empty(2, 3, size, size, device="meta")

    outputs: dict[str, Tensor] = {}

    def piece_by_piece(out: Tensor) -> Tensor:
        for group in backbone.group_names:
            before, version = out, out._version
            out = backbone(out, start=group, stop=group)
            assert before._version == version, f"{group} changes its input in place"
            outputs[group] = out
        return backbone.pool(out)

    theirs = record(
        original, {key: key for key in original.state_dict()}, x, lambda x: features_of_original(original, x)
    )
    assert record(backbone, backbone.original_names, x, piece_by_piece) == theirs
    check_groups(name, backbone, original)
    for group, output in outputs.items():
        if backbone.strides[group]:
            assert_map_right(backbone, group, backbone.layouts[group].to_map(output, (x.shape[-2], x.shape[-1])), x)


@pytest.mark.slow
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_equals_the_original(name: str) -> None:
    """Guards against a layer left out, doubled or misplaced when a network is cut into groups."""
    check(name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [n for n in catalog.TORCHVISION if n not in REPRESENTATIVES])
def test_every_other_model_equals_the_original(name: str) -> None:
    """Guards against what operations without values do not show, in the variants of a family."""
    check(name)


def test_every_family_is_represented() -> None:
    """Guards against a family whose values only the nightly tests compare, and against one that is compared twice."""
    families = [catalog.family(name) for name in REPRESENTATIVES]
    assert sorted(families) == sorted({catalog.family(name) for name in catalog.TORCHVISION})


def test_catalog_holds_what_torchvision_offers() -> None:
    """Guards against a model of torchvision that is forgotten, or a size or parameter count gone stale."""
    offered = set(torchvision.models.list_models(module=torchvision.models))
    assert set(catalog.TORCHVISION) == offered - {"googlenet", "inception_v3", "maxvit_t"}
    for name in catalog.TORCHVISION:
        weights = torchvision.models.get_model_weights(name)["DEFAULT"]
        facts = f"{weights.meta['num_params'] / 1e6:.1f}", weights.transforms().crop_size[0]
        assert (f"{catalog._FACTS[name][0]:.1f}", catalog._FACTS[name][1]) == facts
