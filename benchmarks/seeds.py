"""Train runs with several seeds, two at a time with one thread each, and summarise their figures."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from real_sets import CACHE

# A small network from random weights, as for the published figures on digits.
SMALL = (
    "backbone=small_cnn", "backbone.width=16", "dataset.channels=1", "dataset.image_size=28", "dataset.augment=affine",
    "dataset.horizontal_flip=false", "dataset.batch_size=64", "dataset.num_workers=0", "optimizer.lr=3e-3",
    "logger=none", "trainer.devices=1",
)  # fmt: skip
FROM_RUN = tuple(override for override in SMALL if not override.startswith("backbone"))
Outcome = tuple[dict[str, float], str]  # figures of a run, and its directory


@contextmanager
def two_at_a_time() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def one_run(arguments: list[str]) -> Outcome:
    """Train one run, or return it if it is finished; called in a worker process."""
    import torch

    import tlx

    torch.set_num_threads(1)
    run = tlx.train(tlx.compose(arguments))
    return run.metrics, str(run.directory)


def outcomes(
    pool: ProcessPoolExecutor, cells: Iterable[Any], seeds: range, arguments: Callable[[Any, int], list[str]]
) -> dict[Any, list[Outcome]]:
    """Return cell of a table -> its runs, one per seed; `arguments(cell, seed)` returns their overrides."""
    jobs = [(cell, seed) for cell in cells for seed in seeds]
    found: dict[Any, list[Outcome]] = {}
    for (cell, _), run in zip(jobs, pool.map(one_run, [arguments(*job) for job in jobs]), strict=True):
        found.setdefault(cell, []).append(run)
    return found


def accuracies(runs: list[Outcome]) -> list[float]:
    """Return the test accuracies of runs."""
    return [metrics["test/accuracy"] for metrics, _ in runs]


def options(description: str | None, what: str, names: Iterable[str], folder: str) -> argparse.ArgumentParser:
    """Return a parser with `--WHAT` (parts of the table), `--seeds` (their number) and `--output` (folder of runs)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(f"--{what}", type=lambda text: text.split(","), default=list(names))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=CACHE / folder)
    return parser


def mean_and_sd(scores: list[float]) -> str:
    """Return mean and standard deviation in per cent, as text."""
    sd = f" ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{100 * statistics.mean(scores):.1f}{sd}"
