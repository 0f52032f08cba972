"""Networks that predict together."""

from __future__ import annotations

import copy

import pytest
import torch

from tlx.backbones import small_cnn
from tlx.tasks.classification.ensemble import Ensemble
from tlx.tasks.classification.task import Classification


def networks(moved: str, count: int = 3) -> list[Classification]:
    """Networks that differ from a layer group on."""
    first = Classification(small_cnn(width=4), ["a", "b", "c"]).eval()
    found = [copy.deepcopy(first) for _ in range(count)]
    names = first.group_names
    for number, one in enumerate(found):
        generator = torch.Generator().manual_seed(number)
        for name in names[names.index(moved) :]:
            for parameter in one.group_parameters(name):
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return found


@pytest.mark.parametrize(("moved", "stored"), [("head", "stage3"), ("stage3", "stage2"), ("stem", None)])
def test_the_mean_of_probabilities_from_images_and_from_stored_outputs(moved: str, stored: str | None) -> None:
    """Guards against the mean of scores, and a network that continues from the output of another one's layers."""
    image = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    members = networks(moved)
    expected = torch.stack([one(image).softmax(1) for one in members]).mean(0).detach()
    together = Ensemble(members).eval()
    assert torch.allclose(together.predict_step({"image": image}), expected, atol=1e-5)
    assert together.whole == (moved == "head")
    if stored is not None:
        prefix = together.backbone.run(together.normalise(image), outputs=stored)
        output = together.head(together.features_of({"prefix": prefix}))
        assert torch.allclose(output.softmax(1), expected, atol=1e-5)


def test_shared_layers_are_held_once() -> None:
    """Guards against as many copies in memory of a backbone that no fold trained as there are folds."""
    members = networks("head")
    size = sum(p.numel() for p in members[0].backbone.parameters())
    assert sum(p.numel() for p in Ensemble(members).parameters()) < 1.1 * size
