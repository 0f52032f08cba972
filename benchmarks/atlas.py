"""`tlx atlas` on real sets: two networks with ImageNet weights, side by side.

    python benchmarks/atlas.py                     three sets of at most 2,000 images; minutes
    python benchmarks/atlas.py --sets usps         some of them; writes nothing

EfficientNet-Lite0 and MobileNetV2 (a file of weights in TLX_TEST_DATA). The images of benchmarks/audit.py, with their
own labels. Writes docs/results.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from audit import SETS, images_of
from real_sets import DATA
from report import machine, write_section

import tlx

SIDES = {"hymenoptera": 96, "usps": 64, "plate_letters": 64}  # of the inputs, in pixels
MOBILENET = DATA / "weights" / "mobilenet_v2" / "mobilenet_v2-torchvision-from-tf2ptq.pth"
BACKBONES = (
    ("backbone=efficientnet_lite0",),
    ("backbone=file", f"backbone.path={MOBILENET}", "backbone.architecture=mobilenet_v2", "backbone.name=mobilenet_v2"),
)


def rows_of(name: str) -> Iterator[str]:
    """Yield the rows of a set."""
    images, labels = images_of(name, 0, SIDES[name])
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.npz"
        kept = [np.flatnonzero(labels == label)[0] for label in np.unique(labels)]
        np.savez(path, train_images=images, train_labels=labels, test_images=images[kept], test_labels=labels[kept])
        data = (
            "dataset=arrays", f"dataset.path={path}", f"dataset.image_size={SIDES[name]}",
            f"output_dir={folder}", "dataset.num_workers=0",
        )  # fmt: skip
        began = time.monotonic()
        found = tlx.atlas(*(tlx.compose([*backbone, *data]) for backbone in BACKBONES))
        seconds = time.monotonic() - began
    title = f"{SETS[name].title}: {len(found.pool):,} images, {found.figure.replace('_', ' ')}, {seconds:.0f} s"
    best = found.best
    for row in found.whole:
        values = [found.at(row, share) for share in (0.25, 0.5)]
        cells = [f"{100 * one.value:.1f}" if one is not None else "-" for one in values]
        whole = f"{100 * row.value:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        gain = found.gain(row)
        gained = "-" if gain is None else f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        mark = "**" if row is best or row in found.as_good else ""
        about = [title, row.backbone, row.group, f"{row.width:,}"]
        yield "| " + " | ".join([*about, *cells, f"{mark}{whole}{mark}", gained]) + " |"
        title = ""


def main() -> None:
    """Print the table, and write it if all its sets were measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SIDES))
    names = parser.parse_args().sets.split(",")
    heads = ("set", "network", "layer group", "outputs", "a quarter", "a half", "all", "gained by the second half")
    lines = [f"| {' | '.join(heads)} |", "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    print("\n".join(lines), flush=True)
    for name in names:
        for row in rows_of(name):
            lines.append(row)
            print(row, flush=True)
    if names == [*SIDES]:
        note = f"%, 95 % intervals over images. Bold: not shown to be worse than the best of the set. {machine()}."
        write_section("atlas", "\n".join([*lines, "", note]))


if __name__ == "__main__":
    main()
