from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tlx.data.sources import digits as module


def test_the_digits_are_those_of_scikit_learn(monkeypatch):
    """Guards against another order, scale or label of images that are read past scikit-learn."""
    theirs, shown = load_digits(return_X_y=True)
    pixels, digits = module._table()
    assert np.array_equal(pixels, theirs)
    assert np.array_equal(digits, shown)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)  # where the file lies elsewhere
    again, labels = module._table()
    assert np.array_equal(again, pixels)
    assert np.array_equal(labels, digits)


@pytest.mark.slow
def test_the_digits_import_no_scikit_learn():
    """Guards against seconds of imports in every job of a sweep."""
    code = "import sys; from tlx.data import digits; digits(); assert not {'sklearn', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
