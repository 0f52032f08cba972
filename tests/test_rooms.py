"""The house: every import points down, there is no circle, and rooms use one another's public names."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TLX = ROOT / "tlx"


def test_the_contracts_of_imports_hold() -> None:
    """Guards against a room that asks one above it, and against modules that import one another."""
    pytest.importorskip("importlinter", reason="no import-linter: pip install 'tlx[test]'")
    # In a process of its own: it configures logging.
    check = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_has_its_place() -> None:
    """Guards against a new room or module at the top that the contract does not know."""
    named = (ROOT / "pyproject.toml").read_text().partition("layers = [")[2].partition("]")[0]
    found = {path.stem for path in TLX.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    missing = {name for name in found - {"__init__"} if f"tlx.{name}" not in named.replace('"', " ").split()}
    assert not missing, f"give them a place among the layers in pyproject.toml: {missing}"
    assert len([path for path in TLX.glob("*.py") if path.stem not in ("__init__", "__main__")]) <= 8


def private_names_of_other_rooms(path: Path) -> list[str]:
    """Return the names with an underscore that a module imports from another room."""
    room = path.relative_to(TLX).parts[0]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tlx."):
            parts = [*node.module.split("."), *(name.name for name in node.names)]
            if parts[1] != room and any(part.startswith("_") and not part.startswith("__") for part in parts):
                found.append(f"{path.relative_to(ROOT)}: {node.module}: {', '.join(parts[2:])}")
    return found


def test_rooms_use_one_anothers_public_names() -> None:
    """Guards against a change inside a room that breaks another."""
    assert [name for path in sorted(TLX.rglob("*.py")) for name in private_names_of_other_rooms(path)] == []
