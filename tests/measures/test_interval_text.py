"""How values and their intervals are shown."""

import math

import pytest

from tlx.measures.interval_text import with_interval
from tlx.measures.pigeonhole import Difference
from tlx.measures.sections import Estimate, Interval, Table


@pytest.mark.parametrize("ends", [None, (math.nan, math.nan), (0.5, math.nan)])
def test_an_unknown_interval_is_left_out(ends):
    """Fault: a figure followed by `(nan to nan)`."""
    assert with_interval(0.75, ends) == "0.7500"


def test_forms_of_an_interval():
    """Fault: one command shows an interval in another form than the others."""
    assert with_interval(0.75, (0.5, 0.875), ".3f") == "0.750 (0.500 to 0.875)"
    assert Difference(-0.25, -0.5, 0.125).text == "-0.2500 (-0.5000 to +0.1250)"
    row = [Estimate(0.75, Interval(0.5, 0.875)), Interval(0.5, 1.0), Estimate(math.nan, Interval(0.5, 1.0))]
    assert (
        Table("t", ["a", "b", "c"], [row], digits=2).markdown().endswith("| 0.75 (0.50 to 0.88) | 0.50 to 1.00 | – |")
    )
