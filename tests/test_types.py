"""What type checkers see of tlx, whose packages import their names on first use."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["tlx", "tlx.backbones", "tlx.data", "tlx.features"])
def test_lazy_names_have_types(name: str) -> None:
    """Guards against a public name that exists, and that a type checker takes for `Any`."""
    package = importlib.import_module(name)
    tree = ast.parse((ROOT / name.replace(".", "/") / "__init__.py").read_text())
    checked = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name for block in checked for one in block.body for alias in one.names}  # type: ignore[attr-defined]
    public = {one for one in package.__all__ if not one.startswith("__")}
    assert seen == public
    lazy = {**getattr(package, "_HOME", {}), **getattr(package, "_FILES", {}), **getattr(package, "_LAZY", {})}
    assert not lazy or set(lazy) == public
    for one in public:
        assert getattr(package, one) is not None
