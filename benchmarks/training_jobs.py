"""The trainings of a benchmark: some side by side, each result in a CSV file, so that none is done twice."""

from __future__ import annotations

import csv
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

Row = dict[str, Any]


class Named(Protocol):
    """A training."""

    @property
    def label(self) -> str:
        """What it is called when it ends."""


Job = TypeVar("Job", bound=Named)


class Results:
    """Rows in a CSV file, which grows by one row a result.

    Args:
        path: The file.
        fields: Its columns.
    """

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self.path, self.fields = path, fields
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            self._append(fields)

    def of(self, **wanted: Any) -> list[dict[str, str]]:
        """Return the rows in which these columns have these values."""
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [row for row in rows if all(row[name] == str(value) for name, value in wanted.items())]

    def add(self, values: Mapping[str, Any]) -> None:
        """Append a row; columns without a value stay empty."""
        self._append([values.get(name, "") for name in self.fields])

    def _append(self, values: Sequence[Any]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(values)


def do_all(
    jobs: Sequence[Job],
    work: Callable[[Job], Row],
    ready: Callable[[Job], Job | None],
    results: Results,
    at_once: int,
) -> list[str]:
    """Do jobs in processes of their own; return what failed, in words.

    Args:
        jobs: The jobs, those first that begin first.
        work: Does a job; a function of a module.
        ready: Returns a job with the run that it starts from, None as long as that is missing.
        results: Where results are kept.
        at_once: Jobs side by side.
    """
    waiting, failed = list(jobs), list[str]()
    running: dict[Future[Row], Job] = {}
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        while waiting or running:
            for job in list(waiting):
                if (begun := ready(job)) is not None:
                    waiting.remove(job)
                    running[pool.submit(work, begun)] = begun
            if not running:  # what they start from failed
                return failed + [f"{job.label}: the run that it starts from is missing" for job in waiting]
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(done)
                try:
                    row = done.result()
                except Exception as error:  # the other jobs go on
                    traceback.print_exception(error)
                    failed.append(f"{job.label}: {error}")
                    continue
                results.add({**vars(job), **row})
                shown = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float))
                print(f"{job.label:<36}  {shown}", flush=True)
    return failed


def shares(epochs: int, parts: Sequence[float]) -> list[int]:
    """Return the epochs of each stage, at least one; their sum is `epochs` where that is possible."""
    first = [max(1, round(epochs * part)) for part in parts[:-1]]
    return [*first, max(1, epochs - sum(first))]
