"""Chains of runs, ImageNet to a middle set to a target with few labels, against ImageNet to the target at once.

    python benchmarks/chains.py                         both chains, 5 seeds
    python benchmarks/chains.py --chains letters --seeds 2

Test accuracy on the target, mean and standard deviation over seeds, and how many classes of the head came over by name.
A seed decides the middle run, order, augmentation and which images of the target have labels. Two runs at a time, one
thread each; started again it goes on where it stopped (--output). Writes docs/results.md. Data: TLX_TEST_DATA, see the
tests.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from real_sets import CACHE, DATA, chosen
from report import machine, write_section
from seeds import one_run, spread, two_at_a_time

COMMON = ("dataset.image_size=64", "dataset.num_workers=0", "logger=none", "trainer.devices=1")
LITE0 = "backbone=efficientnet_lite0"


@dataclass(frozen=True)
class Chain:
    """A middle set and a target, each as it stands in the table and as overrides."""

    middle: str
    target: str
    learn: tuple[str, ...]
    few: tuple[str, ...]


def chains() -> dict[str, Chain]:
    still = "dataset.horizontal_flip=false"
    mri = ("dataset=folder", f"dataset.root={DATA / 'brain_tumor_mri'}", "dataset.name=mri", "dataset.augment=affine")
    plates = (*chosen("dataset", "plate_letters"), still)
    letters = (*chosen("dataset", "notmnist"), still, "dataset.labels_per_class=200", "dataset.val_fraction=0.05")
    return {
        "letters": Chain("notMNIST, A to J", "characters of plates", letters, plates),
        "medical": Chain("blood cells, 3 kinds", "brain MRI", (*chosen("dataset", "blood_cells"),), mri),
    }


def arguments(chain: Chain, way: str, middle: str | None, seed: int, output: Path) -> list[str]:
    """The middle run; or the target's, from ImageNet or from the middle run."""
    if way == "middle":
        own = [LITE0, *chain.learn, "strategy=full", "strategy.stages.0.epochs=4"]
    else:
        start = [LITE0] if middle is None else ["backbone=run", f"backbone.run={middle}"]
        few = ["dataset.labels_per_class=10", "dataset.val_fraction=0.1"]
        own = [*start, *chain.few, *few, "strategy=full", "strategy.stages.0.epochs=10"]
    return [*own, *COMMON, f"seed={seed}", f"output_dir={output}"]


def measure(chain: Chain, seeds: range, output: Path) -> tuple[list[float], list[float], int]:
    """Return accuracies from ImageNet, from the middle run, and the classes that came over by name."""
    with two_at_a_time() as pool:
        middles = [run for _, run in pool.map(one_run, [arguments(chain, "middle", None, s, output) for s in seeds])]
        starts = [*[(None, s) for s in seeds], *zip(middles, seeds, strict=True)]
        found = list(pool.map(one_run, [arguments(chain, "target", m, s, output) for m, s in starts]))
    scores = [metrics["test/accuracy"] for metrics, _ in found]
    told = json.loads((Path(found[-1][1]) / "model.json").read_text(encoding="utf-8"))
    return scores[: len(seeds)], scores[len(seeds) :], len(told["carried"]["classes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=lambda text: text.split(","), default=["letters", "medical"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=CACHE / "chains")
    args = parser.parse_args()
    table = ["| middle | target, 10 labels a class | ImageNet, % | over the middle, % | classes by name |"]
    table.append("| --- | --- | ---: | ---: | ---: |")
    for name in args.chains:
        chain = chains()[name]
        straight, over, classes = measure(chain, range(args.seeds), args.output)
        table.append(f"| {chain.middle} | {chain.target} | {spread(straight)} | {spread(over)} | {classes} |")
        print(table[-1], flush=True)
    how = (
        f"`full`, 64 px, 10 epochs on the target; {args.seeds} seeds. {machine()}, two runs at a time, one thread each."
    )
    write_section("chains", "\n".join([*table, "", how]))


if __name__ == "__main__":
    main()
