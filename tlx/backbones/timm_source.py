"""What timm's source says of its networks: importing timm takes seconds. Imports neither timm nor torch."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path

_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)", re.MULTILINE)
_PLACES = ("url", "file", "hf_hub_id")  # keys of an entry that say where its weights are


@functools.cache
def timm_names() -> frozenset[str]:
    """Return the names of timm's networks."""
    return frozenset(_files())


def weight_tags(names: Collection[str]) -> dict[str, list[str]]:
    """Return the tags of the pretrained weights of networks, in alphabetical order; '' for weights without a tag.

    Args:
        names: Some of `timm_names()`.

    Returns:
        Tags by network. A network is missing if its module computes its table of weights, which only running it tells.
    """
    by_file: dict[Path, list[str]] = {}
    for name in names:
        by_file.setdefault(_files()[name], []).append(name)
    found: dict[str, list[str]] = {}
    for file, inside in by_file.items():
        entries, whole = _entries(file)
        for name in inside:
            if whole or name in entries:
                found[name] = sorted(tag for tag, trained in entries.get(name, {}).items() if trained)
    return found


@functools.cache
def _files() -> Mapping[str, Path]:
    """Return the file of each network."""
    found = importlib.util.find_spec("timm")
    if found is None or found.origin is None:
        return {}
    files = (Path(found.origin).parent / "models").glob("*.py")
    return {name: file for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))}


def _entries(file: Path) -> tuple[dict[str, dict[str, bool]], bool]:
    """Return network -> tag -> whether there are weights, and whether the file writes out all of its entries."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    giving = {
        node.name for node in functions if any(map(_is_written, chain.from_iterable(map(_places, ast.walk(node)))))
    }
    entries: dict[str, dict[str, bool]] = {}
    whole = True
    for table in _tables(tree):
        if not isinstance(table, ast.Dict):
            whole = False
            continue
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Call | ast.Dict):
                name, _, tag = str(key.value).partition(".")
                called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else None
                entries.setdefault(name, {})[tag.strip("*")] = bool(called in giving or _places(value))
            else:
                whole = False
    return entries, whole


def _tables(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield what a module assigns to `default_cfgs`, without the call that groups it."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "default_cfgs":
            value = node.value
            yield value.args[0] if isinstance(value, ast.Call) and value.args else value


def _is_written(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant)


def _places(node: ast.AST) -> list[ast.expr]:
    """Return the values in an entry, `{key: value}` or `_cfg(url, key=value)`, that say where its weights are."""
    found: list[tuple[object, ast.expr]] = []
    if isinstance(node, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        found += zip(keys, node.values, strict=True)
    elif isinstance(node, ast.Call):
        found += [(key.arg, key.value) for key in node.keywords]
        found += [("url", node.args[0])] if node.args and ast.unparse(node.func).endswith("cfg") else []
    values = [value for key, value in found if key in _PLACES]
    return [value for value in values if not isinstance(value, ast.Constant) or value.value]
