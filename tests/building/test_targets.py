from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch

from tlx.building import targets


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Adam", "RMSprop", "NAdam", "Adagrad", "LBFGS", "RAdam"])
def test_read_without_importing_equals_the_imported_signature(name):
    """Guards against a source reader that misses or invents an optimizer's keys."""
    wanted = list(inspect.signature(getattr(torch.optim, name)).parameters)
    assert targets.parameters(f"torch.optim.{name}") == wanted


def test_finds_classes_behind_relative_imports():
    """Guards against refusing timm's optimizers, which a package re-exports."""
    assert "betas" in (targets.parameters("timm.optim.Lion") or [])


@pytest.mark.parametrize("target", ["torch.optim.AdamWW", "no_such_package.Adam", "torch.optimm.SGD"])
def test_unknown_targets_are_lookup_errors(target):
    """Guards against a typo in _target_ that shows only when training begins."""
    with pytest.raises(LookupError):
        targets.parameters(target)


def test_does_not_import_torch():
    """Guards against a configuration check that takes seconds."""
    look = "from tlx.building import targets; targets.parameters('torch.optim.AdamW')"
    code = f"import sys; {look}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
