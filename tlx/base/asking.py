"""Ask before earlier results are replaced."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from tlx.base.errors import TlxError
from tlx.base.printable import printable


def ask_to_replace(place: str, what: str, command: Sequence[str]) -> None:
    """Ask before earlier results are replaced; without a terminal, refuse.

    Args:
        place: Where they are.
        what: What they are, such as `earlier predictions`.
        command: The words of the command that would replace them.

    Raises:
        TlxError: The answer is no, or nobody can answer.
    """
    if sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        try:
            answer = input(printable(f"{place} holds {what}; replace them? [y/N] "))
        except EOFError:
            answer = ""
        if answer.strip().lower() in ("y", "yes"):
            return
        raise TlxError(f"nothing was done, '{place}' stays as it is; to write elsewhere: -o PLACE")
    again = shlex.join([*command, "--overwrite"])
    raise TlxError(f"-o: expected a new place, got '{place}' with {what}; to replace them: {again}")
