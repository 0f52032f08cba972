"""`tlx demo`: digits 0-4 to digits 5-9, transfer and training from scratch, three seeds; then masks and boxes."""

from __future__ import annotations

import os
import signal
import statistics
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tlx.base.errors import TlxError
from tlx.base.places import refuse_unwritable
from tlx.config import compose
from tlx.records.files import TESTED
from tlx.runs.run import Run
from tlx.sweeps import gpus, job
from tlx.sweeps.launcher import jobs_at_once
from tlx.sweeps.progress import Progress
from tlx.sweeps.records import ALREADY, Record, Records
from tlx.sweeps.stopping import SWEEP
from tlx.tasks.classification.kind import ClassificationKind
from tlx.tasks.segmentation.kind import SegmentationKind

HEADLINE = ClassificationKind.headline
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Example:
    """One kind of run of the demo.

    Args:
        label: Its row in the table.
        keys: Its overrides.
        headline: The test metric that is shown.
    """

    label: str
    keys: tuple[str, ...]
    headline: str = HEADLINE


CLASSIFIERS = {
    "source": Example("digits 0-4, source", ("experiment=digits_0to4",)),
    "transfer": Example("digits 5-9, 10 labels per class, transfer", ("experiment=digits_5to9",)),
    "scratch": Example("digits 5-9, 10 labels per class, from scratch", ("experiment=digits_5to9_scratch",)),
}
_SCENES = ("dataset.classes=[0,X]", "dataset.count=60")  # two characters in few pictures: seconds instead of minutes
OTHERS = {
    "masks": Example(
        "a class for each pixel, `segment_digits` in small",
        ("experiment=segment_digits", *_SCENES),
        SegmentationKind.headline,
    ),
    "boxes": Example(
        "boxes around characters, `detect_digits` in small",
        ("experiment=detect_digits", *_SCENES, "dataset.repeats=1"),
        "test/map_50",
    ),
}


def demo(output_dir: str = "outputs/demo", *overrides: str) -> str:
    """Train classifiers, a segmenter and a detector in parallel; return tables, the run directories, how to view them.

    Args:
        output_dir: Folder of the runs.
        overrides: Overrides for every run.

    Raises:
        TlxError: A run failed.
        Interrupted: A signal stopped the runs, which have saved their state; the same command resumes them.
    """
    demonstration = _Demo(output_dir, overrides)
    SWEEP.number = None
    with SWEEP.on_signals(signal.SIGINT, signal.SIGTERM), Progress(demonstration.records):
        runs = demonstration.train_all()
    SWEEP.check()
    table = "\n".join(_row(one.label, [runs[role, seed] for seed in SEEDS]) for role, one in CLASSIFIERS.items())
    title = f"{HEADLINE.replace('/', ' ')} over seeds {', '.join(map(str, SEEDS))}"
    others = "\n".join(_figure(one, runs[role, 0]) for role, one in OTHERS.items())
    directories = "\n".join(f"  {runs[one].directory}" for one in demonstration.planned)
    tables = f"{title:<49}   mean     sd  seconds\n{table}\n\n{'other tasks':<49} figure         seconds\n{others}"
    return f"\n{tables}\n\nruns:\n{directories}\n\nview: {_view(output_dir)}"


class _Demo:
    """The runs, each a job in its own process, like the jobs of a sweep."""

    def __init__(self, output_dir: str, overrides: Sequence[str]) -> None:
        self.common = [f"output_dir={output_dir}", "trainer.progress_bar=false", *overrides]
        self.records = Records(Path(output_dir).expanduser() / "sweeps" / "demo")
        refuse_unwritable(output_dir, str(self.records.directory))
        self.records.open()
        self.planned = [*((role, seed) for role in CLASSIFIERS for seed in SEEDS), *((role, 0) for role in OTHERS)]
        about = {"swept": ["run", "seed"], "monitor": f"val/{HEADLINE.removeprefix(TESTED)}", "mode": "max"}
        self.records.update_about(command=["tlx", "demo"], total=len(self.planned), **about)
        self.jobs = jobs_at_once("auto", "n_jobs")
        self.devices = gpus.visible(gpus.installed(), os.environ)
        self._composing = threading.Lock()  # Hydra has one global state for all threads

    def train_all(self) -> dict[tuple[str, int], Run]:
        """Return the finished runs by role and seed; fewer after a signal."""
        with ThreadPoolExecutor(self.jobs) as pool:
            others = {(role, 0): pool.submit(self._train, role, 0) for role in OTHERS}  # the longest ones begin first
            pairs = {seed: pool.submit(self._source_and_transfer, seed) for seed in SEEDS}
            alone = {("scratch", seed): pool.submit(self._train, "scratch", seed) for seed in SEEDS} | others
        runs = {place: future.result() for place, future in alone.items()}
        for seed, future in pairs.items():
            runs["source", seed], runs["transfer", seed] = future.result()
        return runs

    def _source_and_transfer(self, seed: int) -> tuple[Run, Run]:
        source = self._train("source", seed)
        if SWEEP.number is not None:
            return source, source
        return source, self._train("transfer", seed, f"backbone.run={source.directory}")

    def _train(self, role: str, seed: int, *more: str) -> Run:
        with self._composing:
            config = compose([*{**CLASSIFIERS, **OTHERS}[role].keys, f"seed={seed}", *more, *self.common])
        run = Run(Path(config.run_dir).expanduser())
        number = self.planned.index((role, seed))
        record = Record(number, {"run": role, "seed": str(seed)}, str(run.directory))
        if run.state_for(config) == "finished":
            self.records.write(record.end("finished", ALREADY))
            return run
        run.refuse_place()
        plain: Any = OmegaConf.to_container(config, resolve=True)
        devices = self.devices if self.jobs > 1 else {}
        values = {**plain, "run_dir": str(run.directory)}
        job.run(job.Job(record, str(self.records.directory), values, job.threads(self.jobs), devices), SWEEP)
        if SWEEP.number is None and not run.finished:
            ended = self.records.read(number)
            raise TlxError(f"{ended.name}: {ended.note or ended.state}; {run.directory / 'job.log'} has more")
        return run


def _row(label: str, runs: list[Run]) -> str:
    scores = [run.metrics[HEADLINE] for run in runs]
    seconds = statistics.mean(run.metrics["train/seconds"] for run in runs)
    return f"{label:<49}  {statistics.mean(scores):5.3f}  {statistics.stdev(scores):5.3f}  {seconds:7.1f}"


def _figure(example: Example, run: Run) -> str:
    figure = f"{example.headline.replace('/', ' ')} {run.metrics[example.headline]:.3f}"
    return f"{example.label:<49}  {figure:<16}{run.metrics['train/seconds']:5.1f}"


def _view(output_dir: str) -> str:
    venv = Path(".venv/bin/tensorboard")
    return f"{venv if venv.is_file() else 'tensorboard'} --logdir {output_dir}"
