"""The files of a run: their content, the lock for writing them, and which of them tlx wrote. Imports no torch."""

from __future__ import annotations

import json
import os
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError, closest
from tlx.base.files import is_locked, locked, write_text
from tlx.base.printable import one_line
from tlx.records.files import read_environment, read_metrics, read_model, read_status
from tlx.records.ownership import OwnFiles


class RunDirectory:
    """The directory of a run, and the content of its files as plain values.

    Files: `config.yaml` (resolved), `model.json` (architecture, preprocessing, class names), `status.json`,
    `environment.json` (versions, machine, command of each start), `metrics.json` (flat), `metrics.csv` (one row per
    epoch), `test_predictions.csv` (one row per test image), `review/` (pictures and review.md), `checkpoints/best.ckpt`
    and `last.ckpt`, TensorBoard events with `projector/` and `projector_config.pbtxt`, `tlx.log`. The process that
    trains locks `.lock`. `files.json` lists the files that tlx wrote; it removes no others.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).expanduser()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.directory / "checkpoints"

    @property
    def fold_directories(self) -> list[RunDirectory]:
        """The directories of the folds of a cross-validation that have begun, in order: `folds/1`, `folds/2`, …"""
        numbers = [int(name) for name in _names_in(self.directory / "folds") if name.isdecimal()]
        found = [RunDirectory(self.directory / "folds" / str(number)) for number in sorted(numbers)]
        return [one for one in found if one.begun]

    @property
    def resumable(self) -> bool:
        """Whether there is something to resume from."""
        return (self.checkpoints / "last.ckpt").is_file() or bool(self.fold_directories)

    @property
    def place(self) -> str:
        """The directory on one line, for messages."""
        return one_line(self.directory)

    @property
    def files(self) -> OwnFiles:
        """The files in it that tlx wrote."""
        return OwnFiles(self.directory)

    @property
    def status(self) -> dict[str, Any]:
        """The content of status.json; empty if there is none.

        `state` is `running` (with `pid` and `host`), `finished`, `failed` (with `error` and `traceback`) or
        `interrupted` (with `reason`).
        """
        return read_status(self.directory)

    @property
    def begun(self) -> bool:
        """Whether a process has ever started this run."""
        return any(os.path.lexists(self.directory / name) for name in (".lock", "status.json"))

    @property
    def finished(self) -> bool:
        """Whether it was trained and tested completely."""
        return self.status.get("state") == "finished"

    @property
    def killed(self) -> bool:
        """Whether its state is `running`, but no process runs it."""
        return self.status.get("state") == "running" and not is_locked(self.directory / ".lock")

    @property
    def metrics(self) -> dict[str, float]:
        """Final metrics: `test/accuracy`, `val/accuracy` (both of the best checkpoint), `train/seconds`, …"""
        return read_metrics(self.need("metrics.json").parent)

    @property
    def started_in(self) -> Path:
        """The working directory of its last start; the current one if environment.json is missing."""
        starts = self.environment
        return Path(starts[-1]["directory"]) if starts else Path.cwd()

    @property
    def environment(self) -> list[dict[str, Any]]:
        """Versions, machine, commit and command of each start; see tlx/records/environment.py."""
        return read_environment(self.directory)

    @property
    def description(self) -> dict[str, Any]:
        """The content of model.json: architecture, preprocessing, layer groups, class names."""
        return read_model(self.need("model.json").parent)

    # Writing, by the process that trains

    def refuse_place(self) -> None:
        """Refuse a directory that cannot hold this run. Writes nothing.

        Raises:
            TlxError: It holds files that are not a run of tlx, or a file that would be written is a link.
        """
        self.files.refuse_foreign()
        self.files.refuse_links()

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Wait until no other process trains this run, then hold its lock; yield the descriptor of the lock."""

        def waiting() -> None:
            status = self.status
            host = one_line(status.get("host"))
            print(f"waiting for process {status.get('pid')} on {host}, which trains {self.place}", flush=True)

        with locked(self.directory / ".lock", waiting) as handle:
            yield handle

    def note(self, state: str, **more: Any) -> None:
        """Write how the run ended, unless another of its processes has written a failure; ignore write errors."""
        with suppress(OSError, TlxError):  # a full disk may have ended the run
            if state == "failed" and self.status.get("state") == "failed":
                return
            self.write_status(state, **more)

    def write_status(self, state: str, **more: Any) -> None:
        """Write status.json."""
        status = {"state": state, "pid": os.getpid(), "host": socket.gethostname(), "time": time.time(), **more}
        if "identity" in self.status:
            status = {"identity": self.status["identity"], **status}
        if state != "running":
            self.files.settle()
        self.write("status.json", json.dumps(status, indent=2))  # last: when it is read, the rest is complete

    def finish(self, metrics: dict[str, float]) -> None:
        """Write the final metrics and mark the run finished."""
        plain = {key: float(value) for key, value in sorted(metrics.items())}
        self.write("metrics.json", json.dumps(plain, indent=2))
        self.files.remove("checkpoints/stage_best.ckpt")  # only a next stage would need it
        self.write_status("finished")

    def write(self, name: str, text: str) -> None:
        """Write one of its files, which is complete at any moment."""
        self.files.add(name)
        write_text(self.directory / name, text)

    def need(self, name: str) -> Path:
        """Return the path of a file.

        Raises:
            TlxError: There is no such file; the message says what there is, and what to type.
        """
        path = self.directory / name
        if path.is_file() or (path.exists() and not name.endswith(".ckpt")):  # its reader reports other kinds
            return path
        if not self.directory.is_dir():
            parent = self.directory.parent
            beside = [p.name for p in parent.iterdir() if (p / "config.yaml").is_file()] if parent.is_dir() else []
            near = closest(self.directory.name, beside)
            hint = f"; did you mean '{parent / near}'?" if near else ""
            raise TlxError(f"expected a run directory, got '{self.place}' (no such directory){hint}")
        state = self.status.get("state")
        hint = "to list the runs: tlx runs"
        if state is not None:
            hint = f"to finish it: {'tlx train ' + one_line(shlex.quote(f'resume={self.directory}'))}"
        raise TlxError(f"expected a finished run with {name}, got '{self.place}' ({state or 'no run'}); {hint}")


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
