"""`tlx audit`: how many of the labels that were changed are among the first tenth of its ranking.

    python benchmarks/audit.py                     four sets, 3 seeds; minutes
    python benchmarks/audit.py --sets usps         some of them; writes nothing
    python benchmarks/audit.py --sets usps strategy=features strategy.groups=backbone     with more keys

The labels of 5 % of the images for training and validation are replaced by another class, drawn by the seed. Sets are
of at most 2,000 images, drawn by the seed as well, and their test images are not read. EfficientNet-Lite0 from
ImageNet. The sets have wrong labels of their own, which count against the ranking. Writes docs/results.md.
Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from real_sets import DATA, npz
from report import machine, write_section
from seeds import mean_and_sd

import tlx

FLIPPED, MOST, FIRST = 0.05, 2_000, 0.1
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Set:
    """A set of images; `folders` of class folders below TLX_TEST_DATA, or arrays of real_sets.py."""

    title: str
    size: int
    folder: str | None = None


SETS = {
    "hymenoptera": Set("ants and bees", 224, "hymenoptera/train"),
    "mri": Set("brain MRI, 4 classes", 96, "brain_tumor_mri/Training"),
    "usps": Set("USPS digits", 64),
    "plate_letters": Set("characters of plates, 34 classes", 64),
    "notmnist": Set("notMNIST, A to J", 64),
}
TABLED = ("hymenoptera", "mri", "usps", "plate_letters")


def images_of(name: str, seed: int, side: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return images of one size, uint8 (N, H, W) or (N, H, W, 3), and labels (N,); at most MOST, drawn by the seed.

    `side` is that of photographs in pixels; None: as in SETS.
    """
    one = SETS[name]
    if one.folder is not None:
        folders = sorted(path for path in (DATA / one.folder).iterdir() if path.is_dir())
        files = [(path, label) for label, folder in enumerate(folders) for path in sorted(folder.glob("*.jpg"))]
        size = (side or one.size,) * 2
        images = np.stack([np.asarray(Image.open(path).convert("RGB").resize(size)) for path, _ in files])
        labels = np.array([label for _, label in files])
    else:
        with np.load(npz(name)) as held:
            key = "" if "images" in held else "train_"
            images, labels = held[f"{key}images"], held[f"{key}labels"]
    some = np.random.default_rng(seed).permutation(len(labels))[:MOST]
    return images[some], labels[some]


def measured(name: str, seed: int, folder: Path, more: Sequence[str]) -> tuple[float, float, int, int]:
    """Return the recall in the first tenth, that of the labels marked as wrong, how many are marked, and images."""
    images, labels = images_of(name, seed)
    random = np.random.default_rng(1000 + seed)
    flipped = random.permutation(len(labels))[: round(FLIPPED * len(labels))]
    others = labels.copy()
    for i in flipped:
        others[i] = random.choice([label for label in np.unique(labels) if label != labels[i]])
    path = folder / f"{name}-{seed}.npz"
    # A test split of its own, so that every image with a known label is judged.
    kept = [np.flatnonzero(labels == label)[0] for label in np.unique(labels)]
    np.savez(path, train_images=images, train_labels=others, test_images=images[kept], test_labels=labels[kept])
    one = SETS[name]
    config = tlx.compose(
        [
            "dataset=arrays", f"dataset.path={path}", f"dataset.image_size={one.size}", "backbone=efficientnet_lite0",
            f"seed={seed}", f"output_dir={folder}", "dataset.num_workers=0", *more,
        ]
    )  # fmt: skip
    audit = tlx.audit(config)
    wrong = {int(i) for i in flipped}
    rows = [int(audit.pool.samples[row.position].source) for row in audit.table]
    first = {*rows[: round(FIRST * len(rows))]}
    marked = {at for at, row in zip(rows, audit.table, strict=True) if row.is_wrong}
    return len(wrong & first) / len(wrong), len(wrong & marked) / len(wrong), len(marked), len(rows)


def rows_of(names: list[str], more: Sequence[str]) -> Iterator[str]:
    """Yield the rows of the table."""
    for name in names:
        began = time.monotonic()
        with TemporaryDirectory() as folder:
            found = [measured(name, seed, Path(folder), more) for seed in SEEDS]
        first, marked = ([one[i] for one in found] for i in (0, 1))
        count, images = (round(statistics.mean(one[i] for one in found)) for i in (2, 3))
        yield (
            f"| {SETS[name].title} | {images:,} | {mean_and_sd(first)} | {count:,} | {mean_and_sd(marked)} | "
            f"{(time.monotonic() - began) / len(SEEDS):.0f} s |"
        )


def main() -> None:
    """Print the table, and write it if all its sets were measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(TABLED), help=f"some of {', '.join(SETS)}")
    parser.add_argument("more", nargs="*", help="more keys, such as strategy=features strategy.groups=backbone")
    known = parser.parse_args()
    names = known.sets.split(",")
    heads = (
        "set", "images", "changed labels in the first tenth, %", "marked as wrong", "of the changed ones, %",
        "whole command",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    print("\n".join(lines), flush=True)
    for row in rows_of(names, known.more):
        lines.append(row)
        print(row, flush=True)
    if names == [*TABLED] and not known.more:
        note = f"5 % of the labels changed, {len(SEEDS)} seeds. {machine()}, one thread."
        write_section("audit", "\n".join([*lines, "", note]))


if __name__ == "__main__":
    main()
