"""The study of a search: a journal in the sweep's directory, to which any number of processes append."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tlx.config.building import build_node
from tlx.sweeps.trial import TrialPlace

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner

NAME = "tlx"
PRUNED = "pruned_in_epoch"  # attribute of a trial whose training process gave it up


def open_study(
    path: str | Path, direction: Literal["minimize", "maximize"] | None = None, pruner: BasePruner | None = None
) -> Study:
    """Return the study in a file; made where there is none and a direction is given.

    Args:
        path: `study.log` in the sweep's directory.
        direction: Of the search.
        pruner: What gives trials up.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    kept = JournalStorage(JournalFileBackend(str(path)))
    if direction is None:
        return optuna.load_study(study_name=NAME, storage=kept, pruner=pruner)
    return optuna.create_study(study_name=NAME, storage=kept, direction=direction, load_if_exists=True)


def trial_of(place: TrialPlace) -> Trial | None:
    """Return a trial of a study, to report to; None where it has ended already."""
    from optuna import Trial

    study = open_study(place.study, pruner=build_node(place.pruner, "hydra.sweeper.pruner"))
    trial = next(t for t in study.get_trials(deepcopy=False) if t.number == place.number)
    return None if trial.state.is_finished() else Trial(study, trial._trial_id)
