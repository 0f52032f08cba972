"""Live progress of the jobs, read from their records and run files, on whatever machine they train."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from tlx.base.errors import TlxError
from tlx.base.printable import duration, one_line, printable
from tlx.records.epochs import last_row
from tlx.runs.run import Run
from tlx.sweeps.records import Record, Records
from tlx.tasks.catalog import headline_in

EVERY = 0.3  # seconds between updates


class Progress:
    """Prints a line when a job starts and when it ends; on a terminal, also a live line about the running jobs.

    Args:
        records: Records of the sweep.
        stream: Output stream; None: standard output.
    """

    def __init__(self, records: Records, stream: TextIO | None = None) -> None:
        self.records = records
        self.stream = stream or sys.stdout
        self._seen = records.stamps()  # including the records of an earlier start
        self._said: dict[int, str] = {}
        self._started: set[str] = set()  # run directories of jobs whose start or end was printed
        self._running: dict[int, Record] = {}
        self._live = ""
        self._epochs: dict[str, list[tuple[int, float]]] = {}  # run directory -> first and last epoch seen, and when
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.look()
        self._show("")

    def look(self) -> None:
        """Print a line for each job whose record has changed."""
        stamps = self.records.stamps()
        changed = [number for number, stamp in sorted(stamps.items()) if self._seen.get(number) != stamp]
        self._seen = stamps
        for number in changed:
            record = self.records.read(number)
            self._running.pop(number, None)
            if record.state == "running":
                self._running[number] = record
            self._say(record)

    def _say(self, record: Record) -> None:
        if self._said.get(record.number) == record.state or record.state == "waiting":
            return
        starts = record.started is not None and record.run_dir not in self._started
        if starts and record.state != "running":  # it has also ended since the last look
            self._say(replace(record, state="running"))
        self._started.add(record.run_dir)
        self._said[record.number] = record.state
        live, self._live = self._live, ""
        if live:
            self.stream.write("\r\033[K")
        line = f"{self._count(record)} {record.name}  {summary(record, self.records.about.get('monitor', ''))}"
        print(printable(line), file=self.stream, flush=True)

    def _count(self, record: Record) -> str:
        total = str(self.records.about.get("total") or "?")
        return f"[{record.number + 1:>{len(total)}}/{total}]"

    def _follow(self) -> None:
        while not self._over.wait(EVERY):
            self.look()
            if self.stream.isatty():
                monitor = self.records.about.get("monitor", "")
                running = list(self._running.values())
                self._show("   ".join(f"{self._count(one)} {self.position(one, monitor)}" for one in running))

    def position(self, record: Record, monitor: str) -> str:
        """Return the progress of a running job, with the time that its training still takes once two epochs ended."""
        last = last_row(Path(record.run_dir))
        shown, done, epochs = _position(last, monitor)
        seen = self._epochs.setdefault(record.run_dir, [])
        if done and (not seen or seen[-1][0] != done):
            seen[1:] = [(done, time.monotonic())]
        if len(seen) < 2 or epochs <= done:
            return shown
        (first, began), (last_epoch, ended) = seen
        return f"{shown}, {duration((ended - began) / (last_epoch - first) * (epochs - done))} left"

    def _show(self, line: str) -> None:
        line = one_line(line)[: shutil.get_terminal_size().columns - 1]
        if line != self._live:
            self.stream.write("\r\033[K" + line)
            self.stream.flush()
            self._live = line


def summary(record: Record, monitor: str) -> str:
    """Return the text about a job that has started or ended: `val/loss 0.12  test/accuracy 0.95  12 s`."""
    if record.state == "running":
        return "started"
    if record.state != "finished":
        note = record.brief
        return f"{record.state}: {note}" if note and not note.startswith(record.state) else note or record.state
    try:
        metrics = Run(record.run_dir).metrics
    except TlxError as error:
        return str(error)
    figures = [f"{name} {metrics[name]:.4g}" for name in (monitor, headline_in(metrics)) if name in metrics]
    took = f"{record.ended - record.started:.0f} s" if record.started and record.ended else record.note
    return "  ".join([*figures, took])


def _position(last: Mapping[str, str], monitor: str) -> tuple[str, int, int]:
    """Return the progress of a job from the last row of its metrics.csv: `full epoch 7/15 val/loss 0.31`.

    Args:
        last: The row by column; {}: there is none yet.
        monitor: The metric that selects weights.

    Returns:
        The text, the number of epochs that have ended, and those of the run; 0 if they are not known.
    """
    if not last:
        return "starts", 0, 0
    try:
        done, epochs = int(last["epoch"]) + 1, int(last.get("epochs") or 0)
        value = f" {monitor} {float(last[monitor]):.4g}" if last.get(monitor) else ""  # none without validation images
    except (KeyError, ValueError):  # not a table of tlx
        return "runs", 0, 0
    of = f"/{epochs}" if epochs else ""
    return f"{last.get('stage', '')} epoch {done}{of}{value}", done, epochs
