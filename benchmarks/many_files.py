"""Seconds and memory of listing, identity, division and the first batch of sets of very many files.

    python benchmarks/many_files.py                      10,000 and 100,000 files; 2 minutes on 2 cores
    python benchmarks/many_files.py --files 1000 1000000

The files are pictures of 8 x 8 pixels, each with other bytes, 100 in a folder, in 10 folders of classes. Their content
is not checked (dataset.check=false), but it divides the set, so each file is read and hashed once; a second process
then finds the hashes in the cache. Each size has its own processes and its own cache. Memory is by how much a step
raises the peak of its process. Growth is seconds a file as a multiple of those of the smallest set: 1 is linear.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from report import machine

CLASSES, IN_A_FOLDER, SIDE = 10, 100, 8
STEPS = ("check of the configuration", "identity", "listing and division", "first batch")


def write_files(root: Path, count: int) -> None:
    """Write so many pictures, which differ in the bytes after their ends."""
    content = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (90, 60, 30)).save(content, "PNG")
    for number in range(count):
        folder = root / f"class{number % CLASSES}" / f"{number // CLASSES // IN_A_FOLDER:05}"
        if number // CLASSES % IN_A_FOLDER == 0:
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:08}.png").write_bytes(content.getvalue() + str(number).encode())


def peak() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(root: Path) -> dict[str, tuple[float, int]]:
    """Take the steps in this process; return the seconds and the gain in memory of each."""
    import torch

    from tlx import compose
    from tlx.backbones import small_cnn
    from tlx.config.naming import identity_hash, look_again
    from tlx.data.datamodule import ImageDataModule

    torch.set_num_threads(1)
    found: dict[str, tuple[float, int]] = {}

    def step(name: str, work: Callable[[], object]) -> object:
        start, before = time.perf_counter(), peak()
        result = work()
        found[name] = time.perf_counter() - start, peak() - before
        return result

    keys = [f"dataset.root={root}", "dataset.image_size=16", "dataset.check=false", "dataset.num_workers=0"]
    config = step(STEPS[0], lambda: compose(["dataset=folder", "backbone=small_cnn", "logger=none", *keys]))
    look_again()
    step(STEPS[1], lambda: identity_hash(config))  # type: ignore[arg-type]
    data = ImageDataModule(config.dataset, small_cnn(width=4).preprocessing, seed=0)  # type: ignore[attr-defined]
    step(STEPS[2], data.setup)
    step(STEPS[3], lambda: next(iter(data.train_dataloader())))
    return found


def of_size(count: int) -> list[dict[str, tuple[float, int]]]:
    """Return the figures of a first process and of a second one."""
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name) / "set", count)
        environment = {**os.environ, "TLX_CACHE": str(Path(name) / "cache")}
        command = [sys.executable, __file__, "--measure", str(Path(name) / "set")]
        return [
            json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
            for _ in range(2)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 100_000], help="sizes of the sets")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(measured(args.measure)))
        return
    print(
        "| files | process | step | s | us a file | bytes a file | growth |\n| ---: | --- | --- " + "| ---: " * 4 + "|"
    )
    smallest: dict[tuple[str, str], float] = {}
    for count in sorted(args.files):
        for process, figures in zip(("first", "second"), of_size(count), strict=True):
            for name, (seconds, gained) in figures.items():
                each = seconds / count
                growth = each / smallest.setdefault((process, name), each)
                row = f"{seconds:.2f} | {1e6 * each:.1f} | {gained / count:,.0f} | {growth:.2f}"
                print(f"| {count:,} | {process} | {name} | {row} |", flush=True)
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
