"""The benchmarks take hours, so the suite runs none of them; but each has to begin."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).resolve().parents[1] / "benchmarks").glob("*.py"))


def imported(path: Path) -> list[tuple[str, str]]:
    """Return (module, name) of everything that a file takes from tlx or from a script beside it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            own = node.module.split(".")[0] == "tlx" or (path.parent / f"{node.module}.py").is_file()
            found += [(node.module, alias.name) for alias in node.names if own]
    return found


def defined(path: Path) -> set[str]:
    """Return the names at the top of a script."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        else:
            names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    return names


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_exists(path: Path) -> None:
    """Guards against a renamed function that a script of eleven hours asks for at its beginning, or at its end."""
    missing = []
    for module, name in imported(path):
        beside = path.parent / f"{module}.py"
        if beside.is_file():
            missing += [] if name in defined(beside) else [f"{module}.{name}"]
        else:
            home = import_module(module)
            missing += [] if hasattr(home, name) or _is_module(f"{module}.{name}") else [f"{module}.{name}"]
    assert missing == []


def _is_module(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True
