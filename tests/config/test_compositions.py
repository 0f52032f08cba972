"""Configurations of the same options are composed once in a process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from tlx.config import check_command_line, compose

TYPED = ["backbone=small_cnn", "strategy=gradual"]


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The overrides of each composition by Hydra itself."""
    found: list[list[str]] = []
    module = sys.modules["tlx.config.compose"]  # the package has a function of this name
    whole = module.hydra_compose

    def compose_it(name: str, overrides: list[str]) -> DictConfig:
        found.append(overrides)
        return whole(name, overrides)

    monkeypatch.setattr(module, "hydra_compose", compose_it)
    return found


def test_values_do_not_pass_from_one_configuration_to_the_next(composed: list[list[str]]) -> None:
    """Guards against a rate or an epoch that an earlier cell of a notebook has typed."""
    first = compose([*TYPED, "optimizer.lr=0.5", "strategy.stages.0.epochs=77"])
    composed.clear()
    second = compose([*TYPED, "optimizer.lr=0.25"])
    second.strategy.stages[0].name = "written to"
    third = compose(TYPED)
    assert composed == []
    assert (first.optimizer.lr, second.optimizer.lr, third.optimizer.lr) == (0.5, 0.25, 1e-3)
    assert first.strategy.stages[0].epochs == 77
    assert third.strategy.stages[0].epochs != 77
    assert third.strategy.stages[0].name == "dense"
    assert not check_command_line([*TYPED, "optimizer.lr=0.1"], None, multirun=False)
    assert composed == []


def test_options_that_may_have_changed_are_composed_again(composed: list[list[str]], tmp_path: Path) -> None:
    """Guards against an option of the user's that keeps the values it had when it was first used."""
    compose(TYPED)
    store = ConfigStore.instance()
    try:
        for epochs in (2, 5):
            composed.clear()
            stages = [{"name": "one", "train": "head", "epochs": epochs}]
            store.store(group="strategy", name="of_a_test", node={"name": "of_a_test", "stages": stages})
            assert compose(["backbone=small_cnn", "strategy=of_a_test"]).strategy.stages[0].epochs == epochs
            assert len(composed) == 1
    finally:
        del store.repo["strategy"]["of_a_test.yaml"]
    file = tmp_path / "strategy" / "mine.yaml"
    file.parent.mkdir()
    for epochs in (3, 14):
        file.write_text(f"name: mine\nstages: [{{name: one, train: head, epochs: {epochs}}}]\n")
        config = compose(["backbone=small_cnn", "strategy=mine"], tmp_path)
        assert config.strategy.stages[0].epochs == epochs
