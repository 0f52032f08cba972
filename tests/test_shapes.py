"""Docstrings of public functions on tensors and arrays say which shape these have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

NAMED = re.compile(r"(dict|Mapping)\[str, [^]]*\]")  # tensors by name, such as weights: of any shape
TENSORS = re.compile(r"\b(Tensor|ndarray)\b")
SHAPE = re.compile(r"\((\d+|[A-Z]\w*|[a-z_]+|len\([a-z_]+\)|…),|\bscalar\b|\bany shape\b")


def public_functions(body: list[ast.stmt], name: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the functions and methods that other modules may call, with their dotted names."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from public_functions(node.body, f"{name}.{node.name}")
            else:
                yield f"{name}.{node.name}", node


def handles_tensors(function: ast.FunctionDef) -> bool:
    """Return whether tensors or arrays are among the arguments or the result."""
    arguments = function.args
    all_arguments = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    hints = [ast.unparse(hint) for hint in (*(one.annotation for one in all_arguments), function.returns) if hint]
    return any(TENSORS.search(NAMED.sub("", hint)) for hint in hints)


def without_shape(path: Path) -> list[str]:
    """Return the public functions on tensors whose docstring gives no shape."""
    found = public_functions(ast.parse(path.read_text()).body, ".".join(path.relative_to(ROOT).with_suffix("").parts))
    return [name for name, one in found if handles_tensors(one) and not SHAPE.search(ast.get_docstring(one) or "")]


def test_functions_on_tensors_give_shapes() -> None:
    """Guards against a tensor of which a reader must guess the axes."""
    assert [name for path in sorted((ROOT / "tlx").rglob("*.py")) for name in without_shape(path)] == []


def test_a_missing_shape_is_found(tmp_path: Path, monkeypatch) -> None:
    """Guards against a rule that finds nothing."""
    monkeypatch.setattr("tests.test_shapes.ROOT", tmp_path)
    file = tmp_path / "one.py"
    file.write_text(
        'def bare(x: Tensor) -> int:\n    """Count (as Ganin et al., 2016)."""\n'
        'def clear(x: Tensor) -> int:\n    """Count (B, C)."""\n'
        'def weights(x: dict[str, Tensor]) -> int:\n    """Count."""\n'
        'class One:\n    def forward(self, x):\n        pass\n    def other(self) -> Tensor:\n        """Return."""\n'
    )
    assert without_shape(file) == ["one.bare", "one.One.other"]
