"""The base of the facts that are determined by opening a file. Imports only the standard library."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self


class FileFacts:
    """Facts about a file, as a dataclass of plain values; one subclass for each question about files.

    Processes return them as JSON arrays (`tlx.data.reading.facts`), and `tlx.data.reading.facts_store` stores these.
    """

    __slots__ = ()

    table: ClassVar[str]  # of the store; begins with `facts`, and is renamed when the fields change
    question: ClassVar[str]  # name of the question in requests to the processes
    reason: str | None  # why the file is broken; None: it is intact
    lasting: bool  # whether the facts hold until the file changes
    decoded: bool  # whether an attempt was made to decode the file

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Return the facts from the values of a JSON array."""
        return cls(*values)

    @classmethod
    @abstractmethod
    def rules(cls) -> str:
        """Return a text that identifies the rules by which files are judged; facts under other rules are not used."""

    @classmethod
    @abstractmethod
    def failed(cls, reason: str, decoded: bool = False) -> Self:
        """Return the facts of a file that could not be examined."""
