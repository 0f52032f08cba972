"""What the shipped pruner gives up, on made-up trials."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import yaml

from tests.conftest import ROOT
from tlx.base.errors import Pruned
from tlx.callbacks.stages import Stages
from tlx.callbacks.trial_place import TrialPlace
from tlx.strategies.plan import plan_stages

optuna = pytest.importorskip("optuna", reason="a search needs the package optuna")
PRUNER = yaml.safe_load((ROOT / "conf/hydra/sweeper/optuna.yaml").read_text())["pruner"]
EPOCHS = 6


def given_up(tmp_path, losses: list[float], before: int, **pruner: object) -> str | None:
    """Report a trial after `before` others whose loss fell from 1.0 to 0.5; return why it ended, if it did."""
    from tlx.callbacks.pruning import Pruning
    from tlx.callbacks.study import open_study

    study = open_study(tmp_path / "study.log", "minimize")
    for _ in range(before):
        trial = study.ask()
        for epoch in range(EPOCHS):
            trial.report(1.0 - 0.1 * epoch, epoch)
        study.tell(trial, 0.5)
    place = TrialPlace(study.ask().number, str(tmp_path / "study.log"), {**PRUNER, **pruner})
    trainer = SimpleNamespace(
        sanity_checking=False, is_global_zero=True, strategy=SimpleNamespace(broadcast=lambda value: value)
    )
    strategy = {"stages": [{"name": name, "train": "head", "epochs": 3} for name in ("first", "last")]}
    stages = Stages(plan_stages(strategy, {"lr": 1.0}, ["head"]), "val/loss", "min", tmp_path)
    pruning = Pruning(place, "val/loss", stages)
    for epoch, loss in enumerate(losses):
        stages.index, stages.first_epoch = epoch // 3, epoch // 3 * 3
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val/loss": loss}
        try:
            pruning.on_validation_end(trainer, None)
        except Pruned as error:
            return error.reason
    return None


@pytest.mark.parametrize(
    ("losses", "before", "reason"),
    [
        (
            [9.0] * EPOCHS,
            5,
            "pruned in epoch 4, stage last: other trials do better",
        ),  # worse than all from the start: not before the last stage
        ([9.0] * EPOCHS, 4, None),  # too few trials to compare with
        ([0.9 - 0.1 * epoch for epoch in range(EPOCHS)], 5, None),  # better than all
        ([0.5, 0.5, 0.5, 0.5, 0.9, 0.9], 5, None),  # once better than the median of the end, which is what counts
        ([float("nan")] * EPOCHS, 5, None),  # NaN is not judged: the run itself stops
    ],
)
def test_the_shipped_pruner_gives_up_what_is_worse_than_the_median(tmp_path, losses, before, reason):
    """Guards against a search that lets hopeless trials train to their end, or ends good ones."""
    assert given_up(tmp_path, losses, before) == reason


def test_a_pruner_of_the_users_own_is_asked_in_the_last_stage_alone(tmp_path):
    """Guards against trials that are judged while most layers are frozen, where a pruner waits for no epochs itself."""
    told = given_up(tmp_path, [9.0] * EPOCHS, 5, n_warmup_steps=0)
    assert told == "pruned in epoch 4, stage last: other trials do better"


def test_short_epochs_count_as_parts_of_those_that_the_strategy_names(tmp_path):
    """Guards against Hyperband that gives trials up after six steps, and a warm-up of 3 epochs that are 18 steps."""
    from tlx.callbacks.pruning import Pruning
    from tlx.callbacks.study import open_study

    study = open_study(tmp_path / "study.log", "minimize")
    place = TrialPlace(study.ask().number, str(tmp_path / "study.log"), PRUNER)
    stages = [
        {"name": "first", "train": "head", "epochs": 2},
        {"name": "last", "train": "head", "epochs": 3, "min_steps": 70},
    ]
    planned = Stages(plan_stages({"stages": stages}, {"lr": 1.0}, ["head"], steps=10), "val/loss", "min", tmp_path)
    pruning = Pruning(place, "val/loss", planned)
    trainer = SimpleNamespace(
        sanity_checking=False, is_global_zero=True, strategy=SimpleNamespace(broadcast=lambda value: value)
    )
    for epoch in range(2 + 7):
        planned.index, planned.first_epoch = (0, 0) if epoch < 2 else (1, 2)
        trainer.current_epoch, trainer.callback_metrics = epoch, {"val/loss": float(epoch)}
        pruning.on_validation_end(trainer, None)
    (trial,) = open_study(tmp_path / "study.log").get_trials()
    assert trial.intermediate_values == {0: 0.0, 1: 1.0, 2: 4.0, 3: 6.0, 4: 8.0}  # 7 epochs for 3: the 3rd, 5th and 7th
