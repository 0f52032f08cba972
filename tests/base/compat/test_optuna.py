"""What tlx uses of Optuna beyond its documentation is still there, and does what tlx takes it for."""

from __future__ import annotations

import pytest

from tlx.base.compat.optuna import resumed_trial

optuna = pytest.importorskip("optuna", reason="a search needs the package optuna")


def test_a_trial_that_was_begun_goes_on():
    """Guards against values that are reported to another trial after a restart."""
    study = optuna.create_study()
    study.ask()
    begun = study.ask()
    begun.suggest_float("lr", 0, 1)
    again = resumed_trial(study, study.get_trials()[1])
    again.report(0.5, step=3)
    assert (again.number, again.params) == (1, begun.params)
    assert study.get_trials()[1].intermediate_values == {3: 0.5}
