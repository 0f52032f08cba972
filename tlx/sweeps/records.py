"""What a sweep knows of its jobs: a small file each, in the sweep's directory, which every process of it can read."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tlx.files import write_text

State = Literal["waiting", "running", "finished", "pruned", "interrupted", "failed", "killed"]
ENDED: tuple[State, ...] = ("finished", "pruned", "interrupted", "failed", "killed")
WRONG: tuple[State, ...] = ("failed", "killed")
LINE = 160  # letters of an error that a line shows
ALREADY = "finished already"


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

    def path(self, number: int) -> Path:
        """Return the file of a job."""
        return self.directory / "jobs" / f"{number:04d}.json"

    def write(self, record: Record) -> None:
        """Write a record; the reader never sees half of it."""
        told = asdict(replace(record, changed=time.time()))
        write_text(self.path(record.number), json.dumps(told))

    def read(self, number: int) -> Record:
        """Return the record of a job."""
        return Record(**json.loads(self.path(number).read_text(encoding="utf-8")))

    def __iter__(self) -> Iterator[Record]:
        """Yield all records by number."""
        for path in sorted((self.directory / "jobs").glob("*.json"), key=lambda path: int(path.stem)):
            yield self.read(int(path.stem))

    def stamps(self) -> dict[int, int]:
        """Return when each record's file was written (nanoseconds), by number: cheap to ask for again and again."""
        folder = self.directory / "jobs"
        if not folder.is_dir():
            return {}
        entries = os.scandir(folder)
        return {int(e.name[:-5]): e.stat().st_mtime_ns for e in entries if e.name.endswith(".json")}

    @property
    def about(self) -> dict[str, Any]:
        """The command, the swept keys, what is monitored, how many jobs there will be."""
        path = self.directory / "sweep.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def tell(self, **more: Any) -> None:
        """Add to what is said about the whole."""
        write_text(self.directory / "sweep.json", json.dumps({**self.about, **more}, indent=2))
