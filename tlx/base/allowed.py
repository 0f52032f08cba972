"""Names that the user allows a configuration to build in addition to the listed ones.

Two settings hold them. No file from elsewhere can change either:

- the environment variable TLX_ALLOW_TARGETS: names of packages, classes or functions, separated by commas;
- `allow_targets: [name, …]` in `$XDG_CONFIG_HOME/tlx/settings.yaml` (usually ~/.config/tlx/settings.yaml).
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from tlx.base.errors import TlxError

VARIABLE = "TLX_ALLOW_TARGETS"


def allow_targets() -> tuple[str, ...]:
    """Return the names that the user allows in addition to the listed ones.

    Raises:
        TlxError: The settings file cannot be read or parsed.
    """
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    path = settings_file()
    if path.is_file():
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            more = settings.get("allow_targets") or []
            if not isinstance(more, list) or not all(isinstance(name, str) for name in more):
                raise ValueError(f"allow_targets: {more!r}")
        except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
            raise TlxError(f"{path}: expected `allow_targets: [package, …]`, got: {error}") from error
        named += more
    return tuple(named)


def settings_file() -> Path:
    """Return the path of the user's settings file; for a user without a home, a path that cannot exist."""
    base = os.path.expanduser(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    return Path(os.devnull if base.startswith("~") else base) / "tlx" / "settings.yaml"


def allowed_by_user(target: str) -> bool:
    """Return whether the user allows a dotted path or a package that it is in. Imports nothing."""
    return any(f"{target}.".startswith(f"{name}.") for name in allow_targets())
