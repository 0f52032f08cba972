"""Moments to kill a process at that chance hardly ever hits: just before and just after a file takes its place.

tlx writes a file beside its place, syncs it and renames it. A point is a moment before or after that rename, and the
file: `before last.ckpt`.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

REACHED = "points.txt"  # what a process has reached, a point a line, in order
TARGET = "kill_at"  # the point at which it is to be killed, and how often it is reached by then


def watch(directory: Path) -> None:
    """Write down the points that this process reaches, and kill it at the one that the directory names, if any.

    Args:
        directory: Where `kill_at` lies; `points.txt` is written there, anew for each process.
    """
    target = directory / TARGET
    point, count = target.read_text().rsplit(" ", 1) if target.is_file() else ("", "0")
    reached = (directory / REACHED).open("w", buffering=1)
    times: Counter[str] = Counter()

    def reach(name: str) -> None:
        print(name, file=reached)
        times[name] += 1
        if name == point and times[name] == int(count):
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(rename: Callable[..., None]) -> Callable[..., None]:
        def watching(source: Any, target: Any, **more: Any) -> None:
            reach(f"before {_kind(target)}")
            rename(source, target, **more)
            reach(f"after {_kind(target)}")

        return watching

    os.replace, os.rename = watched(os.replace), watched(os.rename)


def _kind(path: Any) -> str:
    """Return the name of a file; of pictures, tables of points and rows of a cache, what they are."""
    name = os.path.basename(os.fspath(path))
    kind = os.path.splitext(name)[1]
    return f"*{kind}" if kind in (".png", ".tsv", ".rows") else name


def points(directory: Path) -> list[str]:
    """Return what the last process of a directory has reached, in order."""
    return (directory / REACHED).read_text().splitlines()
