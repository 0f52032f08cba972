"""Finished runs that tests share: each configuration is trained once for all tests and all workers, and then only read.

A run of which a test needs its own copy, to write into it or to begin with an empty cache, is not for this store.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import OmegaConf

import tlx
from tlx import Run


class FinishedRuns:
    """Runs by their settled configuration.

    Args:
        folder: Where they lie; all workers of a test run have the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[tuple[str, ...], Run] = {}
        self.taken: set[Path] = set()

    def __call__(self, *overrides: str) -> Run:
        """Return the finished run of these overrides; it is trained where no test has asked for it before.

        Its cache is its own and was empty when it began. What a test writes into it fails that test.
        """
        if overrides not in self._known:
            directory = self.folder / _identity(overrides)
            with alone(self.folder, directory.name):
                listing = self.folder / f"{directory.name}.json"
                if not listing.exists():
                    own = [f"run_dir={directory}", f"cache.dir={self.folder / directory.name}-cache"]
                    tlx.train(tlx.compose([*overrides, *own]))
                    listing.write_text(json.dumps(_files(directory)))
            self._known[overrides] = Run(directory)
        run = self._known[overrides]
        self.taken.add(run.directory)
        return Run(run.directory)

    def written(self) -> list[str]:
        """Return the files of runs taken since the last call that are no longer as they were."""
        found = []
        for directory in sorted(self.taken):
            before = json.loads(directory.with_name(f"{directory.name}.json").read_text())
            now = _files(directory)
            changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
            found += [str(directory / name) for name in sorted(changed)]
        self.taken.clear()
        return found


def _identity(overrides: tuple[str, ...]) -> str:
    """Return a name for what overrides come to: their order, or a default that is typed, makes no other run."""
    config = OmegaConf.to_container(tlx.compose([*overrides, "run_dir=RUN", "cache.dir=CACHE"]))
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _files(directory: Path) -> dict[str, list[int]]:
    """Return size and time of change of every file; the lock is opened by those who only read."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(directory)): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock against the other workers of the test run."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def shared_by_workers(own: Path) -> Path:
    """Return a folder that all workers of a test run have in common, given the base folder of one."""
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
