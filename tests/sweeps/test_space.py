"""The search space, from the command line to Optuna."""

from __future__ import annotations

import pytest

pytest.importorskip("optuna", reason="a search needs the package optuna")
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tlx.base.errors import ConfigError
from tlx.sweeps.space import space


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("interval(0.1,1)", FloatDistribution(0.1, 1.0)),
        ("interval(1,4)", FloatDistribution(1.0, 4.0)),
        ("tag(log,interval(1e-5,1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("int(interval(1,4))", IntDistribution(1, 4)),
        ("tag(log,int(interval(1,100)))", IntDistribution(1, 100, log=True)),
        ("range(0,4)", IntDistribution(0, 3)),  # as Hydra counts: without the end
        ("range(0,10,4)", IntDistribution(0, 8, step=4)),
        ("range(0.0,1.0,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("a,b", CategoricalDistribution(["a", "b"])),
        ("choice(1,2.5)", CategoricalDistribution(["1", "2.5"])),
        ("[1,2],null", CategoricalDistribution(["[1,2]", "null"])),
    ],
)
def test_hydras_grammar_is_a_search_space(typed: str, expected: object) -> None:
    """Guards against a point outside of what was typed: an end too far, a scale that is not logarithmic."""
    wanted = space([f"++some.key={typed}", "backbone=small_cnn"])
    assert wanted.searched == {"some.key": expected}
    assert wanted.fixed == ["backbone=small_cnn"]


def test_a_trial_becomes_overrides_that_lose_no_digit() -> None:
    """Guards against a rate that is rounded, and one whose key the file leaves out."""
    wanted = space(["++optimizer.lr=interval(0,1)", "strategy=full,gradual", "seed=1"])
    values = {"optimizer.lr": 1.2345678901234567e-05, "strategy": "gradual"}
    assert wanted.overrides(values) == ["seed=1", "++optimizer.lr=1.2345678901234568e-05", "strategy=gradual"]


@pytest.mark.parametrize("typed", ["tag(log,interval(0,1))", "interval(2,1)", "tag(logg,interval(1,2))", "range(3,3)"])
def test_an_impossible_space_is_told_at_once(typed: str) -> None:
    """Guards against a search that dies in Optuna's own words, or ignores a tag."""
    with pytest.raises(ConfigError, match=r"lr: expected"):
        space([f"lr={typed}"])
