"""The list of the files that tlx wrote into a run directory; a name is added before its file is written.

Files that are not in the list are never overwritten or removed. A run of tlx 0.1 has no list; there the names count
that its documentation gave.
"""

from __future__ import annotations

import glob
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.files import cannot_write, open_regular, temporary_of
from tlx.base.printable import one_line
from tlx.records.written_names import read_names, write_names

LIST = "files.json"
LOGS = (".lock", "tlx.log", "job.log")  # may exist before the directory is known to be a run; never removed
CHECKPOINTS = ("best.ckpt", "stage_best.ckpt", "oracle.ckpt", "last.ckpt")
NEXT = ".next"  # suffix of a checkpoint that is not used until last.ckpt says so
FIRST = (  # the files that every run writes
    *("config.yaml", "settings.json", "environment.json", "status.json", "model.json", "metrics.csv"),
    *(f"checkpoints/{name}{suffix}" for name in CHECKPOINTS for suffix in ("", NEXT)),
)
DOCUMENTED = (
    *FIRST,
    *("metrics.json", "test_predictions.csv", "hparams.yaml", "projector_config.pbtxt", "review/review.md"),
    *(f"review/{name}.png" for name in ("confusion_matrix", "precision_recall", "reliability", "wrong")),
    *(f"projector/{name}" for name in ("features.tsv", "metadata.tsv", "sprite.jpg")),
)
_EVENTS = "events.out.tfevents."
_FOLDERS = ("checkpoints", "review", "projector", "folds")
_STATES = ("running", "finished", "failed", "interrupted")
_KEY = "written_by_tlx"
_LONGEST_LIST = 2**20  # bytes
_SHOWN = 5


