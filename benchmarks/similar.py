"""Near duplicates: what `tlx check` finds in sets of which it is known which pictures show the same thing.

    python benchmarks/similar.py                        all sets, up to 300 pictures of each
    python benchmarks/similar.py --sets bees,digits     some of them
    python benchmarks/similar.py --pages /tmp/pages     also writes the groups of each set as a picture
    python benchmarks/similar.py --thumbnails 20000     only how long it takes to compare so many thumbnails

`six shots` are photographs of which six shots each are made: shifted, turned by up to 6 degrees, enlarged, of another
brightness and contrast, blurred, saved as JPEG. Other sets hold no shots; what is found there is false, or a real near
duplicate: look at --pages. Small drawings are enlarged to 96 pixels, since smaller images are not compared at all.
Prints a table and writes it to docs/datasets.md. Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from real_sets import DATA
from report import ROOT, machine, write_section

from tlx.data.reading.facts import examine
from tlx.data.splits.shots import shot_pairs
from tlx.data.splits.similar import similar_pairs
from tlx.data.splits.similar_groups import linked
from tlx.measures.page import Block, Shown, as_picture, fitted

SHOTS, MOST, ENLARGED = 6, 300, 96
Named = tuple[Image.Image, int | None]  # a picture, and the number of the thing it shows; None: one of its own


def shot(picture: Image.Image, number: int, random: random.Random) -> Image.Image:
    """Return a picture as another shot of the same thing."""
    width, height = picture.size
    shift = random.uniform(-0.05, 0.05) * width, random.uniform(-0.05, 0.05) * height
    turned = picture.rotate(random.uniform(-6, 6), Image.Resampling.BICUBIC, translate=shift)
    wide, high = (side / random.uniform(1.12, 1.3) for side in (width, height))
    left, top = (width - wide) / 2, (height - high) / 2
    cut = turned.crop((int(left), int(top), int(left + wide), int(top + high)))
    cut = ImageEnhance.Brightness(cut).enhance(random.uniform(0.8, 1.2))
    cut = ImageEnhance.Contrast(cut).enhance(random.uniform(0.85, 1.15))
    if number % 3 == 2:
        cut = cut.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 1.5)))
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=random.choice([95, 75, 50]))
    return Image.open(buffer)


def files(folder: str, pattern: str, most: int) -> Iterator[Image.Image]:
    """Yield images of a folder, evenly spaced."""
    found = sorted((DATA / folder).rglob(pattern))
    for path in found[:: max(1, len(found) // most)][:most]:
        yield Image.open(path).convert("RGB")


def zipped(folder: str, most: int) -> Iterator[Image.Image]:
    """Yield images of the first archive of a folder, evenly spaced, enlarged."""
    with zipfile.ZipFile(sorted((DATA / folder).rglob("*.zip"))[0]) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".png", ".jpg", ".bmp")))
        for name in names[:: max(1, len(names) // most)][:most]:
            yield enlarged(Image.open(io.BytesIO(archive.read(name))))


def enlarged(picture: Image.Image) -> Image.Image:
    """Return a picture of 96 pixels, grey or in colours."""
    mode = picture.mode if picture.mode in ("L", "RGB") else "L"
    return picture.convert(mode).resize((ENLARGED, ENLARGED), Image.Resampling.BICUBIC)


def digits(most: int) -> Iterator[Image.Image]:
    """Yield scikit-learn's digits, enlarged."""
    from sklearn.datasets import load_digits

    for image in load_digits().images[:most]:
        yield enlarged(Image.fromarray((image * 15).astype(np.uint8)))


def six_shots(pictures: Iterator[Image.Image]) -> Iterator[Named]:
    """Yield six shots of each picture."""
    draw = random.Random(0)
    for thing, picture in enumerate(pictures):
        picture.thumbnail((400, 400))
        for number in range(SHOTS):
            yield shot(picture, number, draw), thing


def alone(pictures: Iterator[Image.Image]) -> Iterator[Named]:
    """Yield pictures of which each shows something else."""
    return ((picture, None) for picture in pictures)


