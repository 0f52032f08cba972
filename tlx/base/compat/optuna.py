"""Private names of Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


def resumed_trial(study: Study, trial: FrozenTrial) -> Trial:
    """Return a stored trial of a study as one to which values can be reported."""
    from optuna import Trial

    return Trial(study, trial._trial_id)