class OwnFiles:
    """The files of a run directory that tlx wrote.

    Args:
        directory: The run directory; it may be a link, but nothing in it may be one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def names(self) -> set[str]:
        """Names relative to the directory, with `/`; a pattern for events files that are being written."""
        return set(self._read() or ())

    def is_run(self) -> bool:
        """Return whether the directory holds a run."""
        return self._read() is not None or self._is_old_run()

    # Before anything is written

    def refuse_foreign(self) -> None:
        """Refuse a directory that is neither empty nor a run.

        Raises:
            TlxError: It holds files that tlx did not write.
        """
        found = sorted(name for name in _listed(self.directory) if name not in LOGS and temporary_of(name) != LIST)
        if found and not self.is_run():
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            shown = ", ".join(map(one_line, found[:_SHOWN]))
            raise TlxError(
                f"run_dir: expected a new or empty directory or a run of tlx, got '{one_line(self.directory)}', which "
                f"holds {shown}{more}; leave run_dir out, or name another"
            )

    def refuse_links(self) -> None:
        """Refuse a directory in which a file or folder that tlx writes is a link.

        Raises:
            TlxError: There are links; the message names them.
        """
        known = {LIST, *LOGS, *_FOLDERS, *DOCUMENTED, *self.names}
        tops = {name.partition("/")[0] for name in known}
        places = [self.directory / name for name in _listed(self.directory) if name in tops or name.startswith(_EVENTS)]
        folders = [path for path in places if path.is_dir() and not path.is_symlink()]
        places += [folder / name for folder in folders for name in _listed(folder)]
        refuse_links(places)

    # Writing

    def start(self) -> None:
        """Remove all files that an earlier run wrote, and begin the list of a new run.

        Raises:
            TlxError: A file that tlx did not write has a name that the run will write; nothing was removed.
        """
        if self._read() is None:
            self._write(self._of_old_run() if self._is_old_run() else [])
        names = self.names
        self._refuse_taken(name for name in DOCUMENTED if name not in names)
        # The old list is kept during the removal, so that a start after a kill can continue it.
        own = [self.directory / name for name in names if "*" not in name]
        own += [path for name in names if "*" in name for path in self._matching(name)]
        own.sort(key=lambda path: path.name != "status.json")  # first: a half removed run is no longer a run
        for path in [*own, *self._leftovers()]:
            self._unlink(path)
        folders = {parent for name in [*names, *DOCUMENTED] for parent in PurePosixPath(name).parents if parent.parts}
        for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
            with suppress(OSError):  # it holds other files
                (self.directory / folder).rmdir()
        self._write(FIRST)

    def clear(self) -> None:
        """Remove all files that a run wrote, with their list, and the directory if nothing else is in it."""
        if not self.is_run():
            return
        self.start()
        for path in (self.directory / name for name in (LIST, *LOGS)):
            self._unlink(path)
        with suppress(OSError):  # it holds other files
            self.directory.rmdir()

    def resume(self) -> None:
        """Continue the list of an unfinished run, or begin it for a run of tlx 0.1; remove half-written files."""
        if self._read() is None:
            self._write(self._of_old_run())
        self.add(*FIRST)
        for path in self._leftovers():
            self._unlink(path)

    def add(self, *names: str) -> None:
        """Add names of files that will be written; the list is on disk when this returns.

        Raises:
            TlxError: A file of that name exists, and tlx did not write it.
        """
        known = self.names
        new = [name for name in names if name not in known]
        if new:
            self._refuse_taken(name for name in new if "*" not in name)
            self._write([*known, *new])

    def add_events(self, folder: str | os.PathLike[str]) -> None:
        """Add the names that a logger of Lightning will write in a folder, if the folder is in the directory."""
        own, place = Path(os.path.realpath(self.directory)), Path(os.path.realpath(folder))
        if not place.is_relative_to(own):
            return
        inner = place.relative_to(own)
        # EventFileWriter's file name: time in seconds, host, process and a count.
        events = f"{_EVENTS}*.{glob.escape(socket.gethostname())}.{os.getpid()}.*"
        names = [str(inner / name) for name in (events, "hparams.yaml", *(["metrics.csv"] if inner.parts else []))]
        known = self.names
        self._refuse_taken(name for name in names if name not in known and "*" not in name)
        self._write([*known, *names])

    def settle(self) -> None:
        """Replace the pattern for events files by the names of the existing ones, at the end of the run."""
        names = self.names
        patterns = {name for name in names if "*" in name}
        if patterns:
            found = [str(path.relative_to(self.directory)) for name in patterns for path in self._matching(name)]
            self._write([*(names - patterns), *found])

    def remove(self, name: str) -> None:
        """Remove a file if tlx wrote it."""
        if name in self.names:
            self._unlink(self.directory / name)

    # Inside

    def _read(self) -> list[str] | None:
        """Return the list; None if there is none, or it is not tlx's."""
        names = read_names(self.directory / LIST, _KEY, _LONGEST_LIST)
        return None if names is None else [name for name in names if _is_inside(name)]

    def _write(self, names: Iterable[str]) -> None:
        write_names(self.directory / LIST, _KEY, names)

    def _is_old_run(self) -> bool:
        try:
            with open_regular(self.directory / "config.yaml") as file:
                if file.read(11) == b"# tlx test ":
                    return True
        except OSError:
            pass
        try:
            with open_regular(self.directory / "status.json") as file:
                status: Any = json.loads(file.read(_LONGEST_LIST))
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(status, dict) and status.get("state") in _STATES and "pid" in status

    def _of_old_run(self) -> list[str]:
        names = [name for name in DOCUMENTED if (self.directory / name).is_file()]
        return names + [name for name in _listed(self.directory) if name.startswith(_EVENTS)]

    def _refuse_taken(self, names: Iterable[str]) -> None:
        taken = [name for name in names if os.path.lexists(self.directory / name)]
        if taken:
            raise TlxError(
                f"run_dir: expected only files of tlx under the names that a run writes, got "
                f"{', '.join(one_line(self.directory / name) for name in taken[:_SHOWN])}; move them elsewhere, or "
                "name another run_dir"
            )

    def _matching(self, pattern: str) -> Iterator[Path]:
        folder, last = (self.directory / pattern).parent, PurePosixPath(pattern).name
        yield from (folder / name for name in _listed(folder) if fnmatchcase(name, last))

    def _leftovers(self) -> Iterator[Path]:
        """Yield half-written files of tlx, which a kill left under temporary names."""
        known = {LIST, *DOCUMENTED, *self.names}
        for folder in ("", *_FOLDERS):
            for name in _listed(self.directory / folder):
                whole = temporary_of(name)
                if whole is not None and str(PurePosixPath(folder, whole)) in known:
                    yield self.directory / folder / name

    def _unlink(self, path: Path) -> None:
        inside = os.path.realpath(self.directory)
        try:
            # A name in a list from elsewhere may lead through a link deep inside the directory.
            if path.is_file() and Path(os.path.realpath(path.parent)).is_relative_to(inside):
                path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise cannot_write(path, error) from error


def refuse_links(places: Iterable[Path]) -> None:
    """Refuse paths that are links.

    Raises:
        TlxError: There are links; the message names them.
    """
    links = [path for path in places if path.is_symlink()]
    if links:
        raise TlxError(
            f"expected real files and folders in {one_line(links[0].parent)}, got links, through which other files "
            f"would be written: {', '.join(one_line(path.name) for path in links[:_SHOWN])}; remove them, or make the "
            "whole directory a link"
        )


def _is_inside(name: str) -> bool:
    """Return whether a name leads to a file in the directory; patterns are accepted only for events files."""
    path = PurePosixPath(name)
    plain = "*" not in name or path.name.startswith(_EVENTS)
    return not path.is_absolute() and bool(path.parts) and ".." not in path.parts and "\0" not in name and plain


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
