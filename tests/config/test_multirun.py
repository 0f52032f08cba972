"""What a command line says of its sweep, and the mistakes that are told before the first job."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from tlx.base.errors import TlxError
from tlx.config import check_command_line, compose
from tlx.config.compose import register
from tlx.config.compositions import Compositions
from tlx.config.multirun import count, refuse_several_processes, sweep_name, swept_keys, swept_values
from tlx.sweeps.job import threads

SMALL = ["backbone=small_cnn", "backbone.width=4"]


def test_a_sweep_is_named_by_what_it_sweeps_over_not_by_how_it_is_launched() -> None:
    """Guards against a sweep that does not find its own tables again, and two that share them."""
    asked = [*SMALL, "optimizer.lr=0.1,0.2", "seed=range(0,3)"]
    name = sweep_name(asked)
    assert name.startswith("lr-seed-")
    assert sweep_name([*reversed(asked), "hydra/launcher=joblib", "hydra.launcher.n_jobs=3", "force=true"]) == name
    assert sweep_name([*asked[:-1], "seed=0,1"]) != name
    assert sweep_name([*asked, "hydra/sweeper=optuna"]) != name  # a trial's number means something else
    assert "/" not in sweep_name(["hydra/launcher=joblib", "dataset/x=a,b"])


def test_keys_values_and_their_number() -> None:
    """Guards against a table without a column, and a wrong total in every line."""
    asked = [*SMALL, "optimizer.lr=0.1,0.2", "seed=range(0,3)", "strategy=choice(full,gradual)"]
    assert swept_keys(asked) == ["optimizer.lr", "seed", "strategy"]
    assert count(asked) == 12
    assert count(["optimizer.lr=interval(0,1)"]) is None
    job = ["backbone=small_cnn", "++optimizer.lr=0.1", "strategy=full", "++seed=2"]
    assert swept_values(job, swept_keys(asked)) == {"optimizer.lr": "0.1", "strategy": "full", "seed": "2"}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["hydra/launcher=jobli"], "did you mean 'joblib'?"),
        (["hydra/sweeper=optun"], "did you mean 'optuna'?"),
        (["hydra/launcher=joblib", "hydra.launcher.n_job=2"], "did you mean 'n_jobs'?"),
        (["hydra/sweeper=optuna", "hydra.sweeper.trials=2"], "did you mean 'n_trials'?"),
        (["optimizer.lr=interval(0.1,0.2)"], "add hydra/sweeper=optuna"),
    ],
)
def test_mistakes_of_launchers_and_sweepers_are_told_before_the_first_job(typed: list[str], words: str) -> None:
    """Guards against a sweep that dies in a traceback of Hydra, or does something else than was asked for."""
    found = check_command_line([*SMALL, "seed=0,1", *typed], None, multirun=True)
    assert words in "\n".join(map(str, found))


def test_a_launcher_without_m_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a launcher that is silently not used."""
    (found,) = check_command_line([*SMALL, "hydra/launcher=joblib"], None, multirun=False)
    assert "add -m" in str(found)


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against 'No module named submitit' after minutes."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "submitit" else find(name, *a))
    (found,) = check_command_line([*SMALL, "seed=0,1", "hydra/launcher=submitit_slurm"], None, multirun=True)
    assert "pip install submitit" in str(found)
    assert "tlx[sweep]" in str(found)


def test_a_plugin_of_the_same_name_is_no_schema_of_our_option() -> None:
    """Guards against hydra-joblib-launcher, where it is installed, refusing `n_jobs: auto` of our joblib."""
    store = ConfigStore.instance()
    register.cache_clear()
    store.store(group="hydra/launcher", name="joblib", node={"n_jobs": -1, "_target_": "x"}, provider="plugin")
    try:
        register()
        assert not check_command_line([*SMALL, "seed=0,1", "hydra/launcher=joblib"], None, multirun=True)
        assert "joblib.yaml" not in store.repo["hydra"]["launcher"]
    finally:
        store.repo["hydra"]["launcher"].pop("joblib.yaml", None)


@pytest.mark.parametrize("environment", [{"LOCAL_RANK": "1"}, {"SLURM_STEP_NUM_TASKS": "4"}])
def test_one_of_several_processes_is_refused(environment: dict[str, str]) -> None:
    """Guards against torchrun running the whole sweep once a process."""
    with pytest.raises(TlxError, match="expected one process for a multirun"):
        refuse_several_processes(environment)
    refuse_several_processes({"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"})


def test_values_are_put_into_a_configuration_that_was_composed_before(tmp_path: Path) -> None:
    """Guards against a fast way that gives another configuration than Hydra's own."""
    composed: list[list[str]] = []

    def load(overrides: list[str]):
        composed.append(overrides)
        return compose([o.lstrip("+") for o in overrides])

    fast = Compositions(load, ["backbone", "dataset", "strategy"])
    for lr in ("0.1", "0.2"):
        for strategy in ("full", "gradual"):
            got = fast.compose(["backbone=small_cnn", f"strategy={strategy}", f"++optimizer.lr={lr}", "++seed=3"])
            assert (got.strategy.name, got.optimizer.lr, got.seed) == (strategy, float(lr), 3)
    assert composed == [["backbone=small_cnn", "strategy=full"], ["backbone=small_cnn", "strategy=gradual"]]
    assert "hydra" not in got


def test_cores_are_shared_out_among_jobs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against four jobs of eight threads each on eight cores, and against a number that the user has set."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads(jobs, cores=8) for jobs in (1, 4, 9)] == [{}, {"OMP_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "1"}]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads(4, cores=8) == {}


def test_one_directory_for_several_jobs_is_refused_beforehand():
    """Guards against a sweep of which one job trains and the others are told that their place is taken."""
    (mistake,) = check_command_line(["run_dir=outputs/x", "seed=0,1", "backbone=small_cnn"], None, multirun=True)
    assert mistake.path == "run_dir"
    assert "for several" in mistake.got
    assert not check_command_line(["run_dir='outputs/x${seed}'", "seed=0,1", "backbone=small_cnn"], None, multirun=True)
