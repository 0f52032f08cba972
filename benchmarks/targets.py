"""Compare transfer with training from scratch, by number of labels: from the digits 0 to 4 to another task.

    python benchmarks/targets.py                                  all rows, 5 seeds
    python benchmarks/targets.py --rows digits_5to9 --seeds 3

Similar domain, new task: the digits 5 to 9 of the same set. New domain, new task: letters drawn by tlx, letters of
notMNIST, characters of Omniglot. (New domain, same task: benchmarks/domains.py.) A row is an experiment of
conf/experiment with its source. Each cell is the test accuracy, mean and standard deviation over seeds. The seed
determines weights, order, augmentation and the labelled images. Two runs at a time, one thread each. Started again, it
skips finished runs (--output). Writes docs/results.md and docs/labels.png. Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from real_sets import chosen
from report import ROOT, machine, write_section
from seeds import accuracies, mean_and_sd, one_run, options, outcomes, two_at_a_time

from tlx import compose

COMMON = (
    "dataset.batch_size=64", "dataset.horizontal_flip=false", "dataset.num_workers=0", "logger=none",
    "trainer.devices=1",
)  # fmt: skip
METHODS = {"transfer": "#4878a8", "scratch": "#b0603c"}  # method -> colour


@dataclass(frozen=True)
class Row:
    """A source set, of which the digits 0 to 4 are learned, and a target set.

    Args:
        source: Name of the source set.
        target: Name of the target set.
        classes: Classes of the target set; None: all.
        epochs: Number of labels per class (None: all) -> epochs.
        val: Fraction of the training images for validation if labels are few.
    """

    source: str
    target: str
    classes: list[int] | None
    epochs: dict[int | None, int]
    val: float = 0.02


HIGH = [5, 6, 7, 8, 9]
FEW: dict[int | None, int] = {1: 200, 5: 200, 10: 200, 50: 50}
ROWS = {
    "digits_5to9": Row("digits", "digits", HIGH, FEW | {None: 40}, val=0.2),
    "usps_5to9": Row("usps", "usps", HIGH, FEW | {None: 10}),
    "mnist_5to9": Row("mnist", "mnist", HIGH, FEW | {None: 8}),
    "digits_to_letters": Row("digits", "letters", None, {1: 200, 10: 200}),
    "mnist_to_letters": Row("mnist", "letters", None, {1: 200, 10: 200}),
    "mnist_to_notmnist": Row("mnist", "notmnist", None, {1: 200, 10: 200, None: 6}),
    "mnist_to_omniglot": Row("mnist", "omniglot", None, {1: 120, 10: 40}, val=0.1),
}


def source(row: Row, seed: int, output: Path) -> list[str]:
    own = chosen("dataset", row.source, [0, 1, 2, 3, 4])
    return [f"experiment={row.source}_0to4", *own, *COMMON, f"seed={seed}", f"output_dir={output}"]


def target(name: str, method: str, labels: int | None, run: str, seed: int, output: Path) -> list[str]:
    """Return the overrides of the experiment, with the backbone of the source run, or the same network from scratch."""
    row = ROWS[name]
    if method == "transfer":
        start = [f"backbone.run={run}"]
    else:
        width = compose(source(row, seed, output)).backbone.width
        start = ["backbone=small_cnn", f"backbone.width={width}", "strategy=scratch"]
    few = [f"dataset.labels_per_class={'null' if labels is None else labels}"]
    few += [f"dataset.val_fraction={0.2 if labels is None else row.val}"]
    few += [f"strategy.stages.0.epochs={row.epochs[labels]}"]
    own = [*chosen("dataset", row.target, row.classes), *COMMON, *start, *few]
    return [f"experiment={name}", *own, f"seed={seed}", f"output_dir={output}"]


def measure(name: str, seeds: range, output: Path) -> dict[str, dict[int | None, list[float]]]:
    """Return method -> labels per class -> test accuracies."""
    row = ROWS[name]
    with two_at_a_time() as pool:
        sources = [run for _, run in pool.map(one_run, [source(row, seed, output) for seed in seeds])]

        def job(cell: tuple[int | None, str], seed: int) -> list[str]:
            return target(name, cell[1], cell[0], sources[seed], seed, output)

        runs = outcomes(pool, itertools.product(row.epochs, METHODS), seeds, job)
    return {method: {labels: accuracies(runs[labels, method]) for labels in row.epochs} for method in METHODS}


def draw(results: dict[str, dict[str, dict[int | None, list[float]]]]) -> None:
    """Draw docs/labels.png: accuracy over the number of labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = 4
    rows = math.ceil(len(results) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 3 * rows), squeeze=False, sharey=True)
    for axis in axes.flat[len(results) :]:
        axis.axis("off")
    for axis, (name, scores) in zip(axes.flat, results.items(), strict=False):
        for method, cells in scores.items():
            means = [100 * statistics.mean(s) for s in cells.values()]
            sds = [100 * statistics.stdev(s) if len(s) > 1 else 0.0 for s in cells.values()]
            style = {"label": method, "color": METHODS[method], "capsize": 3, "marker": "o"}
            axis.errorbar(range(len(means)), means, yerr=sds, **style)
        axis.set_xticks(range(len(cells)), [str(n) if n else "all" for n in cells])
        axis.set_title(name.replace("_", " "), fontsize=9)
        axis.set_xlabel("labels a class")
        axis.spines[["top", "right"]].set_visible(False)
    for row in axes:
        row[0].set_ylabel("test accuracy, %")
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "labels.png", dpi=110)


def main() -> None:
    args = options(__doc__, "rows", ROWS, "targets").parse_args()
    table = ["| experiment | method | 1 | 5 | 10 | 50 | all |", "| --- | --- |" + " ---: |" * 5]
    results = {}
    for name in args.rows:
        results[name] = measure(name, range(args.seeds), args.output)
        for method, scores in results[name].items():
            cells = [mean_and_sd(scores[n]) if n in scores else "-" for n in (1, 5, 10, 50, None)]
            table.append(f"| `{name}` | {method} | {' | '.join(cells)} |")
            print(table[-1], flush=True)
    how = f"Columns: labels a class; {args.seeds} seeds. {machine()}, two runs at a time, one thread each."
    write_section("targets", "\n".join([*table, "", "![Accuracy over labels](labels.png)", "", how]))
    draw(results)


if __name__ == "__main__":
    main()
