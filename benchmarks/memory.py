"""Peak memory of a cached linear probe, with few and with many training images; and of masks for one large image.

    python benchmarks/memory.py                         1,000 and 19,800 images, 32 px; about 5 minutes on 2 cores
    python benchmarks/memory.py --whole                 one image of 10,000 x 10,000 pixels; about 15 minutes

CIFAR-10 as JPEG files, all 20,000 of TLX_TEST_DATA: in both cases 100 for validation and 100 for the test, the others
for training. Each case runs in its own process with an empty cache. Prints the peak resident memory (ru_maxrss) of that
process and of its largest child, in MB, and the ratio; the goal is at most 1.1. Writes docs/results.md.

`--whole`: a segmenter of 20 classes, a tiny network trained from nothing, is tested on the image (`tlx test`) and
predicts it (`tlx predict`), in tiles of 256 pixels. The goal is less than 2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from cifar import write_all, write_table
from PIL import Image
from report import machine, write_section

HELD_BACK = 100  # number of images of val, and of test
CLASSES = 20  # of the large image
MEASURED = """
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
        return peaks_of(["train", *overrides], {"TLX_CACHE": f"{fresh}/cache"})


def peaks_of(command: list[str], environment: dict[str, str]) -> list[float]:
    """Run a command of tlx in a separate process; return the peak memory of it and of its largest child, in MB."""
    own = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, env=own)
    if done.returncode:
        raise SystemExit(f"ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def write_squares(path: Path, side: int) -> None:
    """Write an image of coloured squares as `images/NAME`, and its mask, a class for each colour, as `masks/NAME`."""
    number = np.arange(side) // 70
    mask = ((number[:, None] * 7 + number) % CLASSES).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (CLASSES, 3), dtype=np.uint8)
    for kind, pixels in (("images", colours[mask]), ("masks", mask)):
        folder = path.parent / kind
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / path.name, compress_level=1)


def whole(side: int) -> str:
    """Return a table of the peak memory of testing and predicting one image in tiles."""
    lines = ["| command | process, MB | largest child, MB |", "| --- | ---: | ---: |"]
    with tempfile.TemporaryDirectory() as fresh:
        for tested, sides in (("small", (512, 512, 512)), ("large", (512, 512, side))):
            for part, own in zip(("train", "val", "test"), sides, strict=True):
                write_squares(Path(fresh, tested, part, "0.png"), own)
        run, small, large = (f"{fresh}/{name}" for name in ("run", "small", "large"))
        environment = {"TLX_CACHE": f"{fresh}/cache", "TLX_MAX_PIXELS": str(side**2)}
        train = [
            "train", "task=segmentation", "dataset=masks", f"dataset.root={small}", "dataset.image_size=256",
            "dataset.repeats=8", "backbone=small_cnn", "backbone.width=4", "task.decoder=unet", "strategy=full",
            "strategy.stages.0.epochs=1", "logger=none", f"run_dir={run}",
        ]  # fmt: skip
        peaks_of(train, environment)
        predict = ["predict", run, f"{large}/test/images/0.png", "-o", f"{fresh}/predictions"]
        for command in (["test", run, f"dataset.root={large}"], predict):
            process, child = peaks_of(command, environment)
            lines.append(f"| `tlx {command[0]}` | {process:.0f} | {child:.0f} |")
            print(lines[-1], flush=True)
    goal = f"Goal: less than 2,000. {side:,} x {side:,} pixels, {CLASSES} classes, tiles of 256 pixels, {machine()}."
    return "\n".join([*lines, "", goal])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs=2, default=[1_000, 19_800], help="training images in the two cases")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="measure one large image instead")
    parser.add_argument("--side", type=int, default=10_000, help="of the large image, pixels")
    args = parser.parse_args()
    if args.whole:
        text = whole(args.side)
        print(text)
        if args.side == parser.get_default("side"):
            write_section("whole", text)
        return
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
