"""`auto` is settled in one place: one resolver a key, and a resumed run keeps what changes its digits."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import yaml
from omegaconf import OmegaConf

import tlx
from tests.conftest import ROOT
from tlx import Run, TlxError
from tlx.config.naming import NOT_IDENTITY, identity
from tlx.config.schema import Cache, Trainer
from tlx.data.sources.keys import SourceKeys
from tlx.records.settled import AUTO, FROM_IMAGES, KEPT, MADE_AGAIN, Resolver, settle, undecided
from tlx.runs.resume import resumed
from tlx.training.experiment import build
from tlx.training.resolvers import COMPUTATION, MACHINE, RESOLVERS
from tlx.training.timing import ForwardPasses

SMALL = ["backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.channels=1", "dataset.image_size=16"]


def allows_auto(hint: Any) -> bool:
    """Return whether a type has the literal `auto` in it."""
    return AUTO in get_args(hint) or any(allows_auto(one) for one in get_args(hint) if get_origin(one) or one != hint)


def keys_that_may_be_auto() -> set[str]:
    """Return those of the trainer, of data sets and of the cache: by their types, and by the files of conf/."""
    nodes = {"trainer": [Trainer], "cache": [Cache], "dataset": [SourceKeys]}
    found = {
        f"{part}.{field.name}"
        for part, classes in nodes.items()
        for one in classes
        for field in fields(one)
        if allows_auto(get_type_hints(one)[field.name])
    }
    for part in nodes:
        for file in (ROOT / "conf" / part).glob("*.yaml"):
            node = yaml.safe_load(file.read_text())
            found |= {f"{part}.{key}" for key, value in node.items() if value == AUTO}
    return found


def test_every_auto_has_one_resolver():
    """Guards against a new `auto` that nobody settles, and against one that two places settle differently."""
    keys = [resolver.key for resolver in RESOLVERS]
    assert sorted([*keys, *FROM_IMAGES]) == sorted(keys_that_may_be_auto())
    assert sorted(keys) == sorted((*KEPT, *MADE_AGAIN))
    assert {resolver.key for resolver in COMPUTATION} == set(KEPT) == {one.key for one in RESOLVERS if one.kept}


def test_what_is_made_again_does_not_name_a_run():
    """Guards against a run that another machine does not find, and against one name for two precisions."""
    for key in MADE_AGAIN:
        part, _, name = key.partition(".")
        assert name in NOT_IDENTITY[part]
    auto = identity(tlx.compose([*SMALL, *(f"{key}=auto" for key in KEPT)]))
    assert set(KEPT) <= {
        f"{part}.{key}" for part in ("dataset", "trainer") for key, v in auto[part].items() if v == AUTO
    }


def test_the_machine_settles_the_rest(monkeypatch):
    """Guards against Lightning's own choice of devices, and against a progress bar in a file."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    config = tlx.compose(SMALL)
    got = settle(config, MACHINE, config).trainer
    assert (got.accelerator, got.devices, got.strategy, got.progress_bar) == ("cpu", 1, "single_device", False)
    assert config.trainer.devices == AUTO  # as typed: it is what config.yaml will hold
    several = tlx.compose([*SMALL, "trainer.accelerator=cpu", "trainer.devices=2", "trainer.progress_bar=true"])
    got = settle(several, MACHINE, several).trainer
    assert (got.accelerator, got.devices, got.strategy, got.progress_bar) == ("cpu", 2, "ddp", True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    got = settle(config, MACHINE, config).trainer
    assert (got.accelerator, got.devices, got.strategy) == ("gpu", 2, "ddp")


def test_only_what_is_auto_is_measured():
    """Guards against a measurement that overrules what was typed, and against one where nothing is left open."""
    config = tlx.compose([*SMALL, "trainer.precision=bf16-mixed", "trainer.compile=auto"])
    assert undecided(config) == ["trainer.compile"]
    trial = ForwardPasses(config, None, None)  # type: ignore[arg-type]  # nothing of them is asked for
    got = settle(config, COMPUTATION, trial)
    assert (got.trainer.precision, got.trainer.channels_last, got.trainer.compile) == ("bf16-mixed", True, False)
    assert got.trainer.length is None
    assert undecided(got) == []


def test_a_resumed_run_keeps_what_changes_digits(tmp_path):
    """Guards against a second measurement in the middle of a run, and against a run that is taken for another one after
    its `auto` is settled: neither the same command nor `resume=RUN` would resume it."""
    frozen = ["strategy=full", "strategy.stages.0.batch_norm=frozen"]
    asked = [*SMALL, *frozen, "logger=none", "dataset.num_workers=2", *(f"{key}=auto" for key in KEPT)]
    chosen = {"trainer.precision": "bf16-mixed", "trainer.channels_last": False, "trainer.compile": False}
    chosen |= {"trainer.length": 0.5, "dataset.micro_batch": 8}
    config = tlx.compose([*asked, f"run_dir={tmp_path}"])
    run = Run(tmp_path)
    run.begin(config)
    began = settle(config, [Resolver(key, lambda values, key=key: values[key]) for key in KEPT], chosen)
    run.write_config(began)
    data, task = build(config)
    run.describe_model(task, data.preprocessing, began)
    (run.checkpoints / "last.ckpt").write_bytes(b"")
    again = tlx.compose([*asked, f"run_dir={tmp_path}", "dataset.num_workers=auto"])
    for ask in (again, resumed(tmp_path, ["dataset.num_workers=auto"]), again):  # it may be resumed more than once
        assert run.state_for(ask) == "unfinished"
        taken = run.resume(ask)
        assert {key: OmegaConf.select(taken, key) for key in KEPT} == chosen
        assert taken.dataset.num_workers == AUTO  # the machine may be another
    with pytest.raises(TlxError, match="of another"):
        run.state_for(tlx.compose([*asked, f"run_dir={tmp_path}", "trainer.precision=32-true"]))
