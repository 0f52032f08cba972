"""The effect of decoding JPEGs at a reduced size on a network's input and on the speed of reading.

    python benchmarks/decoding.py                      photographs of ../shared/data
    python benchmarks/decoding.py ~/photographs ...    your own

Differences: each photograph is decoded at a half, a quarter and an eighth of its size, if its sides are divisible by
that, and resized by the given factor. At 2 the decoded image is twice as large as the resized one, the minimum that tlx
allows. Speed: decoding and transforming the largest photographs in one process with one thread. Photographs of less
than 5 million pixels are enlarged to 4000 x 3000 first.
"""

from __future__ import annotations

import argparse
import io
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from tlx.backbones.preprocessing import Preprocessing
from tlx.data.augmentation.transforms import eval_transform, needed_side, train_transform
from tlx.data.reading.images import read_image

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"
PHOTOGRAPHS = ("hymenoptera", "raccoon", "photos_coral")
FACTORS = (1.0, 1.5, 2.0, 3.0)
CROP = 0.875
SMALLEST = 24  # minimum side in pixels of the compared inputs
CAMERA = (4000, 3000)


def preprocessing(size: int, interpolation: str, crop: float = CROP) -> Preprocessing:
    return Preprocessing(size, (0.5,) * 3, (0.5,) * 3, interpolation, crop)


def inputs(path: Path, factor: float, interpolation: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the network's input (3, size, size) from the full and the reduced image, for each possible reduction."""
    full = read_image(path)
    side = min(full.shape[1:])
    for by in (2, 4, 8):
        reduced = read_image(path, min_side=max(1, side // by))
        resized = round(side / by / factor)
        size = round(resized * CROP)
        if reduced.shape[1] * by != full.shape[1] or size < SMALLEST:
            continue
        transform = eval_transform(preprocessing(size, interpolation, size / resized))
        yield transform(full), transform(reduced)


def row(pairs: Sequence[tuple[Tensor, Tensor]]) -> str:
    differences = [(a.float() - b.float()).abs() for a, b in pairs]
    means = [d.mean().item() for d in differences]
    values = torch.cat([d.flatten() for d in differences])
    rare = values[:: max(1, len(values) // 2**22)].sort().values
    return (
        f"{sum(means) / len(means):.2f} | {max(means):.2f} | {rare[int(0.999 * len(rare))].item():.0f} "
        f"| {values.max().item():.0f} | {len(pairs)} |"
    )


def differences(paths: Sequence[Path]) -> None:
    print("Difference from the input of an image decoded in full, in grey levels of 256:\n")
    print("| factor | resizing | mean | mean of the worst image | 99.9 % are under | max | inputs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for interpolation in ("bilinear", "bicubic"):
        for factor in FACTORS:
            pairs = [pair for path in paths for pair in inputs(path, factor, interpolation)]
            print(f"| {factor:g} | {interpolation} | {row(pairs)}", flush=True)
    pairs = []
    for path in paths:
        linear, cubic = inputs(path, 2.0, "bilinear"), inputs(path, 2.0, "bicubic")
        pairs += [(a, b) for (a, _), (b, _) in zip(linear, cubic, strict=True)]
    print(f"| decoded in full | bicubic instead of bilinear | {row(pairs)}\n")


def large(paths: Sequence[Path], folder: Path, count: int) -> list[Path]:
    """Write the largest photographs at the size of a camera's images and return their paths."""
    found = []
    for path in sorted(paths, key=lambda p: -p.stat().st_size)[:count]:
        with Image.open(path) as image:
            if image.width * image.height >= 5_000_000:
                data = path.read_bytes()
            else:
                sides = CAMERA if image.width >= image.height else CAMERA[::-1]
                buffer = io.BytesIO()
                image.convert("RGB").resize(sides, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
                data = buffer.getvalue()
        found.append(folder / f"{len(found)}.jpg")
        found[-1].write_bytes(data)
    return found


def speed(paths: Sequence[Path], size: int) -> None:
    print(f"Images per second, {len(paths)} large photographs, input of {size} pixels:\n")
    print("| | full | reduced | speed-up |")
    print("| --- | --- | --- | --- |")
    for augment in ("none", "light", "strong"):
        how = preprocessing(size, "bilinear")
        transform = train_transform(how, augment, True)
        best = {}
        for min_side in (None, needed_side(how, augment)) * 2:  # each twice, in turn
            start = time.perf_counter()
            for path in paths:
                transform(read_image(path, min_side=min_side))
            best[min_side] = max(best.get(min_side, 0.0), len(paths) / (time.perf_counter() - start))
        full, reduced = best.values()
        what = "evaluation" if augment == "none" else f"`augment={augment}`"
        print(f"| {what} | {full:.1f} | {reduced:.1f} | {reduced / full:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="JPEGs at any depth")
    parser.add_argument("--most", type=int, default=200, help="maximum number of photographs to compare")
    parser.add_argument("--large", type=int, default=24, help="number of photographs for the speed")
    parser.add_argument("--size", type=int, default=224, help="side of the input for the speed, in pixels")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folders = args.folders or [SHARED / name for name in PHOTOGRAPHS]
    paths = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})
    if not paths:
        parser.error(f"no JPEGs in {', '.join(map(str, folders))}")
    some = paths[:: max(1, len(paths) // args.most)][: args.most]
    print(f"{len(some)} photographs; {platform.processor() or platform.machine()}, torch {torch.__version__}\n")
    differences(some)
    with tempfile.TemporaryDirectory() as folder:
        speed(large(paths, Path(folder), args.large), args.size)


if __name__ == "__main__":
    main()
