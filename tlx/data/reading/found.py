"""What is found out about a file by opening it. Only the standard library."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self


class FileFacts:
    """The base of dataclasses of plain values, a kind for each question that is asked about files.

    A process answers with `astuple` as JSON (`tlx.data.reading.facts`); `tlx.data.reading.facts_store` keeps that.
    """

    __slots__ = ()

    table: ClassVar[str]  # where they are kept; begins with `facts`, and has another name for other fields
    question: ClassVar[str]  # by which the process is asked for this kind
    reason: str | None  # why the file is broken; None: it is not
    lasting: bool  # whether looking again would find the same
    decoded: bool  # whether decoding the file was tried

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Return the facts that JSON holds."""
        return cls(*values)

    @classmethod
    @abstractmethod
    def rules(cls) -> str:
        """Return by what verdicts are reached: by other rules they may differ."""

    @classmethod
    @abstractmethod
    def failed(cls, reason: str, decoded: bool = False) -> Self:
        """Return the facts of a file that could not be looked at this time."""
