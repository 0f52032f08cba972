"""The response time of the command line: medians of several rounds, each a pass over all commands.

python benchmarks/startup.py [ROUNDS]

Seconds until the first line, until the end, and of the processor. A run of the digits is trained first, without being
timed. Trainings `to the first step` end there: compare them with the first row, imports that they cannot do without.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

TLX = [sys.executable, "-m", "tlx"]
IMPORTS = [sys.executable, "-c", "import torch, torchvision, pytorch_lightning; print()"]
SMALL = [
    "train", "dataset=digits", "backbone=small_cnn", "strategy=full", "trainer.stage_epochs=1", "logger=none",
    "dataset.num_workers=0",
]  # fmt: skip
FINISHED = [*SMALL, "run_dir=finished"]
PHOTOGRAPHS = [
    "train", "dataset=folder", "dataset.root=photographs", "backbone=efficientnet_lite0", "strategy=full",
    "optimizer._target_=first_step.FirstStep", "logger=none", "force=true",
]  # fmt: skip
FIRST_STEP = """
import os

from torch.optim import AdamW


class FirstStep(AdamW):
    def __init__(self, params, lr, weight_decay=0.01, **others):
        super().__init__(params, lr=lr, weight_decay=weight_decay)

    def step(self, closure=None):
        super().step(closure)
        os._exit(0)
"""
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
    "tlx train, 60 photographs, 96 px, to the first step": [*TLX, *PHOTOGRAPHS, "dataset.image_size=96"],
    "tlx train, 60 photographs, 224 px, to the first step": [*TLX, *PHOTOGRAPHS, "dataset.image_size=224"],
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


def prepare(folder: Path) -> None:
    """Write what the commands speak of: broken files, photographs of 500 x 375 pixels, an optimizer, a finished run."""
    random = np.random.default_rng(0)
    for name in "ab":
        (folder / "broken" / name).mkdir(parents=True)
        (folder / "photographs" / name).mkdir(parents=True)
        for i in range(10):
            (folder / "broken" / name / f"{i}.png").write_bytes(b"no image")
        for i in range(30):
            coarse = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / "photographs" / name / f"{i}.jpg")
    (folder / "first_step.py").write_text(FIRST_STEP)
    subprocess.run([*TLX, *FINISHED], cwd=folder, capture_output=True, check=True)


def main(rounds: int = 5) -> None:
    seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        for i in range(rounds + 1):
            for name, command in COMMANDS.items():
                found = timed(command, folder)
                if i or not rounds:  # the first round fills the disk's cache
                    seconds[name].append(found)
    print(f"{'command':<52}  first line, s     end, s  processor, s")
    for name, values in seconds.items():
        first, end, spent = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:<52}  {first:13.2f}  {end:9.2f}  {spent:12.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
