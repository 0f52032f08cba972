"""A search: it survives its trials, goes on with new points, and gives up what is hopeless."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.sweeps.conftest import Place
from tlx import Run

optuna = pytest.importorskip("optuna", reason="a search needs the package optuna")
pytestmark = pytest.mark.slow
SEARCH = ["hydra/sweeper=optuna", "optimizer.lr=tag(log,interval(1e-4,1e-1))", "backbone.act=script"]


def study_in(directory: Path) -> optuna.Study:
    from tlx.callbacks.study import open_study

    return open_study(directory / "study.log")


def test_a_search_that_goes_on_asks_for_new_points() -> None:
    """Guards against the random points of the first start again, and against others each time the same is asked."""
    from tlx.sweeps.optuna_sweeper import OptunaSweeper

    lr = {"optimizer.lr": optuna.distributions.FloatDistribution(0.0, 1.0)}
    samplers = [OptunaSweeper(seed=3)._sampler(before) for before in (0, 4, 0)]
    first, later, again = (optuna.create_study(sampler=sampler).ask(lr).params["optimizer.lr"] for sampler in samplers)
    assert first == again != later


def test_a_search_survives_its_trials_and_goes_on_to_the_planned_total(place: Place) -> None:
    """Guards against a search that dies of a trial, repeats its points, or forgets what a kill left unfinished."""
    (place.directory / "marks" / "script.txt").write_text("train kill fail nan train")
    told = place.sweep(*SEARCH, "hydra.sweeper.n_trials=4", code=1)
    assert "[1/4] optimizer.lr=" in told
    assert [r.state for r in place.records()] == ["finished", "killed", "failed", "failed"]
    (directory,) = place.sweeps
    study = study_in(directory)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "FAIL", "FAIL", "FAIL"]
    assert study.direction.name == "MINIMIZE"
    assert study.trials[0].value == Run(place.records()[0].run_dir).metrics["val/loss"]

    left = study.ask({"optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)})  # as by a kill
    told = place.sweep(*SEARCH, "hydra.sweeper.n_trials=6", "hydra/launcher=joblib", code=1)
    study = study_in(directory)
    assert [t.state.name for t in study.trials[4:]] == ["COMPLETE", "COMPLETE"]
    assert study.trials[4].params == left.params
    assert Run(place.records()[4].run_dir).config.optimizer.lr == left.params["optimizer.lr"]
    assert len({t.params["optimizer.lr"] for t in study.trials}) == 6
    assert place.trained("script") == 7  # once more where a NaN has lower rates tried
    with (directory / "runs.csv").open(newline="") as file:
        assert [r["state"] for r in csv.DictReader(file)] == [
            "finished", "killed", "failed", "failed", "finished", "finished",
        ]  # fmt: skip

    told = place.sweep(*SEARCH, "hydra.sweeper.n_trials=6", code=1)  # nothing is left to do
    assert place.trained("script") == 7  # once more where a NaN has lower rates tried
    assert "2 failed:" in told


def test_a_hopeless_trial_is_pruned_at_the_end_of_an_epoch_of_the_last_stage(place: Place) -> None:
    """Guards against trials that all train to their end, or are judged while layers are frozen."""
    (place.directory / "marks" / "script.txt").write_text("train")
    two_stages = "[{name: one, train: head, epochs: 2}, {name: two, train: all, epochs: 4}]"
    told = place.sweep(
        *SEARCH, f"strategy.stages={two_stages}", "trainer.stage_epochs=4", "hydra.sweeper.n_trials=1",
        "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner", "+hydra.sweeper.pruner.upper=0",
        "~hydra.sweeper.pruner.n_startup_trials", "hydra.sweeper.pruner.n_warmup_steps=0",
    )  # fmt: skip
    assert "pruned in epoch 3, stage two" in told
    (record,) = place.records()
    assert record.state == "pruned"
    run = Run(record.run_dir)
    assert run.status["state"] == "interrupted"
    (trial,) = study_in(place.sweeps[0]).trials
    assert trial.state.name == "PRUNED"
    assert sorted(trial.intermediate_values) == [0, 1, 2]
