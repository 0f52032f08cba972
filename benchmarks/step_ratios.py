"""Pairs of times whose ratio says what tlx adds to a training step, measured in turn in one process."""

from __future__ import annotations

import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from overhead import wait

import tlx
from tlx.procedures import stages as procedure

ROUNDS = 2
GPU, CPU = "cuda", "cpu"
Pair = tuple[float, float]  # seconds of the two that are compared


class Clock(pl.Callback):
    """Measures the seconds of a step: from the start of an epoch's first step to that of its last one."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self._start = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        last = int(trainer.num_training_batches) - 1
        if index in (0, last):
            wait(module.device)
            now = time.perf_counter()
            if index and trainer.current_epoch:  # the first epoch warms up
                self.steps.append((now - self._start) / last)
            self._start = now


@contextmanager
def clocked() -> Iterator[Clock]:
    """Add a clock to the callbacks of `tlx.train`."""
    clock, original = Clock(), procedure.build_callbacks
    procedure.build_callbacks = lambda *args, **named: [clock, *original(*args, **named)]
    try:
        yield clock
    finally:
        procedure.build_callbacks = original


def step_of(overrides: list[str]) -> float:
    """Train with tlx; return the median over the epochs of the seconds of a step."""
    with clocked() as clock:
        tlx.train(tlx.compose(overrides))
    return statistics.median(clock.steps)


def in_turn(turn: int, first: Callable[[], float], second: Callable[[], float]) -> Pair:
    """Measure both, in reverse order every second time."""
    if turn % 2:
        there = second()
        return first(), there
    return first(), second()


def mean_step(step: Callable[[], None], device: str) -> float:
    """Return the mean seconds of a step, after some that warm up."""
    warm, count = (5, 40) if device == GPU else (2, 20)
    for _ in range(warm):
        step()
    wait(torch.device(device))
    start = time.perf_counter()
    for _ in range(count):
        step()
    wait(torch.device(device))
    return (time.perf_counter() - start) / count


@dataclass(frozen=True)
class Ratio:
    """A comparison.

    Args:
        title: What is compared, in words.
        goal: Of the ratio, in words.
        prepare: Returns what measures it once, given the device and a folder for runs.
    """

    title: str
    goal: str
    prepare: Callable[[str, Path], Callable[[int], Pair]]


def measured(ratios: Mapping[str, Ratio], only: tuple[str, ...], device: str, path: Path) -> str:
    """Take the measurements that are not in a CSV file yet; return all as a Markdown table, and what failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in only:
        if len(_read(path, name, device)) >= ROUNDS:
            continue
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            before = os.environ.get("TLX_CACHE")
            os.environ["TLX_CACHE"] = f"{folder}/cache"
            try:
                take = ratios[name].prepare(device, Path(folder) / "runs")
                for turn in range(ROUNDS):
                    first, second = take(turn)
                    print(f"{name:<8} {1000 * first:9.2f} {1000 * second:9.2f}  ratio {first / second:.3f}", flush=True)
                    with path.open("a", newline="", encoding="utf-8") as file:
                        csv.writer(file).writerow([name, device, turn, f"{first:.6f}", f"{second:.6f}"])
            except Exception as error:  # the other measurements go on
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                failed.append(name)
            finally:
                os.environ.pop("TLX_CACHE")
                os.environ |= {} if before is None else {"TLX_CACHE": before}
    lines = ["| what is compared | first | second | ratio | goal |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, ratio in ratios.items():
        if rows := _read(path, name, device):
            columns = [", ".join(f"{1000 * row[i]:.1f}" for row in rows) for i in (0, 1)]
            found = ", ".join(f"{row[0] / row[1]:.2f}" for row in rows)
            lines.append(f"| {ratio.title} | {' | '.join(columns)} | {found} | {ratio.goal} |")
    return "\n".join([*lines, *(f"\nFailed: {name}." for name in failed)])


def _read(path: Path, name: str, device: str) -> list[Pair]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row[:2] == [name, device]]
    return [(float(row[3]), float(row[4])) for row in rows]
