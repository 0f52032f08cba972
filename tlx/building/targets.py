"""Read the parameters of a `_target_` from the source of its module, because importing it (and torch) takes seconds."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path


def parameters(target: str) -> list[str] | None:
    """Return the parameter names of the class or function at a dotted path; None if it takes any.

    Raises:
        LookupError: The module or the name does not exist; `args` hold the names that do.
    """
    found = _definition(target)
    if isinstance(found, ast.FunctionDef):
        return _arguments(found)
    init = [n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    names = _arguments(init[0]) if init else None
    return names[1:] if names else None


def is_class(target: str) -> bool:
    """Return whether there is a class at a dotted path; False for a function, or if there is nothing."""
    try:
        return isinstance(_definition(target), ast.ClassDef)
    except (LookupError, SyntaxError, ValueError, OSError):
        return False


def public_names(module: str) -> list[str]:
    """Return the capitalised names that a module defines as classes or functions, or imports by `from`."""
    file = _module_file(module)
    if file is None:
        return []
    found = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            found.extend(a.asname or a.name for a in node.names)
    return sorted(n for n in set(found) if not n.startswith("_") and n[0].isupper())


def _module_file(module: str) -> Path | None:
    # find_spec imports the parents of a dotted name, so only the top package is looked up with it.
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():  # built into Python: no source to read
        return None
    base = Path(spec.origin)
    if not rest:
        return base
    inside = base.parent.joinpath(*rest)
    for file in (inside / "__init__.py", inside.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def _definition(target: str) -> ast.ClassDef | ast.FunctionDef:
    module, _, name = target.rpartition(".")
    file = _module_file(module)
    if file is None:
        raise LookupError(target, [])
    return _find(file, module, name, seen=set())


def _find(file: Path, module: str, name: str, seen: set[Path]) -> ast.ClassDef | ast.FunctionDef:
    seen.add(file)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node
    for part in ast.walk(tree):
        if isinstance(part, ast.ImportFrom) and part.module:
            for alias in part.names:
                if (alias.asname or alias.name) == name:
                    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
                    up = package.split(".")[: len(package.split(".")) - max(part.level - 1, 0)]
                    source = ".".join([*up, part.module]) if part.level else part.module
                    origin = _module_file(source)
                    if origin is not None and origin not in seen:
                        return _find(origin, source, alias.name, seen)
    raise LookupError(f"{module}.{name}", public_names(module))


def _arguments(node: ast.FunctionDef) -> list[str] | None:
    if node.args.kwarg is not None:
        return None
    return [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
