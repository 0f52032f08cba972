"""tlx from Python, as a notebook uses it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.conftest import ROOT

pytestmark = pytest.mark.run

CELLS = """
import tlx
import sys
assert "tlx.train" not in sys.modules
cfg = tlx.compose(["backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.channels=1",
                   "strategy=linear_probe", "trainer=debug", "trainer.model_summary=false"])
run = tlx.train(cfg)
assert run.finished
assert 0 <= run.metrics["test/accuracy"] <= 1
assert run.model.class_names == [str(i) for i in range(10)]
# Once more: `tlx.train` is by now the module of that name.
again = tlx.train(cfg)
assert again.directory == run.directory
from tlx import train
assert train(cfg).directory == run.directory
import tlx.train as module
assert module.train(cfg).directory == run.directory
assert run.predict([{image!r}]).labels[0] in run.model.class_names
print("the end")
"""


@pytest.mark.nightly
def test_a_notebook_composes_trains_and_looks_at_the_run(tmp_path):
    """Guards against `tlx.train(cfg)` that fails before, or once, the module of that name was imported."""
    Image.new("RGB", (20, 10)).save(tmp_path / "one.png")
    code = CELLS.format(image=str(tmp_path / "one.png"))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable], input=code, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the end\n")
    assert done.stdout.count("finished already") == 3
