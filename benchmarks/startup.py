"""The response time of the command line in wall seconds: medians of several rounds over all commands.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

TLX = [sys.executable, "-m", "tlx"]
COMMANDS = {
    "import torch, torchvision, pytorch_lightning": [
        sys.executable, "-c", "import torch, torchvision, pytorch_lightning",
    ],
    "tlx --help": [*TLX, "--help"],
    "tlx train backbone=resnet51 (a mistake)": [*TLX, "train", "backbone=resnet51", "optimizer.lrr=1"],
    "tlx plan": [*TLX, "plan"],
    "tlx plan backbone=resnet50 strategy=gradual": [*TLX, "plan", "backbone=resnet50", "strategy=gradual"],
}  # fmt: skip


def main(rounds: int = 5) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for i in range(rounds + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=False)
            if i:  # the first round fills the disk's cache
                seconds[name].append(time.perf_counter() - start)
    base = statistics.median(next(iter(seconds.values())))
    print(f"{'command':<48}  seconds  times the imports")
    for name, values in seconds.items():
        print(f"{name:<48}  {statistics.median(values):7.2f}  {statistics.median(values) / base:17.2f}")


if __name__ == "__main__":
    main()
