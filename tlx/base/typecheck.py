"""Check plain values against a dataclass: unknown keys, missing keys, wrong types, numbers outside their range."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tlx.base.errors import Mistake, did_you_mean


def check_node(node: Any, schema: type, path: str, allow_extra: bool = False) -> Iterator[Mistake]:
    """Yield the mistakes of a mapping that should have the fields of a dataclass.

    Args:
        node: Plain Python values, as `OmegaConf.to_container` returns them.
        schema: A dataclass. Field metadata may hold limits of numbers and patterns of texts, see `tlx.base.fields`.
        path: Dotted path of the node, '' for the root.
        allow_extra: Accept unknown keys, for nodes whose other keys are checked elsewhere.
    """
    if not isinstance(node, Mapping):
        yield Mistake(path, "a mapping of keys", show(node))
        return
    hints = get_type_hints(schema)
    known = {f.name: f for f in fields(schema)}
    for key in node:
        if key not in known and not allow_extra:
            yield Mistake(_join(path, key), "a known key", f"'{key}'", did_you_mean(str(key), known))
    for name, spec in known.items():
        required = (spec.default is MISSING and spec.default_factory is MISSING) or spec.default == "???"
        if name not in node:
            if required:
                yield Mistake(_join(path, name), _words(hints[name]), "nothing")
        else:
            yield from check_value(node[name], hints[name], _join(path, name), spec.metadata)


def check_value(value: Any, hint: Any, path: str, limits: Mapping[str, Any] | None = None) -> Iterator[Mistake]:
    """Yield the mistakes of a value that should fit a type hint and limits."""
    if hint is Any:
        return
    if isinstance(value, str) and value == "???":
        yield Mistake(path, f"a value ({_words(hint)})", "nothing", f"set it: {path}=…")
        return
    if is_dataclass(hint) and isinstance(hint, type):
        yield from check_node(value, hint, path)
        return
    options = _options(hint)
    origins = [get_origin(o) or o for o in options]
    if list in origins and isinstance(value, list):
        (item_hint,) = get_args(options[origins.index(list)])
        for i, item in enumerate(value):
            yield from check_value(item, item_hint, f"{path}[{i}]", limits)
        return
    if dict in origins and isinstance(value, Mapping):
        _, item_hint = get_args(options[origins.index(dict)])
        for key, item in value.items():
            yield from check_value(item, item_hint, _join(path, key), limits)
        return
    if not any(_fits(value, option) for option in options):
        choices = [str(c) for o in options if get_origin(o) is Literal for c in get_args(o)]
        hint_text = did_you_mean(value, choices) if choices and isinstance(value, str) else ""
        yield Mistake(path, _words(hint), show(value), hint_text)
        return
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from _check_limits(value, path, limits or {})
    if isinstance(value, str) and limits and "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        yield Mistake(path, limits["words"], show(value))


def show(value: Any) -> str:
    """Return a value as a user would type it, for a message."""
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _check_limits(value: float, path: str, limits: Mapping[str, Any]) -> Iterator[Mistake]:
    low, high = limits.get("low"), limits.get("high")
    open_low, open_high = limits.get("open_low", False), limits.get("open_high", False)
    if high is None and value > (most := 2**63 - 1 if isinstance(value, int) else 1e30):  # torch takes no larger ones
        high = most
    too_low = low is not None and (value <= low if open_low else value < low)
    too_high = high is not None and (value >= high if open_high else value > high)
    if too_low or too_high or not math.isfinite(value):
        lower = "" if low is None else f"above {low}" if open_low else f"at least {low}"
        upper = "" if high is None else f"below {high}" if open_high else f"at most {high:,}"
        words = " and ".join(w for w in (lower, upper) if w) or "finite"
        yield Mistake(path, f"a number {words}", show(value))


def _options(hint: Any) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _fits(value: Any, option: Any) -> bool:
    if get_origin(option) is Literal:
        return any(value == c and type(value) is type(c) for c in get_args(option))
    if option is type(None):
        return value is None
    if option is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if option in (str, bool):
        return isinstance(value, option)
    return False


def _words(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    names[Any] = "a value"
    words: list[str] = []
    for option in _options(hint):
        origin = get_origin(option)
        if origin is Literal:
            words.extend(str(c) for c in get_args(option))
        elif origin is list:
            item = get_args(option)[0]
            words.append("a list of mappings" if is_dataclass(item) else f"a list of {_several(item)}")
        elif origin is dict:
            words.append("a mapping")
        elif is_dataclass(option):
            words.append("a mapping of keys")
        else:
            words.append(names.get(option, str(option)))
    return " or ".join(words) if len(words) < 3 else ", ".join(words[:-1]) + " or " + words[-1]


def _several(hint: Any) -> str:
    """Return a type hint in the plural, for the items of a list: `whole numbers or texts`."""
    items = [_words(option) for option in _options(hint)]
    plural = [f"{item.removeprefix('a ')}s" if item.startswith("a ") else item for item in items]
    return " or ".join(plural)


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
