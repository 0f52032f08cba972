"""What a user allows to be built beside what is listed: two settings that no file from elsewhere reaches.

- the environment variable TLX_ALLOW_TARGETS, names of packages or of single things separated by commas;
- `allow_targets: [name, …]` in `$XDG_CONFIG_HOME/tlx/settings.yaml` (usually ~/.config/tlx/settings.yaml).
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from tlx.base.errors import TlxError

VARIABLE = "TLX_ALLOW_TARGETS"


def allow_targets() -> tuple[str, ...]:
    """Return the names that the user allows beside those that are listed.

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
    """Return where a user's own settings are looked for; nowhere for a user without a home, not in a folder `~`."""
    base = os.path.expanduser(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    return Path(os.devnull if base.startswith("~") else base) / "tlx" / "settings.yaml"


def allowed_by_user(target: str) -> bool:
    """Return whether a dotted path is, or begins as, one that the user allows; nothing is imported."""
    return any(f"{target}.".startswith(f"{name}.") for name in allow_targets())
