"""Private names of Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


def resumed_trial(study: Study, trial: FrozenTrial) -> Trial:
    """Return a trial that a study has kept in a form that values can be reported to."""
    from optuna import Trial

    return Trial(study, trial._trial_id)
