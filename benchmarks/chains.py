"""Chains of runs from ImageNet via a middle set to a target set with few labels, compared with direct transfer.

    python benchmarks/chains.py                         both chains, 5 seeds
    python benchmarks/chains.py --chains letters --seeds 2

Test accuracy on the target set, mean and standard deviation over seeds, and the number of classes whose rows of the
head were taken over by name. The seed determines the middle run, order, augmentation and the labelled images of the
target set. Two runs at a time, one thread each. Started again, it skips finished runs (--output). Writes
docs/results.md. Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from real_sets import DATA, chosen
from report import machine, write_section
from seeds import accuracies, mean_and_sd, one_run, options, outcomes, two_at_a_time

COMMON = (
    "dataset.image_size=64", "dataset.batch_size=32", "dataset.num_workers=0", "logger=none", "trainer.devices=1",
)  # fmt: skip
LITE0 = "backbone=efficientnet_lite0"


@dataclass(frozen=True)
class Chain:
    """A middle set and a target set.

    Args:
        middle: Title of the middle set.
        target: Title of the target set.
        middle_set: Overrides of the middle set.
        target_set: Overrides of the target set.
        epochs: Epochs on the target set.
    """

    middle: str
    target: str
    middle_set: tuple[str, ...]
    target_set: tuple[str, ...]
    epochs: int


def chains() -> dict[str, Chain]:
    no_flip = "dataset.horizontal_flip=false"
    mri = ("dataset=folder", f"dataset.root={DATA / 'brain_tumor_mri'}", "dataset.name=mri", "dataset.augment=affine")
    plates = (*chosen("dataset", "plate_letters"), no_flip)
    letters = (*chosen("dataset", "notmnist"), no_flip, "dataset.labels_per_class=200", "dataset.val_fraction=0.05")
    return {
        "letters": Chain("notMNIST, A to J", "characters of plates", letters, plates, 10),
        "medical": Chain("blood cells, 3 kinds", "brain MRI", (*chosen("dataset", "blood_cells"),), mri, 60),
    }


def middle(chain: Chain, seed: int, output: Path) -> list[str]:
    own = [LITE0, *chain.middle_set, "strategy=full", "strategy.stages.0.epochs=4"]
    return [*own, *COMMON, f"seed={seed}", f"output_dir={output}"]


def target(chain: Chain, start: list[str], seed: int, output: Path) -> list[str]:
    few = ["dataset.labels_per_class=10", "dataset.val_fraction=0.1"]
    own = [*start, *chain.target_set, *few, "strategy=full", f"strategy.stages.0.epochs={chain.epochs}"]
    return [*own, *COMMON, f"seed={seed}", f"output_dir={output}"]


def measure(chain: Chain, seeds: range, output: Path) -> tuple[list[float], list[float], int]:
    """Return accuracies from ImageNet, accuracies from the middle run, and the number of classes taken over by name."""
    with two_at_a_time() as pool:
        middles = [run for _, run in pool.map(one_run, [middle(chain, seed, output) for seed in seeds])]

        def job(path: str, seed: int) -> list[str]:
            start = [LITE0] if path == "direct" else ["backbone=run", f"backbone.run={middles[seed]}"]
            return target(chain, start, seed, output)

        runs = outcomes(pool, ("direct", "chain"), seeds, job)
    model = json.loads((Path(runs["chain"][0][1]) / "model.json").read_text(encoding="utf-8"))
    return accuracies(runs["direct"]), accuracies(runs["chain"]), len(model["carried"]["classes"])


def main() -> None:
    args = options(__doc__, "chains", ("letters", "medical"), "chains").parse_args()
    table = ["| middle | target, 10 labels a class | epochs | directly, % | via the middle, % | classes by name |"]
    table.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in args.chains:
        chain = chains()[name]
        direct, via, classes = measure(chain, range(args.seeds), args.output)
        cells = [chain.middle, chain.target, str(chain.epochs), mean_and_sd(direct), mean_and_sd(via), str(classes)]
        table.append(f"| {' | '.join(cells)} |")
        print(table[-1], flush=True)
    how = f"`full`, 64 px; {args.seeds} seeds. {machine()}, two runs at a time, one thread each."
    write_section("chains", "\n".join([*table, "", how]))


if __name__ == "__main__":
    main()
