"""Peak memory of training on large images, whole and in tiles, on enlarged brain MRI.

    python benchmarks/tiles.py                         sides of 512, 1024 and 2048 px; some minutes on 2 cores

All layer groups train (`strategy=full`) on two batches of two images. Each case runs in its own process, whose peak
resident memory (ru_maxrss) is reported. Whole images of 2048 px need a machine with 24 GiB. Writes docs/results.md.
Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import argparse

from memory import peaks
from real_sets import DATA
from report import machine, write_section

TILE = 256


def case(side: int, tile: int | None) -> list[str]:
    own = ["dataset=folder", f"dataset.root={DATA / 'brain_tumor_mri'}", "dataset.name=mri", "dataset.num_workers=0"]
    own += ["strategy=full", "strategy.stages.0.epochs=1", "trainer.limit_batches=2", "dataset.batch_size=2"]
    return [*own, f"dataset.image_size={side}", f"task.tile_size={tile or 'null'}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024, 2048], help="pixels")
    args = parser.parse_args()
    lines = ["| side, pixels | pixels an image | whole, GB | in tiles of 256, GB |", "| ---: | ---: | ---: | ---: |"]
    for side in args.sides:
        whole, tiles = (max(peaks(case(side, tile))) / 1024 for tile in (None, TILE))
        lines.append(f"| {side} | {side**2 / 1e6:.1f} million | {whole:.1f} | {tiles:.1f} |")
        print(lines[-1], flush=True)
    lines += ["", f"EfficientNet-Lite0, all layer groups, batches of 2, {machine()}."]
    write_section("tiles", "\n".join(lines))


if __name__ == "__main__":
    main()
