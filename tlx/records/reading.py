"""Read JSON and YAML files from anybody as plain values of limited size and depth, without aliases or code."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tlx.base.errors import Mistake, TlxError

MEGABYTE = 2**20  # bytes
DEEPEST = 32  # nested containers; a configuration of tlx has about six
MOST = 2_000_000  # values in one file
MOST_OF_YAML = 200_000  # YAML takes ten times as long to read; a configuration of tlx has about a hundred values
_LONGEST_NUMBER = 100  # characters; a megabyte of `1:1:1:…`, which YAML reads in base 60, would take minutes
RESTORE = "restore the run directory from a copy, or train the run again (force=true)"
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def unreadable(path: Path, expected: str, got: str, hint: str = RESTORE) -> TlxError:
    """Return an error that says what a file should hold, what it holds, and what to do."""
    return TlxError(f"{path}: expected {expected}, got {got}; {hint}")


def read_json(path: Path, expected: str, hint: str = RESTORE, limit: int = 32 * MEGABYTE) -> Any:
    """Return the plain values of a JSON file.

    Args:
        path: The file.
        expected: What it should hold, in words, for the message.
        hint: What to do if it cannot be read.
        limit: The most bytes that it may have.

    Raises:
        FileNotFoundError: There is no such file.
        TlxError: It is not a regular file, too large, or does not hold plain values of moderate depth.
    """
    return _parsed(path, json.loads, f"{expected} as JSON", hint, limit)


def read_yaml(path: Path, expected: str, hint: str = RESTORE, limit: int = 2 * MEGABYTE) -> Any:
    """Return the plain values of a YAML file; `${…}` in it is text. Arguments and errors are those of `read_json`."""
    return _parsed(path, _load_yaml, f"{expected} as YAML", hint, limit)


def check(value: Any, schema: type, path: Path, expected: str, hint: str = RESTORE) -> None:
    """Raise a TlxError that names the file unless a value has the types of a dataclass; unknown keys are accepted."""
    from tlx.base.typecheck import check_node  # tlx.config reads records itself

    mistakes = list(check_node(value, schema, "", allow_extra=True))
    if mistakes:
        raise unreadable(path, expected, first_mistakes(mistakes), hint)


def first_mistakes(mistakes: list[Mistake]) -> str:
    """Return the first mistakes of a file on one line."""
    shown = [" ".join(f"{m.path or 'it'}: {m.got} for {m.expected}".split()) for m in mistakes[:3]]
    return "; ".join(shown) + (f"; and {len(mistakes) - 3} more" if len(mistakes) > 3 else "")


def _parsed(path: Path, parse: Callable[[str], Any], expected: str, hint: str, limit: int) -> Any:
    try:
        value = parse(_text(path, expected, hint, limit))
        _check_plain(value)
    except (TlxError, FileNotFoundError):
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from error
    except OSError as error:
        raise unreadable(path, expected, str(error.strerror or error), hint) from error
    except (
        Exception
    ) as error:  # a parser may raise anything for a hostile text: ValueError, RecursionError, KeyError, …
        raise unreadable(path, expected, _reason(error), hint) from error
    return value


def _text(path: Path, expected: str, hint: str, limit: int) -> str:
    """Return the text of a regular file of at most `limit` bytes. A pipe could block; opening a device has effects."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise unreadable(path, expected, _KINDS.get(stat.S_IFMT(mode), "something else than a regular file"), hint)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise unreadable(path, f"{expected}, at most {limit // MEGABYTE} MB", "a larger file", hint)
    if not content.strip():
        raise unreadable(path, expected, "an empty file", hint)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unreadable(path, expected, f"bytes that are not UTF-8 (at {error.start:,})", hint) from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "values nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"a text that is truncated or damaged at line {error.lineno:,}, column {error.colno:,}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1:,}: {error.problem}"
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 120 else words[:119] + "…"


def _check_plain(value: Any) -> None:
    """Raise a ValueError for a value that no file of tlx holds. Does not recurse."""
    remaining: list[tuple[Any, int]] = [(value, 1)]
    seen = 0
    while remaining:
        one, depth = remaining.pop()
        seen += 1
        if depth > DEEPEST or seen > MOST:
            raise ValueError("values nested too deeply" if depth > DEEPEST else f"more than {MOST:,} values")
        if isinstance(one, dict):
            for key, item in one.items():
                if not isinstance(key, str | int | float):  # bool is an int
                    raise ValueError(f"a key of type {type(key).__name__}")
                remaining += [(key, depth), (item, depth + 1)]
        elif isinstance(one, list):
            remaining += [(item, depth + 1) for item in one]
        elif isinstance(one, str):
            _check_text(one)
        elif isinstance(one, int):
            _check_whole(one)
        elif not isinstance(one, float | None):
            raise ValueError(f"a value of type {type(one).__name__}")


def _check_whole(number: int) -> None:
    if not -(2**63) <= number < 2**64:
        raise ValueError("a whole number of more than 64 bits")


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a text with a zero byte")
    try:
        text.encode("utf-8", "surrogateescape")  # the bytes of file names that are not UTF-8 are stored that way
    except UnicodeEncodeError as error:
        raise ValueError("a text with half a character (a lone surrogate)") from error


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML as OmegaConf does (`1e-3` is a number, dates are texts, no key twice), except its tags for paths."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> Any:
        """Refuse a duplicate key; otherwise the last one would count."""
        names = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise yaml.constructor.ConstructorError(None, None, "a duplicate key", node.start_mark)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Refuse long numbers before they become keys: a mapping of such keys with the same hash takes minutes."""
        if len(node.value) > _LONGEST_NUMBER:
            raise ValueError("a whole number of more than 64 bits")
        number: int = super().construct_yaml_int(node)
        _check_whole(number)
        return number


_FLOAT = re.compile(
    r"^(?:[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)"
    r"|\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, form) for tag, form in found if not tag.endswith((":timestamp", ":float"))]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def _load_yaml(text: str) -> Any:
    """Return the values of one document. Refuse aliases, with which a short text can stand for a huge one."""
    depth = 0
    for count, event in enumerate(_events(text)):
        if count > MOST_OF_YAML:
            raise ValueError(f"more than {MOST_OF_YAML:,} values")
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias (*)", problem_mark=event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem="values nested too deeply", problem_mark=event.start_mark)
    return yaml.load(text, _Loader)


def _events(text: str) -> Iterator[yaml.Event]:
    events: Iterator[yaml.Event] = yaml.parse(text, _Loader)
    return events


def as_mapping(value: Any, path: Path, expected: str, hint: str = RESTORE) -> Mapping[str, Any]:
    """Return a value, which must be a mapping with texts as keys.

    Raises:
        TlxError: It is something else.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        names = {dict: "keys that are not texts", list: "a list", str: "a text", type(None): "nothing"}
        raise unreadable(path, expected, names.get(type(value), f"a {type(value).__name__}"), hint)
    return value
