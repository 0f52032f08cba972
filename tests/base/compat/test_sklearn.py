"""What tlx uses of scikit-learn beyond its documentation is still there, and does what tlx takes it for."""

from __future__ import annotations

from tlx.base.compat.sklearn import constraints
from tlx.building.listed import CLASSIFIERS


def test_arguments_say_what_they_take():
    """Guards against values that are refused only after the features of all images were computed."""
    allowed = constraints("sklearn.linear_model.LogisticRegression")["C"]
    assert any(one.is_satisfied_by(0.5) for one in allowed)
    assert not any(one.is_satisfied_by(-1) for one in allowed)
    assert "(0.0, inf" in " or ".join(str(one) for one in allowed if not one.hidden)


def test_every_classifier_says_it():
    """Guards against a classifier of the list whose values nobody checks any more."""
    for target in CLASSIFIERS:
        if target.startswith("sklearn."):
            assert constraints(target), target
    assert constraints("builtins.dict") == {}
