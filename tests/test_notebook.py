"""tlx from Python, as a notebook uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.printed import notebook_differences
from tests.run_notebook import NOTEBOOKS, executed, shown_lines

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


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_of_the_docs_shows_what_its_cells_print(notebook: Path, tmp_path: Path, forked_commands) -> None:
    """Guards against a notebook whose cells fail, whose outputs an older version printed, or that is too large to read.

    Another processor may train to other figures, and so to remarks on other classes: a tenth of the lines may differ.
    """
    _, differs = notebook_differences(notebook, tmp_path / "run")
    shown = shown_lines(json.loads(notebook.read_text(encoding="utf-8")))
    assert shown.count("image/png") in (2, 3)
    assert notebook.stat().st_size < 300_000
    changed = sum(line.startswith("+") for line in differs)
    note = f"to run it again: python -m tests.printed --write {notebook}"
    assert changed <= len(shown) / 10, "\n".join([*differs, note])


def test_cells_show_what_they_print_and_the_value_of_their_last_line() -> None:
    """Guards against outputs of another cell, values of assignments, and pictures that are lost."""

    def cell(*lines: str) -> dict[str, object]:
        return {"cell_type": "code", "source": [f"{line}\n" for line in lines], "outputs": ["old"]}

    picture = cell("class P:", "    def _repr_png_(self): return b'x'", "    def _repr_html_(self): pass", "P()")
    cells = executed({"cells": [cell("a = 1"), cell("print(a)", "a + 1"), {"cell_type": "markdown"}, picture]})["cells"]
    assert cells[0]["outputs"] == []
    assert cells[1]["outputs"][0]["text"] == ["1\n"]
    assert cells[1]["outputs"][1]["data"] == {"text/plain": ["2"]}
    assert cells[3]["outputs"][0]["data"]["image/png"] == "eA=="
    assert cells[3]["execution_count"] == 3
    assert shown_lines({"cells": cells})[:3] == ["a + 1", "1", "a + 1"]
