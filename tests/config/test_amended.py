"""Overrides of a stored configuration."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from tlx.base.errors import TlxError
from tlx.config.amended import amended

STORED = OmegaConf.create({"dataset": {"root": "a", "classes": ["x"]}, "seed": 0})


@pytest.mark.parametrize(
    "typed",
    [
        'dataset.root="a',
        "seed=${oc.decode:'['}",
        "seed=${nosuch}",
        "seed=${seed}",
        "dataset=[1]",
        "seed",
        "=1",
        "seed={a",
        "[classifier@_global_=choice(1,2)",
        ".seed=1",
    ],
)
def test_what_cannot_be_read_is_told(typed: str) -> None:
    """Guards against the YAML parser's traceback of `tlx test RUN 'dataset.root="a'`."""
    with pytest.raises(TlxError, match="expected"):
        amended(STORED, [typed])


def test_overrides_take_effect_one_after_another() -> None:
    """Guards against an override that is lost, and against a stored configuration that is changed in place."""
    assert amended(STORED, ["dataset.root=b", "+dataset.root=c", "seed=2"])["dataset"]["root"] == "c"
    assert amended(STORED, [])["seed"] == 0
    assert STORED.dataset.root == "a"
