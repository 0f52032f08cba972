"""What an epoch of a head costs that trains from cached rows, by part, beside Lightning's own loop.

    python benchmarks/small_steps.py                  a minute on 2 cores
    python benchmarks/small_steps.py --processor      processor time: without waiting, not for the disk either

scikit-learn's digits, `strategy=linear_probe`, outputs of the frozen backbone in the cache; TensorBoard, validation and
checkpoints as in every run. A row has what one part takes without the parts that it calls: in the steps of an epoch
(also divided by their number), in its validation, and between the two. Each figure is the median over the epochs after
the fifth. "Lightning alone" is a LightningModule with one linear layer and a fused AdamW, of the same batches, in
memory: no callback, no logger, no checkpoint. "By hand" is the same in a plain loop. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytorch_lightning as pl
import torch
from report import machine, write_section
from torch.nn import functional as F

import tlx
from tlx.base.console import quiet
from tlx.data.batches.loader import EpochLoader

SKIPPED = 5  # epochs before the first that counts: rows are computed, memory grows
BACKBONES = {"efficientnet_lite0": ["backbone=efficientnet_lite0"], "small_cnn": ["backbone=small_cnn"]}
PHASES = ("steps", "validation", "between")
LIGHTNING = "Lightning"
HOOKS = [name for name in dir(pl.Callback) if name.startswith("on_") and "exception" not in name]


class Clock(pl.Callback):
    """Adds up the time of each part in each phase of an epoch; a part that calls another one stops meanwhile.

    Args:
        now: Returns the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.phase, self.parts = now, "between", [LIGHTNING]
        self.since, self.epoch, self.epochs = now(), Counter[tuple[str, str]](), list[Counter[tuple[str, str]]]()

    def run(self, part: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return the result of a call, whose time goes to a part."""
        self._stop()
        self.parts.append(part)
        try:
            return call(*arguments, **named)
        finally:
            self._stop()
            self.parts.pop()

    def timed(self, owner: Any, name: str, part: str) -> None:
        """Replace a method of an object by one that is timed."""
        call = getattr(owner, name)
        setattr(owner, name, lambda *arguments, **named: self.run(part, call, *arguments, **named))

    def items(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yield what an iterator yields; its time is the part `batches`."""
        end = object()
        while (batch := self.run("batches", next, batches, end)) is not end:
            yield batch

    def _stop(self) -> None:
        now = self.now()
        self.epoch[self.phase, self.parts[-1]] += now - self.since
        self.since = now

    def _enter(self, phase: str) -> None:
        self._stop()
        self.phase = phase

    def on_train_epoch_start(self, *_: object) -> None:
        self._enter("between")
        self.epochs.append(self.epoch)
        self.epoch = Counter()

    def on_train_batch_start(self, *_: object) -> None:
        self._enter("steps")

    def on_validation_start(self, *_: object) -> None:
        self._enter("validation")

    def on_validation_end(self, *_: object) -> None:
        self._enter("between")


def watch(clock: Clock, trainer: pl.Trainer, task: pl.LightningModule) -> None:
    """Time what a Trainer calls."""
    for callback in trainer.callbacks:
        kind = type(callback)
        part = "checkpoints" if kind.__name__ == "Checkpoints" else f"callback {kind.__name__}"
        for hook in HOOKS:
            if getattr(kind, hook) is not getattr(pl.Callback, hook):
                clock.timed(callback, hook, part)
    trainer.callbacks.insert(0, clock)
    for logger in trainer.loggers:
        clock.timed(logger, "log_metrics", "logger")
        clock.timed(logger, "save", "logger")
    for name, part in (("training_step", "forward, loss"), ("validation_step", "forward, loss")):
        clock.timed(trainer.strategy, name, part)
    clock.timed(trainer.strategy, "backward", "backward")
    clock.timed(task, "log", "`self.log` of Lightning")
    clock.timed(task, "on_validation_epoch_end", "metrics")
    make = task.configure_optimizers

    def optimizer() -> torch.optim.Optimizer:
        made = make()
        step = made.step
        made.step = lambda closure: clock.run("optimizer", step, closure=lambda: clock.run(LIGHTNING, closure))
        return made

    task.configure_optimizers = optimizer


def with_tlx(overrides: list[str], epochs: int, now: Callable[[], float], cache: Path) -> tuple[Clock, int, int]:
    """Train a head; return what its epochs took, the number of steps of each, and of its validation batches."""
    clock, fit, batches = Clock(now), pl.Trainer.fit, EpochLoader.__iter__
    counts: list[int] = []

    def watched(trainer: pl.Trainer, task: pl.LightningModule, **named: Any) -> None:
        watch(clock, trainer, task)
        fit(trainer, task, **named)
        counts.extend((int(trainer.num_training_batches), int(sum(trainer.num_val_batches))))

    with (
        tempfile.TemporaryDirectory() as directory, quiet(),
        mock.patch.object(pl.Trainer, "fit", watched),
        mock.patch.object(EpochLoader, "__iter__", lambda loader: clock.items(batches(loader))),
    ):  # fmt: skip
        common = [
            "dataset=digits", "strategy=linear_probe", f"strategy.stages.0.epochs={epochs}", f"cache.dir={cache}",
            f"run_dir={directory}/run", "trainer.progress_bar=false", "trainer.accelerator=cpu", "trainer.devices=1",
        ]  # fmt: skip
        tlx.train(tlx.compose([*overrides, *common]))
    return clock, counts[0], counts[1]


class OneLayer(pl.LightningModule):
    """A linear layer as Lightning trains it."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(features, classes)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        return F.cross_entropy(self.head(batch["x"]), batch["y"])

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, fused=True)


class Batches:
    """Batches in memory."""

    def __init__(self, count: int, features: int = 1280, classes: int = 10, size: int = 32) -> None:
        self.items = [{"x": torch.randn(size, features), "y": torch.randint(0, classes, (size,))} for _ in range(count)]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return iter(self.items)


def lightning_alone(steps: int, validation: int, epochs: int, now: Callable[[], float]) -> Clock:
    """Train one linear layer with Lightning; return what its epochs took."""
    clock = Clock(now)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, max_epochs=epochs, num_sanity_val_steps=0, callbacks=[clock],
    )  # fmt: skip
    trainer.fit(OneLayer(1280, 10), Batches(steps), Batches(validation))
    return clock


def by_hand(steps: int, epochs: int, now: Callable[[], float]) -> list[float]:
    """Train one linear layer in a loop; return the seconds of each epoch."""
    layer, batches, seconds = OneLayer(1280, 10), Batches(steps), []
    optimizer = layer.configure_optimizers()
    for _ in range(epochs):
        start = now()
        for number, batch in enumerate(batches):
            loss = layer.training_step(batch, number)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(now() - start)
    return seconds


def total(clock: Clock, phase: str | None = None) -> float:
    """Return the median of the seconds of an epoch, or of one phase of it."""
    sums = [sum(took for (of, _), took in epoch.items() if phase in (None, of)) for epoch in clock.epochs[SKIPPED:]]
    return statistics.median(sums)


def rows(title: str, clock: Clock, steps: int) -> list[str]:
    """Return the rows of the table, the longest part first."""
    epochs = clock.epochs[SKIPPED:]
    parts = {part for epoch in epochs for _, part in epoch}
    median = {
        part: {phase: statistics.median(epoch[phase, part] for epoch in epochs) for phase in PHASES} for part in parts
    }
    lines = [_line(f"**{title}**", {phase: total(clock, phase) for phase in PHASES}, steps, total(clock))]
    for part, found in sorted(median.items(), key=lambda item: -sum(item[1].values())):
        if sum(found.values()) >= 1e-4:
            lines.append(_line(part, found, steps, sum(found.values())))
    return lines


def _line(title: str, found: dict[str, float], steps: int, whole: float) -> str:
    cells = [found["steps"] / steps, *(found[phase] for phase in PHASES), whole]
    return f"| {title} | {1000 * cells[0]:.3f} | {' | '.join(f'{1000 * cell:.1f}' for cell in cells[1:])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processor", action="store_true", help="processor time of the thread that trains")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each run (default: %(default)s)")
    parser.add_argument("--backbone", choices=BACKBONES, nargs="+", default=[*BACKBONES])
    parser.add_argument("--dry-run", action="store_true", help="only print the table")
    args = parser.parse_args()
    now = time.thread_time if args.processor else time.perf_counter
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    lines = [
        "| part | a step, ms | steps of an epoch, ms | validation, ms | between, ms | epoch, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory() as cache:
        for name in args.backbone:
            clock, steps, validation = with_tlx(BACKBONES[name], args.epochs, now, Path(cache))
            lines += rows(f"tlx, {name}", clock, steps)
    lines += rows("Lightning alone", lightning_alone(steps, validation, args.epochs, now), steps)[:1]
    hand = statistics.median(by_hand(steps, args.epochs, now)[SKIPPED:])
    lines.append(f"| **by hand** | {1000 * hand / steps:.3f} | {1000 * hand:.1f} | | | |")
    kind = "processor time" if args.processor else "wall time"
    text = "\n".join([*lines, "", f"{steps} steps and {validation} validation batches, {kind}. {machine()}."])
    print(text)
    if not args.dry_run:
        write_section("small_steps", text)


if __name__ == "__main__":
    main()
