"""Chains of runs, ImageNet to a middle set to a target with few labels, against ImageNet to the target at once.

    python benchmarks/chains.py                         both chains, 5 seeds
    python benchmarks/chains.py --chains letters --seeds 2

Test accuracy on the target, mean and standard deviation over seeds, and how many classes of the head came over by name.
A seed decides the middle run, order, augmentation and which images of the target have labels. Two runs at a time, one
thread each; started again it goes on where it stopped (--output). Writes docs/results.md. Data: TLX_TEST_DATA, see the
tests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from real_sets import DATA, chosen
from report import machine, write_section
from seeds import accuracies, mean_and_sd, one_run, options, outcomes, two_at_a_time

COMMON = ("dataset.image_size=64", "dataset.num_workers=0", "logger=none", "trainer.devices=1")
LITE0 = "backbone=efficientnet_lite0"


@dataclass(frozen=True)
class Chain:
    """A middle set and a target, each as it stands in the table and as overrides; and epochs on the target."""

    middle: str
    target: str
    learn: tuple[str, ...]
    few: tuple[str, ...]
    epochs: int


def chains() -> dict[str, Chain]:
    still = "dataset.horizontal_flip=false"
    mri = ("dataset=folder", f"dataset.root={DATA / 'brain_tumor_mri'}", "dataset.name=mri", "dataset.augment=affine")
    plates = (*chosen("dataset", "plate_letters"), still)
    letters = (*chosen("dataset", "notmnist"), still, "dataset.labels_per_class=200", "dataset.val_fraction=0.05")
    return {
        "letters": Chain("notMNIST, A to J", "characters of plates", letters, plates, 10),
        "medical": Chain("blood cells, 3 kinds", "brain MRI", (*chosen("dataset", "blood_cells"),), mri, 60),
    }


def middle(chain: Chain, seed: int, output: Path) -> list[str]:
    own = [LITE0, *chain.learn, "strategy=full", "strategy.stages.0.epochs=4"]
    return [*own, *COMMON, f"seed={seed}", f"output_dir={output}"]


def target(chain: Chain, start: list[str], seed: int, output: Path) -> list[str]:
    few = ["dataset.labels_per_class=10", "dataset.val_fraction=0.1"]
    own = [*start, *chain.few, *few, "strategy=full", f"strategy.stages.0.epochs={chain.epochs}"]
    return [*own, *COMMON, f"seed={seed}", f"output_dir={output}"]


def measure(chain: Chain, seeds: range, output: Path) -> tuple[list[float], list[float], int]:
    """Return accuracies from ImageNet, from the middle run, and the classes that came over by name."""
    with two_at_a_time() as pool:
        middles = [run for _, run in pool.map(one_run, [middle(chain, seed, output) for seed in seeds])]

        def job(way: str, seed: int) -> list[str]:
            start = [LITE0] if way == "straight" else ["backbone=run", f"backbone.run={middles[seed]}"]
            return target(chain, start, seed, output)

        runs = outcomes(pool, ("straight", "over"), seeds, job)
    told = json.loads((Path(runs["over"][0][1]) / "model.json").read_text(encoding="utf-8"))
    return accuracies(runs["straight"]), accuracies(runs["over"]), len(told["carried"]["classes"])


def main() -> None:
    args = options(__doc__, "chains", ("letters", "medical"), "chains").parse_args()
    table = ["| middle | target, 10 labels a class | epochs | ImageNet, % | over the middle, % | classes by name |"]
    table.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in args.chains:
        chain = chains()[name]
        straight, over, classes = measure(chain, range(args.seeds), args.output)
        cells = [chain.middle, chain.target, str(chain.epochs), mean_and_sd(straight), mean_and_sd(over), str(classes)]
        table.append(f"| {' | '.join(cells)} |")
        print(table[-1], flush=True)
    how = f"`full`, 64 px; {args.seeds} seeds. {machine()}, two runs at a time, one thread each."
    write_section("chains", "\n".join([*table, "", how]))


if __name__ == "__main__":
    main()
