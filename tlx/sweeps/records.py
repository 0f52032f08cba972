"""What a sweep knows of its jobs: a small file each, in the sweep's directory, which every process of it can read."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tlx.base.errors import TlxError
from tlx.base.files import temporary_of, write_text
from tlx.base.printable import one_line
from tlx.records import check, read_json
from tlx.records.ownership import refuse_links

State = Literal["waiting", "running", "finished", "pruned", "interrupted", "failed", "killed"]
ENDED: tuple[State, ...] = ("finished", "pruned", "interrupted", "failed", "killed")
WRONG: tuple[State, ...] = ("failed", "killed")
LINE = 160  # letters of an error that a line shows
ALREADY = "finished already"
ABOUT = "sweep.json"
_JOB = re.compile(r"[0-9]{4,9}\.json")
_REMOVE = "remove the sweep's directory: the same command makes it anew, and trains nothing again that is finished"


@dataclass(frozen=True)
class Record:
    """One job as it stands.

    Args:
        number: From 0, in the order of the sweep; in a search the number of the trial.
        swept: The swept keys with this job's values, as text.
        run_dir: Where its run is.
        state: waiting, running, finished, pruned, interrupted, failed (an error), killed (a signal, a lost machine).
        note: The error, or where a finished run comes from.
        started: Seconds since the epoch; None before.
        ended: Likewise.
        changed: When this record was written.
        pid: Of the process that trains.
        host: The machine.
    """

    number: int
    swept: dict[str, str]
    run_dir: str
    state: State = "waiting"
    note: str = ""
    started: float | None = None
    ended: float | None = None
    changed: float = field(default=0.0, compare=False)
    pid: int | None = None
    host: str = ""

    @property
    def name(self) -> str:
        """What tells the job from the others: `optimizer.lr=0.1 seed=2`."""
        return " ".join(f"{key}={short(value)}" for key, value in self.swept.items()) or Path(self.run_dir).name

    @property
    def brief(self) -> str:
        """The note in one line."""
        line = " ".join(self.note.split())
        return line if len(line) <= LINE else line[: LINE - 1] + "…"

    def begin(self, pid: int | None) -> Record:
        """Return the record of the job that starts now."""
        return replace(self, state="running", note="", started=time.time(), pid=pid, host=socket.gethostname())

    def end(self, state: State, note: str = "") -> Record:
        """Return the record of the job that ends now."""
        return replace(self, state=state, note=note, ended=time.time())


@dataclass
class About:
    """sweep.json."""

    command: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"
    total: int | None = None


def short(value: str) -> str:
    """Return a swept value as a line or a table shows it: a number of many digits with five of them."""
    try:
        return f"{float(value):.5g}" if len(value) > 8 else value
    except ValueError:
        return value


class Records:
    """The records in a sweep's directory: `jobs/0000.json`, … and `sweep.json`, which is about all of them."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def open(self) -> None:
        """Take the directory for a sweep that starts, or goes on: remove what a kill has left half written.

        Raises:
            TlxError: It holds something else, or links.
        """
        listed = [path for folder in (self.directory, self.directory / "jobs") for path in _listed(folder)]
        refuse_links(listed)
        half = [path for path in listed if _is_record(path, temporary_of(path.name))]
        others = [path for path in listed if path not in half and path.name != ".lock"]
        if others and not (self.directory / ABOUT).is_file():
            shown = ", ".join(one_line(path.name) for path in others[:5])
            raise TlxError(
                f"output_dir: expected no directory, or that of a sweep, as '{one_line(self.directory)}', got one that "
                f"holds {shown}; name another output_dir"
            )
        for path in half:
            path.unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        """Return the file of a job."""
        return self.directory / "jobs" / f"{number:04d}.json"

    def write(self, record: Record) -> None:
        """Write a record; the reader never sees half of it."""
        told = asdict(replace(record, changed=time.time()))
        write_text(self.path(record.number), json.dumps(told))

    def read(self, number: int) -> Record:
        """Return the record of a job.

        Raises:
            TlxError: Its file is damaged.
        """
        path, expected = self.path(number), "the record of a job"
        told = read_json(path, expected, _REMOVE)
        check(told, Record, path, expected, _REMOVE)
        return Record(**{key: value for key, value in told.items() if key in Record.__dataclass_fields__})

    def __iter__(self) -> Iterator[Record]:
        """Yield all records by number."""
        for number in sorted(self.stamps()):
            yield self.read(number)

    def stamps(self) -> dict[int, int]:
        """Return when each record's file was written (nanoseconds), by number: cheap to ask for again and again."""
        folder = self.directory / "jobs"
        if not folder.is_dir():
            return {}
        entries = os.scandir(folder)
        return {int(e.name[:-5]): e.stat().st_mtime_ns for e in entries if _JOB.fullmatch(e.name)}

    @property
    def about(self) -> dict[str, Any]:
        """The command, the swept keys, what is monitored, how many jobs there will be.

        Raises:
            TlxError: sweep.json is damaged.
        """
        path, expected = self.directory / ABOUT, "what a sweep is about"
        try:
            told = read_json(path, expected, _REMOVE)
        except FileNotFoundError:
            return {}
        check(told, About, path, expected, _REMOVE)
        return dict(told)

    def tell(self, **more: Any) -> None:
        """Add to what is said about the whole."""
        write_text(self.directory / ABOUT, json.dumps({**self.about, **more}, indent=2))


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_record(path: Path, whole: str | None) -> bool:
    """Whether a temporary file was to become one of a sweep's own."""
    if path.parent.name == "jobs":
        return whole is not None and re.fullmatch(r"\d{4,}\.json", whole) is not None
    return whole in (ABOUT, "runs.csv", "table.csv")
