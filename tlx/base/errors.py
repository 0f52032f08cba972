"""Mistakes that a user can mend: what was expected, what was got, what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from tlx.base.printable import printable


class TlxError(Exception):
    """An error whose message is enough to mend it; the command line shows it without a traceback, exit code 2."""


class MissingPackage(TlxError):
    """A package that is not installed is needed: after an installation the same will do."""


class CannotWrite(TlxError, OSError):
    """A file or folder cannot be written: nothing may be written there, the disk is full, a link is in its place.

    It is an OSError, too: what can do without the file handles it as such.
    """


class Diverged(TlxError):
    """The loss became NaN or infinite.

    Args:
        message: Where, and at which rates.
        hint: What to try, a sentence.
        early: Whether no epoch was completed before.
    """

    def __init__(self, message: str, hint: str = "", early: bool = False) -> None:
        super().__init__(f"{message}. {hint}" if hint else message)
        self.message, self.early = message, early


class Interrupted(BaseException):
    """A run was stopped in order before its end; started again, it goes on from where it was.

    Like KeyboardInterrupt it is no Exception: nothing that handles failures on the way should take it for one.

    Args:
        reason: In words, for the status of the run.
        exit_code: With which the process should leave: 128 + the signal's number, by custom.
    """

    def __init__(self, reason: str, exit_code: int = 1) -> None:
        self.reason, self.exit_code = reason, exit_code
        super().__init__(reason)


class Pruned(Interrupted):
    """A sweep gave this run up: others do better."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in a configuration.

    Args:
        path: Dotted path of the key, such as `optimizer.lr`.
        expected: What would have been right, in words.
        got: What was there, as the user typed it.
        hint: What to type instead, if that can be guessed.
    """

    path: str
    expected: str
    got: str
    hint: str = ""

    def __str__(self) -> str:
        lines = [f"{_short(self.path)}: expected {_short(self.expected)}, got {_short(self.got)}"]
        if self.hint:
            lines.append(f"    {_short(self.hint)}")
        return printable("\n".join(lines))


def _short(text: str) -> str:
    return text if len(text) <= 2000 else f"{text[:1000]}…{text[-500:]}"


class ConfigError(TlxError):
    """All mistakes of a configuration in one message."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(f"{count} in the configuration:\n" + "\n".join(f"  {m}" for m in mistakes))


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the entry of `names` that is nearest to `name`, or None when nothing is near."""
    names = [str(n) for n in names]
    same = [n for n in names if n.lower() == name.lower()]
    if same:
        return same[0]
    begun = sorted((n for n in names if n.lower().startswith(name.lower())), key=len) if len(name) > 2 else []
    if begun:  # `val/acc` is `val/accuracy`, although `val/auroc` has as many letters of it
        return begun[0]
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not found:
        found = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
        found = [n for n in names if found and n.lower() == found[0]]
    return found[0] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint `did you mean 'x'?`, or the whole list where it is short and nothing is near, or ''."""
    names = sorted({str(n) for n in names})
    near = closest(name, names)
    if near is not None:
        return f"did you mean '{near}'?"
    if names and len(names) <= 12:
        return "valid: " + ", ".join(names)
    return ""
