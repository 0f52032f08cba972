"""The records of a sweep's jobs: one small file per job in the sweep's directory, readable by all its processes."""

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

from tlx.base.errors import CannotWrite, TlxError
from tlx.base.files import temporary_of, write_text
from tlx.base.printable import one_line
from tlx.records import check, read_json
from tlx.records.ownership import refuse_links

State = Literal["waiting", "running", "finished", "pruned", "interrupted", "failed", "killed"]
ENDED: tuple[State, ...] = ("finished", "pruned", "interrupted", "failed", "killed")
WRONG: tuple[State, ...] = ("failed", "killed")
LINE = 160  # characters of an error that a line shows
ALREADY = "finished already"
ABOUT = "sweep.json"
_JOB = re.compile(r"[0-9]{4,9}\.json")
_REMOVE = "remove the sweep's directory: the same command creates it again and does not repeat finished runs"


@dataclass(frozen=True)
class Record:
    """The state of one job.

    Args:
        number: From 0, in the order of the sweep; in a search the number of the trial.
        swept: The swept keys with this job's values, as text.
        run_dir: Its run directory.
        state: waiting, running, finished, pruned, interrupted, failed (an error), killed (a signal, a lost machine).
        note: The error, or that the run was finished already.
        started: Start time in seconds since 1970; None before it.
        ended: End time in seconds since 1970; None before it.
        changed: When this record was written.
        pid: Process id of the training process.
        host: Its machine.
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
        """The swept values that identify the job: `optimizer.lr=0.1 seed=2`."""
        return " ".join(f"{key}={short(value)}" for key, value in self.swept.items()) or Path(self.run_dir).name

    @property
    def brief(self) -> str:
        """The note on one line."""
        line = " ".join(self.note.split())
        return line if len(line) <= LINE else line[: LINE - 1] + "…"

    def begin(self, pid: int | None) -> Record:
        """Return the record of a job that starts now."""
        return replace(self, state="running", note="", started=time.time(), pid=pid, host=socket.gethostname())

    def end(self, state: State, note: str = "") -> Record:
        """Return the record of a job that ends now."""
        return replace(self, state=state, note=note, ended=time.time())


@dataclass
class About:
    """The contents of sweep.json."""

    command: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    monitor: str = "val/loss"
    mode: Literal["min", "max"] = "min"
    total: int | None = None


def short(value: str) -> str:
    """Return a swept value for a line or a table; long numbers are rounded to five digits."""
    try:
        return f"{float(value):.5g}" if len(value) > 8 else value
    except ValueError:
        return value


class Records:
    """The records in a sweep's directory: `jobs/0000.json`, … and `sweep.json` about the sweep as a whole."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def open(self) -> None:
        """Prepare the directory for a sweep that starts or resumes: remove files that a kill left half written.

        Raises:
            TlxError: The directory holds other files, or links.
        """
        listed = [path for folder in (self.directory, self.directory / "jobs") for path in _listed(folder)]
        refuse_links(listed)
        half = [path for path in listed if _is_record(path, temporary_of(path.name))]
        others = [path for path in listed if path not in half and path.name != ".lock"]
        if others and not (self.directory / ABOUT).is_file():
            shown = ", ".join(one_line(path.name) for path in others[:5])
            raise TlxError(
                f"output_dir: expected a new directory or that of a sweep, got '{one_line(self.directory)}', which "
                f"holds {shown}; choose another output_dir"
            )
        for path in half:
            path.unlink(missing_ok=True)

    def path(self, number: int) -> Path:
        """Return the file of a job."""
        return self.directory / "jobs" / f"{number:04d}.json"

    def write(self, record: Record) -> None:
        """Write a record atomically."""
        values = asdict(replace(record, changed=time.time()))
        _write(self.path(record.number), json.dumps(values))

    def read(self, number: int) -> Record:
        """Return the record of a job.

        Raises:
            TlxError: Its file is damaged.
        """
        path, expected = self.path(number), "the record of a job"
        values = read_json(path, expected, _REMOVE)
        check(values, Record, path, expected, _REMOVE)
        return Record(**{key: value for key, value in values.items() if key in Record.__dataclass_fields__})

    def __iter__(self) -> Iterator[Record]:
        """Yield all records by number."""
        for number in sorted(self.stamps()):
            yield self.read(number)

    def stamps(self) -> dict[int, int]:
        """Return the modification time of each record's file (nanoseconds) by number; cheap enough to call often."""
        folder = self.directory / "jobs"
        if not folder.is_dir():
            return {}
        entries = os.scandir(folder)
        return {int(e.name[:-5]): e.stat().st_mtime_ns for e in entries if _JOB.fullmatch(e.name)}

    @property
    def about(self) -> dict[str, Any]:
        """The command, the swept keys, the monitored metric and the number of jobs.

        Raises:
            TlxError: sweep.json is damaged.
        """
        path, expected = self.directory / ABOUT, "the description of a sweep"
        try:
            values = read_json(path, expected, _REMOVE)
        except FileNotFoundError:
            return {}
        check(values, About, path, expected, _REMOVE)
        return dict(values)

    def update_about(self, **more: Any) -> None:
        """Add values to sweep.json."""
        _write(self.directory / ABOUT, json.dumps({**self.about, **more}, indent=2))


def _write(path: Path, text: str) -> None:
    """Write a file of the sweep; again if another start of it removed the temporary file, as if a kill had left it."""
    for last in (False, False, True):
        try:
            write_text(path, text)
            return
        except CannotWrite as error:
            if last or not isinstance(error.__cause__, FileNotFoundError):
                raise


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_record(path: Path, final_name: str | None) -> bool:
    """Return whether a temporary file would have become one of the sweep's own files."""
    if path.parent.name == "jobs":
        return final_name is not None and re.fullmatch(r"\d{4,}\.json", final_name) is not None
    return final_name in (ABOUT, "runs.csv", "table.csv")
