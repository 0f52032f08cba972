"""A configuration builds only parts of tlx and of the libraries under it, unless the user allows more.

What a user types (`optimizer._target_=lion.Lion`) is allowed by that. What stands in a file, which may come from
elsewhere, is not: it has to be allowed by a setting of the user's own, in one of two places that no such file reaches:

- the environment variable TLX_ALLOW_TARGETS, names of packages or of single things separated by commas;
- `allow_targets: [name, …]` in `$XDG_CONFIG_HOME/tlx/settings.yaml` (usually ~/.config/tlx/settings.yaml).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml

from tlx.errors import TlxError

ALLOWED = (
    *("tlx.backbones", "tlx.data", "tlx.tasks", "tlx.adaptation", "torch.nn", "torch.optim", "torchvision.models"),
    *("timm.models", "timm.optim", "pytorch_lightning.loggers"),
    *("sklearn.linear_model", "sklearn.svm", "sklearn.neighbors", "sklearn.ensemble", "sklearn.discriminant_analysis"),
    *("sklearn.naive_bayes", "sklearn.tree", "sklearn.neural_network", "sklearn.gaussian_process"),
)
EXPECTED = f"defined in {', '.join(ALLOWED)}"
VARIABLE = "TLX_ALLOW_TARGETS"


def allow_targets() -> tuple[str, ...]:
    """Return what the user allows beyond ALLOWED.

    Raises:
        TlxError: The settings file is not understood.
    """
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    path = settings_file()
    if path.is_file():
        try:
            told = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            more = told.get("allow_targets") or []
            if not isinstance(more, list) or not all(isinstance(name, str) for name in more):
                raise ValueError(f"allow_targets: {more!r}")
        except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
            raise TlxError(f"{path}: expected `allow_targets: [package, …]`, got: {error}") from error
        named += more
    return tuple(named)


def settings_file() -> Path:
    """Return where a user's own settings are looked for."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "tlx" / "settings.yaml"


def trust_typed(override: str) -> None:
    """Allow the target that an override `KEY._target_=NAME` types, here and in processes that are started from here."""
    key, _, target = override.lstrip("+").partition("=")
    if key.endswith("._target_") and not is_named_like_ours(target):
        os.environ[VARIABLE] = ",".join(filter(None, (os.environ.get(VARIABLE, ""), target)))


def is_named_like_ours(target: str) -> bool:
    """Return whether a dotted path begins as an allowed one; nothing is imported."""
    return _inside(target, (*ALLOWED, *allow_targets()))


def refuse_foreign_targets(node: Any, source: str) -> None:
    """Raise if a node, or one inside it, would build something that is not allowed.

    Where a thing is defined counts, not the path that leads to it: `torch.nn.os.system` is a path inside torch.

    Raises:
        TlxError: It names the target, the file that it stands in, and how to allow it.
    """
    for target in targets_in(node):
        if not _is_ours(target):
            raise TlxError(f"{source}: expected a _target_ {EXPECTED}, got '{target}'; {how_to_allow(target)}")


def how_to_allow(target: str) -> str:
    """Return what a user may do who trusts a target."""
    package = target.split(".")[0]
    return (
        f"where you trust it: type it (KEY._target_={target}), or {VARIABLE}={package} tlx …, "
        f"or allow_targets: [{package}] in {settings_file()}"
    )


def targets_in(node: Any) -> Iterator[str]:
    """Yield every `_target_` of a node and of those inside it."""
    if isinstance(node, Mapping):
        if node.get("_target_") is not None:
            yield str(node["_target_"])
        for value in node.values():
            yield from targets_in(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from targets_in(value)


def _is_ours(target: str) -> bool:
    if _inside(target, allow_targets()):
        return True
    if not _inside(target, ALLOWED):  # first: looking a path up imports its modules
        return False
    try:
        return _inside(str(getattr(resolve_name(target), "__module__", "")), ALLOWED)
    except (ImportError, AttributeError, ValueError):
        return False


def _inside(path: str, packages: Sequence[str]) -> bool:
    return any(f"{path}.".startswith(f"{package}.") for package in packages)
