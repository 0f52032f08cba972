"""The Optuna study of a search: a journal in the sweep's directory, to which any number of processes append."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tlx.base.allowed import VARIABLE, allowed_by_user
from tlx.base.compat.optuna import resumed_trial
from tlx.base.errors import TlxError
from tlx.base.printable import one_line
from tlx.building.nodes import build_node
from tlx.callbacks.trial_place import TrialPlace

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner

NAME = "tlx"
PRUNED = "pruned_in_epoch"  # attribute of a trial that its training process pruned


def open_study(
    path: str | Path, direction: Literal["minimize", "maximize"] | None = None, pruner: BasePruner | None = None
) -> Study:
    """Return the study in a file; create it if there is none and a direction is given.

    Args:
        path: `study.log` in the sweep's directory.
        direction: Direction of the search.
        pruner: Decides which trials stop early.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = JournalStorage(JournalFileBackend(str(path)))
    if direction is None:
        return optuna.load_study(study_name=NAME, storage=storage, pruner=pruner)
    return optuna.create_study(study_name=NAME, storage=storage, direction=direction, load_if_exists=True)


def refuse_pickles(study: Study, path: Path, sampler: str) -> None:
    """Refuse to resume a study with a sampler that stores its state as a pickle: loading a pickle can run code.

    Args:
        study: The stored study.
        path: Its file.
        sampler: Dotted name of the sampler that would resume it.

    Raises:
        TlxError: The study holds a pickled state, and the user has not allowed the sampler.
    """
    if not sampler.endswith(".CmaEsSampler") or allowed_by_user(sampler):
        return
    if any(
        ":" in key and "optimizer" in key for trial in study.get_trials(deepcopy=False) for key in trial.system_attrs
    ):
        raise TlxError(
            f"{one_line(path)}: expected a search without pickled state, got the pickled state of {sampler}, which "
            f"could run code; if the file is your own: {VARIABLE}={sampler} tlx …; otherwise use another output_dir"
        )


def trial_of(place: TrialPlace) -> Trial | None:
    """Return a trial of a study for reporting; None if it has already ended."""
    study = open_study(place.study, pruner=build_node(place.pruner, "hydra.sweeper.pruner"))
    trial = next(t for t in study.get_trials(deepcopy=False) if t.number == place.number)
    return None if trial.state.is_finished() else resumed_trial(study, trial)
