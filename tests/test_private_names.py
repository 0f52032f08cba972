"""Private names of other packages are used in `tlx/base/compat` only, where a test for each holds what they do."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator

import pytest

import tlx
from tests.conftest import ROOT

TLX = ROOT / "tlx"
COMPAT = TLX / "base" / "compat"
FILES = [path for path in sorted(TLX.rglob("*.py")) if COMPAT not in path.parents]
# Names that begin with an underscore and are documented all the same.
DOCUMENTED = {"os._exit", "sys._getframe"}
# Attribute access by text.
BY_NAME = {"getattr", "setattr", "hasattr", "delattr"}


def is_private(name: str) -> bool:
    """Return whether a name is private; `_target_` is a key of configurations, `__init__` a method of Python's."""
    return name.startswith("_") and not name.endswith("_")


def made_in(tree: ast.AST) -> set[str]:
    """Return the private names that code defines: functions, classes, variables, attributes of `self`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            found.add(node.attr)
    return {name for name in found if is_private(name)}


def is_own(node: ast.expr) -> bool:
    """Return whether an expression is the object or class that the code belongs to."""
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


@functools.cache
def made_by_tlx() -> set[str]:
    """Return the private names that tlx defines anywhere; a class may inherit them."""
    return set().union(*(made_in(ast.parse(path.read_text())) for path in FILES))


def foreign(source: str, inherited: set[str]) -> Iterator[str]:
    """Yield the private names of others that code uses.

    Args:
        source: The code of a module.
        inherited: Private names that its classes may have from others of tlx.
    """
    tree = ast.parse(source)
    own = made_in(tree)
    for node in ast.walk(tree):
        used: list[str] = []
        if isinstance(node, ast.Attribute):
            used = [node.attr] if node.attr not in (own | inherited if is_own(node.value) else own) else []
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] != "tlx":
            used = [*(node.module or "").split("."), *(name.name for name in node.names)]
        elif isinstance(node, ast.Import):
            used = [part for name in node.names for part in name.name.split(".")]
        elif isinstance(node, ast.Call):
            used = [keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg not in own]
            if isinstance(node.func, ast.Name) and node.func.id in BY_NAME and len(node.args) > 1:
                text = node.args[1]
                used += [text.value] if isinstance(text, ast.Constant) and isinstance(text.value, str) else []
        if any(map(is_private, used)) and ast.unparse(node) not in DOCUMENTED:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_no_private_name_of_another_package_is_used_elsewhere() -> None:
    """Guards against an update of a library that breaks tlx in many places, or in one that no test looks at."""
    found = [f"{path.relative_to(ROOT)}, {one}" for path in FILES for one in foreign(path.read_text(), made_by_tlx())]
    assert found == [], "move them to tlx/base/compat, with a test"


@pytest.mark.parametrize(
    "code",
    [
        "import _thread",
        "from torch._dynamo import reset",
        "from hydra.core import _x",
        "trainer._signal_connector",
        "super()._setup()",
        "self._unknown = self._foreign",
        "getattr(loader, '_iterator')",
        "JobConfig(_path=1)",
    ],
)
def test_a_foreign_name_is_found(code: str) -> None:
    """Guards against a rule that overlooks a way in which a name is used."""
    assert len(list(foreign(code, {"_inherited"}))) == 1
    assert (
        list(foreign("self._a = cls._inherited\nx._a\nos._exit(1)\nconfig._target_\n_b = _c(_b)", {"_inherited"})) == []
    )


def test_every_file_of_private_names_has_a_test() -> None:
    """Guards against a private name whose change goes unnoticed until a user's run ends with it."""
    tested = {path.name.removeprefix("test_") for path in (ROOT / "tests" / "base" / "compat").glob("test_*.py")}
    assert {path.name for path in COMPAT.glob("*.py")} - {"__init__.py"} == tested


@functools.cache
def private_names(cls: type) -> set[str]:
    """Return the private names that the code of a class defines."""
    try:
        return made_in(ast.parse(textwrap.dedent(inspect.getsource(cls))))
    except (OSError, TypeError):  # of C, or made by a program
        return {name for name in vars(cls) if is_private(name)}


def test_no_class_takes_a_private_name_of_a_class_that_it_derives_from() -> None:
    """Guards against an attribute of tlx's own that replaces one of Lightning's or torch's by the same name."""
    found = []
    for cls in classes_of_tlx():
        foreign_bases = [one for one in cls.__mro__[1:-1] if one.__module__.partition(".")[0] not in ("tlx", "typing")]
        taken = set().union(*map(private_names, foreign_bases))
        found += [f"{cls.__module__}.{cls.__name__}.{name}" for name in private_names(cls) & taken]
    assert found == []


def classes_of_tlx() -> Iterator[type]:
    """Yield the classes of all modules that can be imported here, but for those that use private names openly."""
    for module in pkgutil.walk_packages(tlx.__path__, "tlx."):
        if module.name.startswith("tlx.base.compat") or module.name.endswith("__main__"):
            continue
        try:
            names = vars(importlib.import_module(module.name))
        except ModuleNotFoundError as error:  # an extra that is not installed
            if str(error.name).startswith("tlx"):
                raise
            continue
        yield from (cls for cls in names.values() if isinstance(cls, type) and cls.__module__ == module.name)
