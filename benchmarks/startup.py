"""The response time of the command line: medians of several rounds, each a pass over all commands.

python benchmarks/startup.py [ROUNDS]

Seconds until the first line, until the end, and of the processor. A run of the digits is trained first, without being
timed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TLX = [sys.executable, "-m", "tlx"]
IMPORTS = [sys.executable, "-c", "import torch, torchvision, pytorch_lightning; print()"]
SMALL = [
    "train", "dataset=digits", "backbone=small_cnn", "strategy=full", "trainer.stage_epochs=1", "logger=none",
    "dataset.num_workers=0",
]  # fmt: skip
FINISHED = [*SMALL, "run_dir=finished"]
COMMANDS = {
    "import torch, torchvision, pytorch_lightning": IMPORTS,
    "tlx --help": [*TLX, "--help"],
    "tlx train backbone=resnet51 (a mistake)": [*TLX, "train", "backbone=resnet51", "optimizer.lrr=1"],
    "tlx plan": [*TLX, "plan"],
    "tlx plan backbone=resnet50 strategy=gradual": [*TLX, "plan", "backbone=resnet50", "strategy=gradual"],
    "tlx train … of a finished run": [*TLX, *FINISHED],
    "tlx train resume=RUN of a finished run": [*TLX, "train", "resume=finished"],
    "tlx train … with broken files": [*TLX, "train", "dataset=folder", "dataset.root=broken"],
    "tlx predict RUN missing.jpg": [*TLX, "predict", "finished", "missing.jpg"],
    "tlx test RUN with a mistyped key": [*TLX, "test", "finished", "dataset.rooot=pets"],
    "tlx compare RUN RUN": [*TLX, "compare", "finished", "finished"],
    "tlx runs": [*TLX, "runs", "."],
    "tlx list backbones 'timm/*convnext*'": [*TLX, "list", "backbones", "timm/*convnext*"],
    "tlx train dataset=digits, one epoch": [*TLX, *SMALL, "run_dir=again", "force=true"],
}


def timed(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run a command; return the wall seconds until its first line and until its end, and those of the processor."""
    before = os.times()
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    process.stdout.readline()
    first = time.perf_counter() - start
    process.communicate()
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return first, time.perf_counter() - start, spent


def main(rounds: int = 5) -> None:
    seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in "ab":
            (folder / "broken" / name).mkdir(parents=True)
            for i in range(10):
                (folder / "broken" / name / f"{i}.png").write_bytes(b"no image")
        subprocess.run([*TLX, *FINISHED], cwd=folder, capture_output=True, check=True)
        for i in range(rounds + 1):
            for name, command in COMMANDS.items():
                found = timed(command, folder)
                if i or not rounds:  # the first round fills the disk's cache
                    seconds[name].append(found)
    print(f"{'command':<46}  first line, s     end, s  processor, s")
    for name, values in seconds.items():
        first, end, spent = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:<46}  {first:13.2f}  {end:9.2f}  {spent:12.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
