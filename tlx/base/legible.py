"""Text in characters that every file and every terminal takes. Only the standard library."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

from tlx.base.printable import one_line

ESCAPED = "tlx.escaped"  # for `open(…, errors=ESCAPED)`: what the encoding lacks is written as `\xef`, `\u011b`, …


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Like Python's backslashreplace, but a byte of a name that is no UTF-8 (PEP 383) is shown as that byte."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}", error.start + 1
    one = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    return codecs.backslashreplace_errors(one)


codecs.register_error(ESCAPED, _escape)


def legible(name: object) -> str:
    """Return a name as files and people can hold it, in one line: a byte that is no UTF-8 stands as `\\xef`."""
    return one_line(str(name).encode("utf-8", ESCAPED).decode("utf-8"))


def composed(name: object) -> str:
    """Return a name of a class: legible, and in one Unicode form (NFC).

    macOS stores `é` as two characters, Linux keeps what it is given: both are one name.
    """
    return legible(unicodedata.normalize("NFC", str(name)))


def escape_what_terminals_lack() -> None:
    """Have standard output and error escape the characters that their encoding lacks, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a notebook or a test has put there
            stream.reconfigure(errors=ESCAPED)
