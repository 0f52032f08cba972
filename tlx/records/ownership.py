"""Which files of a run directory are tlx's own: a list in it, to which a name is added before its file is written.

What is not in the list is never overwritten or removed. A run of tlx 0.1 has no list: of it those names count that its
documentation gave.
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
from tlx.base.files import cannot_write, open_regular, temporary_of, write_text
from tlx.base.printable import one_line

LIST = "files.json"
LOGS = (".lock", "tlx.log", "job.log")  # there before a directory is known to be a run; never removed
CHECKPOINTS = ("best.ckpt", "stage_best.ckpt", "oracle.ckpt", "last.ckpt")
NEXT = ".next"  # the suffix of a checkpoint that counts from the moment in which last.ckpt says so
FIRST = (  # what every run writes
    *("config.yaml", "environment.json", "status.json", "model.json", "metrics.csv"),
    *(f"checkpoints/{name}{suffix}" for name in CHECKPOINTS for suffix in ("", NEXT)),
)
DOCUMENTED = (
    *FIRST,
    *("metrics.json", "test_predictions.csv", "hparams.yaml", "projector_config.pbtxt", "review/review.md"),
    *(f"review/{name}.png" for name in ("confusion_matrix", "precision_recall", "reliability", "wrong")),
    *(f"projector/{name}" for name in ("features.tsv", "metadata.tsv", "sprite.jpg")),
)
_EVENTS = "events.out.tfevents."
_FOLDERS = ("checkpoints", "review", "projector")
_STATES = ("running", "finished", "failed", "interrupted")
_LONGEST_LIST = 2**20  # bytes
_SHOWN = 5


class OwnFiles:
    """The files of a run directory that tlx has written, and nobody else.

    Args:
        directory: The run directory; it may be a link, what lies in it may not.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def names(self) -> set[str]:
        """Names relative to the directory, with `/`; in the place of events files that are being written, a pattern."""
        return set(self._read() or ())

    def is_run(self) -> bool:
        """Whether the directory is that of a run."""
        return self._read() is not None or self._is_old_run()

    # Before anything is written

    def refuse_foreign(self) -> None:
        """Refuse a directory that is neither empty nor a run.

        Raises:
            TlxError: It holds what tlx has not written.
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
            TlxError: It names the links.
        """
        known = {LIST, *LOGS, *_FOLDERS, *DOCUMENTED, *self.names}
        tops = {name.partition("/")[0] for name in known}
        places = [self.directory / name for name in _listed(self.directory) if name in tops or name.startswith(_EVENTS)]
        folders = [path for path in places if path.is_dir() and not path.is_symlink()]
        places += [folder / name for folder in folders for name in _listed(folder)]
        refuse_links(places)

    # Writing

    def start(self) -> None:
        """Begin the list of a new run, after all that an earlier one has written was removed.

        Raises:
            TlxError: A file of somebody else's has a name that the run is about to write; nothing was removed.
        """
        if self._read() is None:
            self._write(self._of_old_run() if self._is_old_run() else [])
        names = self.names
        self._refuse_taken(name for name in DOCUMENTED if name not in names)
        # While the removal lasts, the old list stays; a start after a kill goes on with it.
        own = [self.directory / name for name in names if "*" not in name]
        own += [path for name in names if "*" in name for path in self._matching(name)]
        own.sort(key=lambda path: path.name != "status.json")  # first: what is half removed is no run any more
        for path in [*own, *self._leftovers()]:
            self._unlink(path)
        folders = {parent for name in [*names, *DOCUMENTED] for parent in PurePosixPath(name).parents if parent.parts}
        for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
            with suppress(OSError):  # it holds what others have put there
                (self.directory / folder).rmdir()
        self._write(FIRST)

    def go_on(self) -> None:
        """Take up the list of an unfinished run, or begin it for one of tlx 0.1; remove half-written files."""
        if self._read() is None:
            self._write(self._of_old_run())
        self.add(*FIRST)
        for path in self._leftovers():
            self._unlink(path)

    def add(self, *names: str) -> None:
        """Note that files are about to be written; it is on the disk when this returns.

        Raises:
            TlxError: A file of that name is there and not tlx's.
        """
        known = self.names
        new = [name for name in names if name not in known]
        if new:
            self._refuse_taken(name for name in new if "*" not in name)
            self._write([*known, *new])

    def add_events(self, folder: str | os.PathLike[str]) -> None:
        """Note what a logger of Lightning is about to write in a folder, if that lies in the directory."""
        own, place = Path(os.path.realpath(self.directory)), Path(os.path.realpath(folder))
        if not place.is_relative_to(own):
            return
        inner = place.relative_to(own)
        # EventFileWriter's name: the second, the host, the process and a count.
        events = f"{_EVENTS}*.{glob.escape(socket.gethostname())}.{os.getpid()}.*"
        names = [str(inner / name) for name in (events, "hparams.yaml", *(["metrics.csv"] if inner.parts else []))]
        known = self.names
        self._refuse_taken(name for name in names if name not in known and "*" not in name)
        self._write([*known, *names])

    def settle(self) -> None:
        """Put the names of the events files that are there in the place of their pattern, as the run ends."""
        names = self.names
        patterns = {name for name in names if "*" in name}
        if patterns:
            found = [str(path.relative_to(self.directory)) for name in patterns for path in self._matching(name)]
            self._write([*(names - patterns), *found])

    def remove(self, name: str) -> None:
        """Remove a file if it is tlx's own."""
        if name in self.names:
            self._unlink(self.directory / name)

    # Inside

    def _read(self) -> list[str] | None:
        """The list; None where there is none, or not one of tlx."""
        path = self.directory / LIST
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST_LIST:
                return None
            held: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(held, dict) or not isinstance(held.get("written_by_tlx"), list):
            return None
        return [name for name in held["written_by_tlx"] if isinstance(name, str) and _is_inside(name)]

    def _write(self, names: Iterable[str]) -> None:
        write_text(self.directory / LIST, json.dumps({"written_by_tlx": sorted(set(names))}, indent=1))

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
                f"run_dir: expected no file that tlx has not written under the names of a run's files, got "
                f"{', '.join(one_line(self.directory / name) for name in taken[:_SHOWN])}; move it elsewhere, or name "
                "another run_dir"
            )

    def _matching(self, pattern: str) -> Iterator[Path]:
        folder, last = (self.directory / pattern).parent, PurePosixPath(pattern).name
        yield from (folder / name for name in _listed(folder) if fnmatchcase(name, last))

    def _leftovers(self) -> Iterator[Path]:
        """Files of tlx's that a kill left half written, under temporary names."""
        known = {LIST, *DOCUMENTED, *self.names}
        for folder in ("", *_FOLDERS):
            for name in _listed(self.directory / folder):
                whole = temporary_of(name)
                if whole is not None and str(PurePosixPath(folder, whole)) in known:
                    yield self.directory / folder / name

    def _unlink(self, path: Path) -> None:
        inside = os.path.realpath(self.directory)
        try:
            # A list from elsewhere may lead through a link deep down.
            if path.is_file() and Path(os.path.realpath(path.parent)).is_relative_to(inside):
                path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise cannot_write(path, error) from error


def refuse_links(places: Iterable[Path]) -> None:
    """Refuse places that are links.

    Raises:
        TlxError: It names them.
    """
    links = [path for path in places if path.is_symlink()]
    if links:
        raise TlxError(
            f"expected files and folders of its own in {one_line(links[0].parent)}, got links, through which others "
            f"would be written: {', '.join(one_line(path.name) for path in links[:_SHOWN])}; remove them, or let the "
            "whole directory be a link"
        )


def _is_inside(name: str) -> bool:
    """Whether a name leads to a file in the directory; a pattern is only taken for events files."""
    path = PurePosixPath(name)
    plain = "*" not in name or path.name.startswith(_EVENTS)
    return not path.is_absolute() and bool(path.parts) and ".." not in path.parts and "\0" not in name and plain


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
