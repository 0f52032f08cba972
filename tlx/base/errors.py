"""Errors that a user can fix: what was expected, what was got, what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from tlx.base.printable import printable


class TlxError(Exception):
    """An error that its message explains fully; the command line prints it without a traceback, exit code 2."""


class MissingPackage(TlxError):
    """A required package is not installed. The same call works once it is."""


class CannotWrite(TlxError, OSError):
    """A file or folder cannot be written: no permission, a full disk, or a link in its place.

    It is also an OSError, which code that does not need the file can handle.
    """


class Diverged(TlxError):
    """The loss became NaN or infinite.

    Args:
        message: Where, and at which learning rates.
        hint: What to try, in a sentence.
        early: Whether no epoch had been completed.
    """

    def __init__(self, message: str, hint: str = "", early: bool = False) -> None:
        super().__init__(f"{message}. {hint}" if hint else message)
        self.message, self.early = message, early


class Interrupted(BaseException):
    """A run was stopped before its end and has saved its state; when started again, it resumes.

    Like KeyboardInterrupt it is not an Exception, so that code that handles failures does not catch it.

    Args:
        reason: The reason, for status.json.
        exit_code: Exit code of the process; by convention 128 + the signal's number.
    """

    def __init__(self, reason: str, exit_code: int = 1) -> None:
        self.reason, self.exit_code = reason, exit_code
        super().__init__(reason)


class Pruned(Interrupted):
    """A sweep stopped this run because others do better."""


@dataclass(frozen=True)
class Mistake:
    """One mistake in a configuration.

    Args:
        path: Dotted path of the key, such as `optimizer.lr`.
        expected: What would be valid, in words.
        got: What was found, as the user typed it.
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
    """Return the entry of `names` that is most similar to `name`; None if none is similar."""
    names = [str(n) for n in names]
    same = [n for n in names if n.lower() == name.lower()]
    if same:
        return same[0]
    completions = sorted((n for n in names if n.lower().startswith(name.lower())), key=len) if len(name) > 2 else []
    if completions:  # `val/acc` means `val/accuracy`, although `val/auroc` has as many letters in common with it
        return completions[0]
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not found:
        found = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
        found = [n for n in names if found and n.lower() == found[0]]
    return found[0] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the hint `did you mean 'x'?`; if no name is similar, the list of names if it is short, otherwise ''."""
    names = sorted({str(n) for n in names})
    near = closest(name, names)
    if near is not None:
        return f"did you mean '{near}'?"
    if names and len(names) <= 12:
        return "valid: " + ", ".join(names)
    return ""
