"""Run the code cells of a notebook in one process, as Jupyter does, and write the notebook with their outputs.

python -m tests.run_notebook IN.ipynb OUT.ipynb
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
Notebook = dict[str, Any]
_FORMS = {"_repr_html_": "text/html", "_repr_png_": "image/png"}


def executed(notebook: Notebook) -> Notebook:
    """Return a notebook with what its cells print and the values of their last lines.

    Raises:
        Exception: What a cell raises.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell = {**cell, "execution_count": count, "outputs": _outputs("".join(cell["source"]), names, count)}
        cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(source: str, names: dict[str, Any], count: int) -> list[Notebook]:
    tree, value = ast.parse(source), None
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        exec(compile(tree, "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    outputs: list[Notebook] = []
    if text.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(text.getvalue())})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        for method, form in _FORMS.items():
            shown = getattr(value, method)() if hasattr(value, method) else None
            if shown is not None:
                data[form] = base64.b64encode(shown).decode() if isinstance(shown, bytes) else _lines(shown)
        outputs.append({"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}})
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def shown_lines(notebook: Notebook) -> list[str]:
    """Return what a reader sees below the cells, line by line; a picture is a line of its own."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = output.get("text") or data.get("text/plain", [])
            found += ["".join(cell["source"]).strip().splitlines()[-1], *"".join(text).splitlines()]
            found += [form for form in _FORMS.values() if form in data]
    return found


def run(notebook: Path, out: Path, folder: Path) -> None:
    """Run a notebook in a folder, in a process of its own, and write it with its outputs.

    Raises:
        CalledProcessError: A cell fails; its message is on standard error.
    """
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TLX_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "tests.run_notebook", str(notebook), str(out)]
    subprocess.run(command, cwd=folder, env={**os.environ, **own, "PYTHONWARNINGS": "ignore"}, check=True)


def as_text(notebook: Notebook) -> str:
    """Return a notebook as the text of its file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Run the notebook IN and write OUT."""
    given, out = map(Path, sys.argv[1:])
    out.write_text(as_text(executed(json.loads(given.read_text(encoding="utf-8")))), encoding="utf-8")


if __name__ == "__main__":
    main()
