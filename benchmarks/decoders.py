"""Decoders of JPEG compared: milliseconds of decoding, images a second with the transform, difference from Pillow.

    python benchmarks/decoders.py                      into docs/results.md; a minute on 2 cores
    python benchmarks/decoders.py --images 20

Files are those of benchmarks/reading.py, read from the system's cache. One process with one thread decodes them to RGB
and, for the images a second, augments as `dataset.augment=light` does for an input of 224 px. `reduced` decodes at the
size that tlx asks for, see `dataset.decode`. Decoders take turns, three rounds; the fastest round of each counts.
Seconds are those of the processor, which other work disturbs less. A decoder that is not installed, or does not run
here, has a row that says so.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from reading import FILES, INPUT, write_files
from report import machine, write_section

from tlx.backbones.preprocessing import Preprocessing
from tlx.data.augmentation.transforms import needed_side, train_transform
from tlx.data.reading.pixels import read_pixels, reduction

Decode = Callable[[Path], torch.Tensor]  # from a file to uint8 (H, W, 3)
ROUNDS = 3
HOW = Preprocessing(INPUT, (0.5,) * 3, (0.5,) * 3)
LEAST = needed_side(HOW, "light")


def pillow(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_pixels(path))


def pillow_reduced(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_pixels(path, min_side=LEAST))


def torchvision() -> Decode:
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    return lambda path: decode_jpeg(read_file(str(path)), ImageReadMode.RGB).permute(1, 2, 0)


def simplejpeg(reduced: bool) -> Decode:
    from simplejpeg import decode_jpeg, decode_jpeg_header

    def decode(path: Path) -> torch.Tensor:
        content = path.read_bytes()
        least = {}
        if reduced:
            height, width, *_ = decode_jpeg_header(content)
            by = reduction(width, height, LEAST)
            least = {"min_height": height // by, "min_width": width // by}
        return torch.from_numpy(decode_jpeg(content, "RGB", fastdct=False, fastupsample=False, **least))

    return decode


def pyturbojpeg() -> Decode:
    from turbojpeg import TJPF_RGB, TurboJPEG

    library = TurboJPEG()
    return lambda path: torch.from_numpy(library.decode(path.read_bytes(), pixel_format=TJPF_RGB))


def torchcodec() -> Decode:
    from torchcodec.decoders import decode_image

    return lambda path: decode_image(str(path)).permute(1, 2, 0)


MADE: dict[str, Callable[[], Decode]] = {
    "Pillow": lambda: pillow,
    "Pillow, reduced": lambda: pillow_reduced,
    "torchvision.io.decode_jpeg": torchvision,
    "simplejpeg": partial(simplejpeg, False),
    "simplejpeg, reduced": partial(simplejpeg, True),
    "PyTurboJPEG": pyturbojpeg,
    "torchcodec": torchcodec,
}


def seconds(work: Callable[[Path], object], paths: Sequence[Path]) -> float:
    start = time.process_time()
    for path in paths:
        work(path)
    return (time.process_time() - start) / len(paths)


def rows(side: int, images: int) -> list[str]:
    """Return the rows of the table for files of one size."""
    transform = train_transform(HOW, "light", True)
    decoders: dict[str, Decode] = {}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), side)[:images]
        for name, make in MADE.items():
            try:
                decoders[name] = make()
                decoders[name](paths[0])
            except Exception as error:  # a missing package or library: whatever an import raises
                decoders.pop(name, None)
                missing[name] = " ".join(str(error).split())[:80] or type(error).__name__
        best = {name: [float("inf")] * 2 for name in decoders}
        for _ in range(ROUNDS):
            for name, decode in decoders.items():
                whole = lambda path, decode=decode: transform(decode(path).permute(2, 0, 1))  # noqa: E731
                found = seconds(decode, paths), seconds(whole, paths)
                best[name] = [min(pair) for pair in zip(best[name], found, strict=True)]
        apart = {name: difference(name, decode, paths[:10]) for name, decode in decoders.items()}
    lines = []
    for name in MADE:
        if name in missing:
            lines.append(f"| {side:,} px | {name} | does not run: {missing[name]} | | |")
        else:
            alone, both = best[name]
            lines.append(f"| {side:,} px | {name} | {1000 * alone:.1f} | {1 / both:.0f} | {apart[name]} |")
    return lines


def difference(name: str, decode: Decode, paths: Sequence[Path]) -> str:
    """Return the mean and the largest difference from Pillow at the same size, in levels of 256."""
    own = pillow_reduced if name.endswith("reduced") else pillow
    pairs = [(decode(path).numpy().astype(int), own(path).numpy().astype(int)) for path in paths]
    apart = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
    return f"{apart.mean():.2f}, {apart.max()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16, help="files of each size (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = ["| files | decoder | decoding, ms | with the transform, images a second | levels from Pillow: mean, max |"]
    lines.append("| --- | --- | ---: | ---: | ---: |")
    for side in FILES:
        lines += rows(side, args.images)
    text = "\n".join([*lines, "", f"Pillow {Image.__version__}. {machine()}."])
    print(text)
    write_section("decoders", text)


if __name__ == "__main__":
    main()
