"""The command line, order of trainings and output that the benchmarks of segmentation and detection share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from real_sets import CACHE
from report import write_section
from training_jobs import Results

MACHINE = ("dataset.num_workers=0", "logger=none", "trainer.devices=1")
ACCELERATOR = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}
SPEED = "speed"  # the row of ratios, which are measured when nothing else runs


class Method(Protocol):
    """A row of a table."""

    @property
    def needs(self) -> str:
        """The row whose run of the same seed it starts from; '': none."""


class Job(Protocol):
    """A training of a row."""

    @property
    def method(self) -> str:
        """The row."""

    @property
    def start(self) -> str:
        """The run that it starts from; '': none."""


AnyJob = TypeVar("AnyJob", bound=Job)


def options(
    description: str | None, rows: Sequence[str], known: Collection[str], folder: str
) -> argparse.ArgumentParser:
    """Return a parser with the options of both benchmarks.

    Args:
        description: The help.
        rows: The rows that are trained by default.
        known: All rows.
        folder: The default folder of the runs, in the cache of benchmarks.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=split, default=[*rows, SPEED], help=", ".join([*known, SPEED]))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of every row; the result is then not written to docs/results.md")
    parser.add_argument("--device", choices=ACCELERATOR, default="auto")
    parser.add_argument("--jobs", type=int, help="trainings side by side (default: 1, on a GPU 8)")
    parser.add_argument("--output", type=Path, default=CACHE / folder)
    return parser


def split(text: str) -> list[str]:
    """Return the parts of `a,b`."""
    return text.split(",")


def settled(parser: argparse.ArgumentParser, epochs: int, **known: Collection[str]) -> argparse.Namespace:
    """Return the arguments, with `published`: whether the tables are written to docs/results.md.

    Args:
        parser: The result of `options`.
        epochs: Epochs of every row by default.
        known: Option -> the names that it takes.
    """
    args = parser.parse_args()
    for option, names in known.items():
        if unknown := set(getattr(args, option)) - set(names):
            parser.error(f"--{option}: expected some of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    import torch

    args.device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    args.published, args.epochs = args.epochs is None, args.epochs or epochs
    args.jobs = args.jobs or (8 if args.device == "cuda" else 1)
    args.output = args.output.resolve()
    os.environ.setdefault("TLX_CACHE", str(args.output / "cache"))
    return args


def in_order(only: Collection[str], methods: Mapping[str, Method], longest: Sequence[str]) -> list[str]:
    """Return the rows to train, with those that they need; the longest begin first."""
    wanted = [name for name in only if name in methods]
    wanted += [methods[name].needs for name in wanted if methods[name].needs not in ("", *wanted)]
    return sorted(wanted, key=lambda name: longest.index(name) if name in longest else len(longest))


def threads_of(args: argparse.Namespace) -> int:
    """Return the threads of each training."""
    return max(1, len(os.sched_getaffinity(0)) // args.jobs)


def ready(methods: Mapping[str, Method], same: Sequence[str], results: Results, job: AnyJob) -> AnyJob | None:
    """Return a job with the run that it starts from, if it needs one; None if that is not there yet.

    Args:
        methods: The rows.
        same: Columns in which a job and the run that it starts from agree.
        results: The results so far.
        job: The job.
    """
    needed = methods[job.method].needs
    if not needed:
        return job
    found = results.of(method=needed, **{name: getattr(job, name) for name in same})
    return replace(job, start=found[0]["directory"]) if found else None  # type: ignore[type-var]


def prepare_process(threads: int) -> None:
    """Prepare a process that does several jobs one after another."""
    import torch

    torch.set_num_threads(threads)
    torch.multiprocessing.set_sharing_strategy("file_system")


def finish(args: argparse.Namespace, sections: Mapping[str, Callable[[], str]], failed: Sequence[str]) -> None:
    """Print and write the sections of a benchmark, and exit with an error if a training failed.

    Args:
        args: The arguments.
        sections: Name of a section of docs/results.md -> makes its text; in their order.
        failed: What failed, in words.
    """
    for name, make in sections.items():
        text = make()
        print(f"\n{text}", flush=True)
        (args.output / f"{name}.md").write_text(f"{text}\n", encoding="utf-8")
        if args.published:
            write_section(name, text)
    if failed:
        sys.exit("failed:\n" + "\n".join(failed))


def speed(module: str, args: argparse.Namespace) -> dict[str, Callable[[], str]]:
    """Return the section of ratios that a module measures, if they are asked for."""
    if SPEED not in args.only:
        return {}

    def measured() -> str:
        from importlib import import_module

        found: Any = import_module(module)
        text: str = found.measure(args.device, args.output)
        return text

    return {module: measured}
