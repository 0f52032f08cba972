"""What a planted fault is, and how one is planted: by the name of an object, since code moves and lines with it."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path


class Misplanted(Exception):
    """A fault that does not fit the code (any more): its object or its text is not there exactly once."""


@dataclass(frozen=True)
class Fault:
    """One planted fault, as its file tells it.

    Attributes:
        name: The name of its file.
        breaks: What it breaks, in one line.
        object: The dotted name of what it changes (`tlx.data.labelled.LabelledImages`); `conf.strategy.full` is a file.
        old: The text that it replaces, which occurs exactly once in the source of the object.
        new: The text that it puts there.
        tests: What should notice, as pytest takes it (`tests/data/test_splits.py::test_name`).
        nightly: Why only the nightly tests notice it; empty where `make test` does.
    """

    name: str
    breaks: str
    object: str
    old: str
    new: str
    tests: tuple[str, ...]
    nightly: str = ""


def read(path: Path) -> Fault:
    """Read the file of a fault.

    Raises:
        Misplanted: It lacks a key, or has one that is not known.
    """
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        return Fault(name=path.stem, **{**values, "tests": tuple(values["tests"])})
    except (KeyError, TypeError) as error:
        raise Misplanted(f"{path.name}: {error}") from None


def read_all(folder: Path = Path(__file__).parent) -> list[Fault]:
    """Read every fault of a folder, by name."""
    return [read(path) for path in sorted(folder.glob("*.toml"))]


def _named(body: list[ast.stmt], name: str) -> list[ast.stmt]:
    """Return the definitions and assignments of a name among statements, in `if` and `try` too."""
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign):
            names = [node.target.id] if isinstance(node.target, ast.Name) else []
        else:
            names = []
        found += [node] * (name in names)
        if isinstance(node, ast.If | ast.Try | ast.With):
            found += _named(node.body, name) + _named(getattr(node, "orelse", []), name)
    return found


def locate(root: Path, dotted: str) -> tuple[Path, int, int]:
    """Return the file of an object and its first and last character there, the last not included.

    Args:
        root: The folder that holds `tlx/` and `conf/`.
        dotted: A module, or a class, function, method or constant of one; or a file of `conf/`.

    Raises:
        Misplanted: There is no such object, or more than one.
    """
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        stem = root.joinpath(*parts[:length])
        for path in (stem.with_suffix(".py"), stem / "__init__.py", stem.with_suffix(".yaml")):
            if path.is_file():
                return path, *_span(path, parts[length:], dotted)
    raise Misplanted(f"{dotted}: no module of that name")


def _span(path: Path, names: list[str], dotted: str) -> tuple[int, int]:
    text = path.read_text(encoding="utf-8")
    if not names:
        return 0, len(text)
    body = ast.parse(text).body
    for name in names:
        found = _named(body, name)
        if len(found) != 1:
            raise Misplanted(f"{dotted}: {len(found)} definitions of {name} in {path.name}, expected one")
        node = found[0]
        body = getattr(node, "body", [])
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)])
    lines = text.splitlines(keepends=True)
    return len("".join(lines[: first - 1])), len("".join(lines[: node.end_lineno]))


def plant(fault: Fault, root: Path) -> tuple[Path, str]:
    """Return the file that a fault changes and the text of that file with the fault in it. Nothing is written.

    Raises:
        Misplanted: The object is not there, its source does not hold the text exactly once, or the result is no Python.
    """
    path, start, end = locate(root, fault.object)
    text = path.read_text(encoding="utf-8")
    times = text[start:end].count(fault.old)
    if times != 1 or fault.old == fault.new:
        raise Misplanted(
            f"{fault.name}: its text occurs {times} times in {fault.object}, expected once, and a new text"
        )
    changed = text[:start] + text[start:end].replace(fault.old, fault.new) + text[end:]
    if path.suffix == ".py":
        try:
            compile(changed, str(path), "exec")
        except SyntaxError as error:
            raise Misplanted(f"{fault.name}: {error}") from None
    return path, changed
