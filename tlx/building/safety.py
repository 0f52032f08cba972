"""Build only names that are listed for a node, unless the user allows more.

Typing a name (`optimizer._target_=lion.Lion`) allows it. A name in a file, which may come from elsewhere, must be
listed exactly (`listed.py`), or be allowed by a setting of the user (`tlx/base/allowed.py`).
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from tlx.base.allowed import VARIABLE, allow_targets, allowed_by_user, settings_file
from tlx.base.errors import TlxError, closest
from tlx.building.listed import listed_at
from tlx.building.loggers import REMOTE

# This node's `target` names the function that builds a user's own network.
OWN_NETWORK = "tlx.backbones.own_backbone"
# The keys that Hydra's `instantiate` obeys besides `_target_`.
SPECIAL = ("_partial_", "_args_", "_convert_", "_recursive_", "_mode_")


def trust_typed(override: str) -> None:
    """Allow the target of a typed override `KEY._target_=NAME` or `backbone.target=NAME`, here and in children.

    `logger=wandb` allows the target of tlx's own option, which no other file can replace.
    """
    key, _, value = override.lstrip("+").partition("=")
    place = key.removesuffix("._target_")
    typed = typed_targets([override])
    if key == "logger":
        options = re.findall(r"[\w-]+", value)
        typed = [target for target, remote in REMOTE.items() if remote.option in options]
    for target in typed:
        if target not in (listed_at(place) or ()) and not allowed_by_user(target):
            os.environ[VARIABLE] = ",".join(filter(None, (os.environ.get(VARIABLE, ""), target)))


def typed_targets(overrides: Iterable[str]) -> list[str]:
    """Return the dotted paths in overrides `KEY._target_=NAME` and `backbone.target=NAME`."""
    pairs = (text.lstrip("+").partition("=") for text in overrides)
    return [value for key, _, value in pairs if key.endswith("._target_") or key == "backbone.target"]


@dataclass(frozen=True)
class Foreign:
    """A target in a file that is not allowed, or a Hydra key that changes how a target is built.

    Args:
        place: Dotted path of the node.
        key: `_target_`, `target` of a user's own network, or one of SPECIAL.
        value: The value of the key.
    """

    place: str
    key: str
    value: Any

    @property
    def path(self) -> str:
        """Dotted path of the key."""
        return f"{self.place}.{self.key}" if self.place else self.key

    @property
    def expected(self) -> str:
        """The allowed values, in words."""
        if self.key == "target":
            return "a function that you allow"
        if self.key != "_target_":
            return "no Hydra key except _target_"
        names = listed_at(self.place)
        if names is None:
            return "no _target_: nothing is built here"
        listed = ", ".join(names) if len(names) <= 9 else f"the list for this node, such as {names[0]}"
        return f"a _target_ of {listed}"

    @property
    def got(self) -> str:
        """The value, as a message shows it."""
        text = f"'{self.value}'" if isinstance(self.value, str) else repr(self.value)
        return text if len(text) <= 100 else text[:99] + "…"

    @property
    def hint(self) -> str:
        """What to do."""
        if self.key == "target" and isinstance(self.value, str):
            return how_to_allow(self.value, "backbone.target")
        if self.key != "_target_" or not isinstance(self.value, str):
            return f"remove {self.path}"
        if self.value in REMOTE and (self.place == "logger" or self.place.startswith("logger.")):
            typed = f"type logger={REMOTE[self.value].option}"
            return f"it may send metrics to a server: {typed}, or {how_to_allow(self.value)}"
        near = closest(self.value, listed_at(self.place) or ())
        same_module = near is not None and near.rpartition(".")[0] == self.value.rpartition(".")[0]
        return f"did you mean '{near}'?" if same_module else how_to_allow(self.value)


def foreign(node: Any, place: str = "") -> Iterator[Foreign]:
    """Yield the targets in a node, and in nodes inside it, that are neither listed for their path nor allowed.

    Args:
        node: Plain values.
        place: Its dotted path, such as `task`; '' for a whole configuration, `architecture` for the one in model.json.
    """
    if isinstance(node, Mapping):
        if not place.startswith("hydra"):  # Hydra's own options have some of these keys
            yield from (Foreign(place, key, node[key]) for key in SPECIAL if key in node)
        target = node.get("_target_")
        listed = listed_at(place) or ()
        if target is not None and target not in listed and not (isinstance(target, str) and allowed_by_user(target)):
            yield Foreign(place, "_target_", target)
        own = node.get("target") if target == OWN_NETWORK else None
        if own not in (None, "???") and not (isinstance(own, str) and allowed_by_user(own)):
            yield Foreign(place, "target", own)
        for key, value in node.items():
            yield from foreign(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, Sequence) and not isinstance(node, str | bytes):
        for i, value in enumerate(node):
            yield from foreign(value, f"{place}[{i}]")


def refuse_foreign_targets(node: Any, source: str, place: str = "") -> None:
    """Raise if a node, or a node inside it, would build something that is not allowed.

    Args:
        node: Plain values, or a node of OmegaConf, whose references are not resolved.
        source: The file of the node, for the message.
        place: As in `foreign`.

    Raises:
        TlxError: A target is not allowed; the message names it, its file, and how to allow it.
    """
    for found in foreign(node, place):
        raise TlxError(f"{source}: expected {found.expected}, got {found.got} in {found.path}; {found.hint}")


def how_to_allow(target: str, key: str = "KEY._target_") -> str:
    """Return how a user who trusts a target can allow it, for example by typing it after a key."""
    package = target.split(".")[0]
    trusted = f"if you trust it: type it ({key}={target})"
    if key == "backbone.target":  # a run names its network itself; `tlx` finds installed modules only
        trusted += f" to train; for its run, in the folder of {package}.py, "
        return f"{trusted}{VARIABLE}={package} python -m tlx …, or allow_targets: [{package}] in {settings_file()}"
    return f"{trusted}, or {VARIABLE}={package} tlx …, or allow_targets: [{package}] in {settings_file()}"


def locate(target: str, place: str | None = None) -> Any:
    """Return the class or function at a dotted path.

    Args:
        target: The path.
        place: The path of the node that names it, for which it must be listed or allowed; None: already checked.

    Raises:
        TlxError: It is not allowed, or cannot be imported.
    """
    if place is not None:
        refuse_foreign_targets({"_target_": target}, "the configuration", place)
    try:
        found = resolve_name(target)
    except Exception as error:  # importing runs the user's module, which can raise anything
        raise TlxError(f"expected a _target_ that can be imported, got '{target}': {_reason(error)}") from error
    if place is None or target in (listed_at(place) or ()) or target in allow_targets():
        return found
    # The user allows a package: what counts is where an object is defined, not how it is reached (`mine.os.system`).
    home = str(getattr(found, "__module__", ""))
    if not allowed_by_user(home):
        raise TlxError(f"expected a _target_ defined in a package that you allow, got '{target}', defined in {home}")
    return found


def _reason(error: Exception) -> str:
    """Return what went wrong in an import, with the file and the line of the module that failed."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__} in {error.filename}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if not frame.filename.startswith("<") and frame.name == "<module>"]
    if not inside:  # there is no such module, or it lacks the name
        return str(error)
    return f"{type(error).__name__} in {inside[-1].filename}, line {inside[-1].lineno}: {error}"
