"""A configuration builds only what is listed for each of its nodes, unless the user allows more.

What a user types (`optimizer._target_=lion.Lion`) is allowed by that. What stands in a file, which may come from
elsewhere, is not: it has to be listed by its exact name (`listed.py`), or allowed by a setting of the user's own
(`tlx/base/allowed.py`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from tlx.base.allowed import VARIABLE, allow_targets, allowed_by_user, settings_file
from tlx.base.errors import TlxError, closest
from tlx.building.listed import listed_at
from tlx.building.loggers import REMOTE

# What Hydra's `instantiate` obeys besides `_target_`.
SPECIAL = ("_partial_", "_args_", "_convert_", "_recursive_", "_mode_")


def trust_typed(override: str) -> None:
    """Allow the target that an override `KEY._target_=NAME` types, here and in processes that are started from here.

    `logger=wandb` types that of tlx's own option, whose name no other file can have.
    """
    key, _, value = override.lstrip("+").partition("=")
    place = key.removesuffix("._target_")
    typed = [value] if place != key else []
    if key == "logger":
        options = re.findall(r"[\w-]+", value)
        typed = [target for target, remote in REMOTE.items() if remote.option in options]
    for target in typed:
        if target not in (listed_at(place) or ()) and not allowed_by_user(target):
            os.environ[VARIABLE] = ",".join(filter(None, (os.environ.get(VARIABLE, ""), target)))


@dataclass(frozen=True)
class Foreign:
    """What a file would have built without permission, or a key of Hydra's that changes how.

    Args:
        place: Dotted path of the node.
        key: `_target_`, or one of SPECIAL.
        value: What stands there.
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
        """What could stand there, in words."""
        if self.key != "_target_":
            return "no key of Hydra's but _target_"
        names = listed_at(self.place)
        if names is None:
            return "no _target_: nothing is built here"
        listed = ", ".join(names) if len(names) <= 9 else f"the list for this node, such as {names[0]}"
        return f"a _target_ of {listed}"

    @property
    def got(self) -> str:
        """What stands there, as a message shows it."""
        text = f"'{self.value}'" if isinstance(self.value, str) else repr(self.value)
        return text if len(text) <= 100 else text[:99] + "…"

    @property
    def hint(self) -> str:
        """What to do."""
        if self.key != "_target_" or not isinstance(self.value, str):
            return f"leave it out: {self.path}"
        if self.value in REMOTE and (self.place == "logger" or self.place.startswith("logger.")):
            return f"it sends figures away: type logger={REMOTE[self.value].option}, or {how_to_allow(self.value)}"
        near = closest(self.value, listed_at(self.place) or ())
        same_module = near is not None and near.rpartition(".")[0] == self.value.rpartition(".")[0]
        return f"did you mean '{near}'?" if same_module else how_to_allow(self.value)


def foreign(node: Any, place: str = "") -> Iterator[Foreign]:
    """Yield whatever of a node, or inside it, would build something that is not listed for its place.

    Args:
        node: Plain values.
        place: Its dotted path, such as `task`; '' for a whole configuration, `architecture` for that of model.json.
    """
    if isinstance(node, Mapping):
        if not place.startswith("hydra"):  # whose own options have some of these keys
            yield from (Foreign(place, key, node[key]) for key in SPECIAL if key in node)
        target = node.get("_target_")
        listed = listed_at(place) or ()
        if target is not None and target not in listed and not (isinstance(target, str) and allowed_by_user(target)):
            yield Foreign(place, "_target_", target)
        for key, value in node.items():
            yield from foreign(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, Sequence) and not isinstance(node, str | bytes):
        for i, value in enumerate(node):
            yield from foreign(value, f"{place}[{i}]")


def refuse_foreign_targets(node: Any, source: str, place: str = "") -> None:
    """Raise if a node, or one inside it, would build something that is not allowed.

    Args:
        node: Plain values, or a node of OmegaConf, whose references are not resolved.
        source: The file that it stands in, for the message.
        place: As of `foreign`.

    Raises:
        TlxError: It names the target, the file that it stands in, and how to allow it.
    """
    for found in foreign(node, place):
        raise TlxError(f"{source}: expected {found.expected}, got {found.got} in {found.path}; {found.hint}")


def how_to_allow(target: str) -> str:
    """Return what a user may do who trusts a target."""
    package = target.split(".")[0]
    return (
        f"where you trust it: type it (KEY._target_={target}), or {VARIABLE}={package} tlx …, "
        f"or allow_targets: [{package}] in {settings_file()}"
    )


def locate(target: str, place: str | None = None) -> Any:
    """Return the class or function at a dotted path.

    Args:
        target: The path.
        place: The node that names it, whose list, or the user, has to allow it; None: somebody has seen to that.

    Raises:
        TlxError: It is not allowed, or it cannot be imported.
    """
    if place is not None:
        refuse_foreign_targets({"_target_": target}, "the configuration", place)
    try:
        found = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise TlxError(f"expected a _target_ that can be imported, got '{target}': {error}") from error
    if place is None or target in (listed_at(place) or ()) or target in allow_targets():
        return found
    # The user allows a package: where a thing is defined counts, not the path that leads to it (`mine.os.system`).
    home = str(getattr(found, "__module__", ""))
    if not allowed_by_user(home):
        raise TlxError(f"expected a _target_ that is defined in what you allow, got '{target}', defined in {home}")
    return found