SETS: dict[str, tuple[str, Callable[[int], Iterator[Named]]]] = {
    "bees": ("ants and bees, six shots", lambda most: six_shots(files("hymenoptera", "*.jpg", most // SHOTS))),
    "raccoons": ("raccoons, six shots", lambda most: six_shots(files("raccoon", "*.jpg", most // SHOTS))),
    "cells": ("white cells, six shots", lambda most: six_shots(files("wbc_seg", "*.bmp", most // SHOTS))),
    "bees_alone": ("ants and bees", lambda most: alone(files("hymenoptera", "*.jpg", most))),
    "raccoons_alone": ("raccoons", lambda most: alone(files("raccoon", "*.jpg", most))),
    "cells_alone": ("white cells", lambda most: alone(files("wbc_seg", "*.bmp", most))),
    "blood": ("blood smears", lambda most: alone(files("bccd", "*.jpg", most))),
    "brains": ("brain scans", lambda most: alone(files("brain_tumor_mri", "*.jpg", most))),
    "digits": ("scikit-learn's digits, enlarged", lambda most: alone(digits(most))),
    "mnist": ("MNIST, enlarged", lambda most: alone(zipped("mnist_png", most))),
    "plates": ("characters of plates, enlarged", lambda most: alone(zipped("plate_chars", most))),
    "omniglot": ("Omniglot, enlarged", lambda most: alone(zipped("omniglot_small", most))),
    "cifar": ("CIFAR-10, enlarged", lambda most: alone(zipped("cifar10_jpg", most))),
}


def picture_at(path: Path) -> np.ndarray:
    """Return a picture in a size to look at, uint8 (H, W, 3)."""
    return fitted(np.asarray(Image.open(path).convert("RGB")), 160)


def row(title: str, pictures: Iterator[Named], folder: Path, page: Path | None) -> str:
    """Write the pictures of a set, compare them, and return the row of the table."""
    paths, things = {}, []
    for i, (picture, thing) in enumerate(pictures):
        paths[i] = folder / f"{i}.png"
        picture.save(paths[i])
        things.append(f"alone {i}" if thing is None else str(thing))
    facts = [examine(str(path)) for path in paths.values()]
    keys, thumbnails = [bytes.fromhex(fact.key or "") for fact in facts], [fact.thumbnail for fact in facts]
    same = similar_pairs(keys, thumbnails)
    began = time.monotonic()
    pairs = [*same, *shot_pairs(paths, keys, thumbnails)]
    seconds = time.monotonic() - began
    groups = linked(keys, pairs)
    if page is not None and groups:
        cells = [
            [Shown(str(i), fitted(np.asarray(Image.open(paths[i]).convert("RGB")), 160)) for i in g] for g in groups
        ]
        Image.fromarray(as_picture([Block(title, pictures=[cell[:8] for cell in cells[:40]])], 160)).save(page)
    wanted = sum(1 for thing in set(things) if things.count(thing) > 1)
    whole = sum(len({things[i] for i in g}) == 1 and len(g) == things.count(things[g[0]]) for g in groups)
    false = sum(len({things[i] for i in group}) > 1 for group in groups)
    by_hash = sum(things[pair.one] == things[pair.other] for pair in same)
    cells = (
        title,
        len(paths),
        wanted or "none",
        f"{whole} of {wanted}" if wanted else "",
        by_hash if wanted else "",
        false,
    )
    return "| " + " | ".join(map(str, cells)) + f" | {1000 * seconds / len(paths):.0f} |"


def seconds_to_compare(number: int) -> float:
    """Return how long it takes to compare the thumbnails of different smooth pictures, in seconds."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (number, 4, 4), dtype=np.uint8)
    grey = [np.asarray(Image.fromarray(one).resize((16, 16), Image.Resampling.BICUBIC)) for one in coarse]
    texts = [f"100x70 {one.tobytes().hex()}" for one in grey]
    began = time.monotonic()
    similar_pairs([i.to_bytes(16, "big") for i in range(number)], texts)
    return time.monotonic() - began


def main() -> None:
    """Print the table, and write it if all sets are in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--most", type=int, default=MOST, help="pictures of a set")
    parser.add_argument("--pages", type=Path, help="a folder for pictures of the groups")
    parser.add_argument("--thumbnails", type=int, help="compare only so many thumbnails, and print the seconds")
    known = parser.parse_args()
    if known.thumbnails is not None:
        print(f"{known.thumbnails:,} thumbnails: {seconds_to_compare(known.thumbnails):.1f} s")
        return
    lines = [
        "| pictures | number | groups | found whole | pairs by the thumbnails alone | other groups | ms a picture |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    for name in known.sets.split(","):
        title, pictures = SETS[name]
        with tempfile.TemporaryDirectory() as folder:
            page = None if known.pages is None else known.pages / f"{name}.png"
            lines.append(row(title, pictures(known.most), Path(folder), page))
            print(lines[-1], flush=True)
    if known.sets == ",".join(SETS):
        text = "\n".join([*lines, "", f"{machine()}; `benchmarks/similar.py --most {known.most}`."])
        write_section("similar", text, ROOT / "docs" / "datasets.md")


if __name__ == "__main__":
    main()
