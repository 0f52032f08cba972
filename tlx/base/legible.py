"""Text that every file and every terminal can encode. Uses only the standard library."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

from tlx.base.printable import one_line

ESCAPED = "tlx.escaped"  # for `open(…, errors=ESCAPED)`: characters that the encoding lacks become `\xef`, `\u011b`, …


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Escape like Python's backslashreplace, but show a byte of a name that is not UTF-8 (PEP 383) as that byte."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}", error.start + 1
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(one)


codecs.register_error(ESCAPED, _escape)


def legible(name: object) -> str:
    """Return a name as one line of valid UTF-8; a byte that is not UTF-8 becomes `\\xef`."""
    return one_line(str(name).encode("utf-8", ESCAPED).decode("utf-8"))


def composed(name: object) -> str:
    """Return a class name, legible and in the Unicode form NFC.

    macOS stores `é` as two characters, and Linux stores what it gets: both are the same name.
    """
    return legible(unicodedata.normalize("NFC", str(name)))


def escape_what_terminals_lack() -> None:
    """Make standard output and error escape the characters that their encoding lacks, instead of raising an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook or a test may have replaced it
            stream.reconfigure(errors=ESCAPED)
