"""Finding the chain of modules in networks made to mislead."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tlx.backbones.timm_chain import Chain, find_chain
from tlx.backbones.timm_groups import cut, group_modules
from tlx.base.errors import TlxError

FEATURES = ["blocks.0", "blocks.1"]


class Net(nn.Module):
    """A network of timm's form: a stem, two blocks, a norm, a head."""

    def __init__(self, second: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.position = nn.Parameter(torch.randn(1, 4, 1, 1))
        blocks = [nn.Conv2d(4, 4, 3, padding=1), second or nn.Conv2d(4, 4, 3, padding=1)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.stem(x) + self.position
        return self.norm(self.blocks(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = x.mean((2, 3))
        return x if pre_logits else self.head(x)


class Between(Net):
    def forward_features(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.stem(x))
        return self.norm(self.blocks[1](x + 1))


class InPlaceBetween(Net):
    def forward_features(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.stem(x))
        x.add_(1)
        return self.norm(self.blocks[1](x))


class After(Net):
    def forward_features(self, x: Tensor) -> Tensor:
        return super().forward_features(x) * 2


class Twice(Net):
    def forward_features(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.blocks[0](self.stem(x)))
        return self.norm(self.blocks[1](x))


class Beside(Net):
    def forward_features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.norm(self.blocks[1](x) + self.blocks[0](x))


def chain_of(model: nn.Module) -> Chain:
    with torch.no_grad():
        return find_chain(model.eval(), torch.randn(2, 3, 8, 8), FEATURES)


def test_chain_of_a_plain_network() -> None:
    """Guards against a stem that loses what stands between its module and the first block."""
    torch.manual_seed(0)
    model = Net().eval()
    chain = chain_of(model)
    assert (chain.before, chain.modules, chain.from_image) == (["stem"], ["blocks.0", "blocks.1", "norm"], False)
    groups = group_modules(chain, FEATURES, [4, 8])
    assert groups == {"stem": [], "stage1": ["blocks.0"], "stage2": ["blocks.1"]}
    parts, pool = cut(model, chain, groups)
    x = torch.randn(2, 3, 8, 8)
    out = pool(parts["stage2"](parts["stage1"](parts["stem"](x))))
    assert torch.equal(out, model.forward_head(model.forward_features(x), pre_logits=True))
    parameters = [id(p) for part in (*parts.values(), pool) for p in part.parameters()]
    assert len(set(parameters)) == len(parameters)
    assert set(parameters) == {id(p) for p in model.parameters()} - {id(p) for p in model.head.parameters()}
    assert isinstance(model.blocks[0], nn.Conv2d), "cutting must leave the model as it was"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Between(), "other computation between the features, at blocks.1"),
        (InPlaceBetween(), "other computation between the features, at blocks.1"),
        (After(), "other computation after norm"),
        (Twice(), "expected every module to run once, got blocks.0"),
        (Beside(), "other computation between the features, at norm"),
    ],
)
def test_refuses_what_a_cut_would_lose(model: nn.Module, words: str) -> None:
    """Guards against code between modules, also code that changes a tensor in place and passes it on."""
    with pytest.raises(TlxError, match=words):
        chain_of(model)


def test_a_group_leaves_its_input_alone() -> None:
    """Guards against a first module that works in place and spoils the cached output of the group below."""
    model = Net(second=nn.ReLU(inplace=True)).eval()
    chain = chain_of(model)
    assert chain.in_place == {"blocks.1"}
    parts, _ = cut(model, chain, group_modules(chain, FEATURES, [4, 8]))
    given = torch.randn(2, 4, 8, 8)
    before = given.clone()
    assert torch.equal(parts["stage2"](given), before.relu())
    assert torch.equal(given, before)


def test_features_that_are_no_modules() -> None:
    """Guards against a bare KeyError where timm's list of features is out of step with the network."""
    with pytest.raises(TlxError, match=r"expected features at modules of the network, got \['stages.0'\]"):
        find_chain(Net(), torch.randn(1, 3, 8, 8), ["stages.0"])
