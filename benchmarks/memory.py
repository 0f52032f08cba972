"""Peak memory of a cached linear probe, with few and with many training images.

    python benchmarks/memory.py                         1,000 and 19,800 images, 32 px; about 5 minutes on 2 cores

CIFAR-10 as JPEG files, all 20,000 of TLX_TEST_DATA: in both cases 100 for validation and 100 for the test, the others
for training. Each case runs in its own process with an empty cache. Prints the peak resident memory (ru_maxrss) of that
process and of its largest child, in MB, and the ratio; the goal is at most 1.1. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cifar import write_all, write_table
from report import machine, write_section

HELD_BACK = 100  # number of images of val, and of test
TRAIN = """
import json, resource, sys
from tlx.cli import main
main(sys.argv[1:])
peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps(peaks))
"""


def peaks(arguments: list[str]) -> list[float]:
    """Train in a separate process; return the peak memory of that process and of its largest child, in MB."""
    with tempfile.TemporaryDirectory() as fresh:
        overrides = ["backbone=efficientnet_lite0", "logger=none", f"run_dir={fresh}/run", *arguments]
        environment = {**os.environ, "TLX_CACHE": f"{fresh}/cache"}
        command = [sys.executable, "-c", TRAIN, "train", *overrides]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs=2, default=[1_000, 19_800], help="training images in the two cases")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    arguments = ["strategy=linear_probe", f"strategy.stages.0.epochs={args.epochs}", "dataset=table"]
    arguments += [f"dataset.image_size={args.size}", "dataset.augment=none"]
    lines = ["| training images | process, MB | largest child, MB |", "| ---: | ---: | ---: |"]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        images = write_all(Path(folder))
        for count in args.images:
            splits = ["val"] * HELD_BACK + ["test"] * HELD_BACK + ["train"] * count
            table = Path(folder, f"table{count}.csv")
            write_table(table, [(*image, split) for image, split in zip(images, splits, strict=False)])
            found.append(peaks([*arguments, f"dataset.path={table}"]))
            lines.append(f"| {count:,} | {found[-1][0]:.0f} | {found[-1][1]:.0f} |")
            print(lines[-1], flush=True)
    ratio = max(found[1]) / max(found[0])
    lines += ["", f"Ratio: {ratio:.2f} (goal: at most 1.1). {args.size} px, {args.epochs} epochs, {machine()}."]
    print("\n".join(lines))
    if args.images == parser.get_default("images"):
        write_section("memory", "\n".join(lines))


if __name__ == "__main__":
    main()
