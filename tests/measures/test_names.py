"""Names of figures, of classes that are called as they like."""

from __future__ import annotations

import pytest

from tlx.measures.names import ends, interval_of, is_end, is_of_a_class


@pytest.mark.parametrize(
    ("name", "low"),
    [
        ("test/accuracy", "test/accuracy_low"),
        ("test/ppv/cat", "test/ppv_low/cat"),
        ("test/ppv/low", "test/ppv_low/low"),
        ("test/ppv/a/b_low", "test/ppv_low/a/b_low"),
    ],
)
def test_an_end_is_told_from_a_class_of_that_name(name, low):
    """Guards against the sensitivity for risk `low` that is overwritten by an end of an interval."""
    assert ends(name) == (low, low.replace("_low", "_high", 1))
    assert is_end(low)
    assert not is_end(name)
    assert is_of_a_class(name) == is_of_a_class(low) == (name.count("/") > 1)
    assert interval_of({name: 0.5, low: 0.4, ends(name)[1]: 0.6}, name) == (0.4, 0.6)
    assert interval_of({name: 0.5}, name) is None
