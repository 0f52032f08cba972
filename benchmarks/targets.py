"""Transfer against scratch over the number of labels: from a classifier of the digits 0 to 4 to another task.

    python benchmarks/targets.py                                  all rows, 5 seeds
    python benchmarks/targets.py --rows digits_5to9 --seeds 3

Similar domain, new task: the digits 5 to 9 of the same set. New domain, new task: letters drawn by tlx, letters of
notMNIST, characters of Omniglot. (New domain, same task: benchmarks/domains.py.) Each cell is test accuracy, mean and
standard deviation over seeds; a seed decides weights, order, augmentation and which images have labels. Two runs at a
time, one thread each; started again it goes on where it stopped (--output). Writes docs/results.md and docs/labels.png.
Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from real_sets import CACHE, chosen
from report import ROOT, machine, write_section
from seeds import FROM_RUN, SMALL, one_run, spread, two_at_a_time

STEPS = 300  # of training, for every number of labels


@dataclass(frozen=True)
class Row:
    """A source of which the digits 0 to 4 are learned, and a target.

    Args:
        source: Its set.
        target: Its set.
        classes: The target's classes; None: all.
        count: How many these are.
        labels: Numbers of labels a class; None: all.
    """

    source: str
    target: str
    classes: list[int] | None
    count: int
    labels: tuple[int | None, ...] = (1, 5, 10, 50, None)


ROWS = {
    **{f"{name}_5to9": Row(name, name, [5, 6, 7, 8, 9], 5) for name in ("digits", "mnist", "usps")},
    "digits_to_letters": Row("digits", "letters", None, 26),
    "mnist_to_letters": Row("mnist", "letters", None, 26),
    "mnist_to_notmnist": Row("mnist", "notmnist", None, 10),
    "mnist_to_omniglot": Row("mnist", "omniglot", None, 292, (1, 5, 10)),
}
SOURCE_EPOCHS = {"digits": 30, "mnist": 6, "usps": 6}


def source(row: Row, seed: int, output: Path) -> list[str]:
    epochs = f"strategy.stages.0.epochs={SOURCE_EPOCHS[row.source]}"
    own = [*chosen("dataset", row.source, [0, 1, 2, 3, 4]), *SMALL, "strategy=scratch", epochs]
    return [*own, f"seed={seed}", f"output_dir={output}"]


def target(row: Row, labels: int | None, run: str | None, seed: int, output: Path) -> list[str]:
    """The target from the network of a run, with small rates at the bottom; or from scratch."""
    if labels is None:
        epochs = 8
    else:
        batch = min(64, labels * row.count)
        epochs = max(4, round(STEPS * batch / (labels * row.count)))
    stage = f"strategy.stages=[{{name: all, train: all, epochs: {epochs}, warmup: 0.1"
    stage += "}]" if run is None else ", layer_decay: 0.7}]"
    start = (
        [*SMALL, "strategy=scratch"]
        if run is None
        else [*FROM_RUN, "backbone=run", f"backbone.run={run}", "strategy=full"]
    )
    few = [] if labels is None else [f"dataset.labels_per_class={labels}"]
    own = [*chosen("dataset", row.target, row.classes), *start, stage, *few]
    return [*own, f"seed={seed}", f"output_dir={output}"]


def measure(row: Row, seeds: range, output: Path) -> dict[str, dict[int | None, list[float]]]:
    """Return `transfer` and `scratch` -> labels -> test accuracies."""
    with two_at_a_time() as pool:
        runs = [run for _, run in pool.map(one_run, [source(row, seed, output) for seed in seeds])]
        jobs = [
            (way, labels, target(row, labels, run if way == "transfer" else None, seed, output))
            for labels in row.labels
            for way in ("transfer", "scratch")
            for seed, run in zip(seeds, runs, strict=True)
        ]
        found = list(pool.map(one_run, [arguments for _, _, arguments in jobs]))
    scores: dict[str, dict[int | None, list[float]]] = {"transfer": {}, "scratch": {}}
    for (way, labels, _), (metrics, _) in zip(jobs, found, strict=True):
        scores[way].setdefault(labels, []).append(metrics["test/accuracy"])
    return scores


def draw(results: dict[str, dict[str, dict[int | None, list[float]]]]) -> None:
    """Draw docs/labels.png: accuracy over labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(3.2 * len(results), 3), squeeze=False, sharey=True)
    for axis, (name, scores) in zip(axes[0], results.items(), strict=True):
        for way, colour in (("transfer", "#4878a8"), ("scratch", "#b0603c")):
            means = [100 * statistics.mean(s) for s in scores[way].values()]
            sds = [100 * statistics.stdev(s) if len(s) > 1 else 0.0 for s in scores[way].values()]
            axis.errorbar(range(len(means)), means, yerr=sds, label=way, color=colour, capsize=3, marker="o")
        axis.set_xticks(range(len(scores["scratch"])), [str(n) if n else "all" for n in scores["scratch"]])
        axis.set_title(name.replace("_", " "), fontsize=9)
        axis.set_xlabel("labels a class")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("test accuracy, %")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "labels.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=CACHE / "targets")
    args = parser.parse_args()
    table = ["| digits 0 to 4 of | target | way | 1 | 5 | 10 | 50 | all |", "| --- | --- | --- |" + " ---: |" * 5]
    results = {}
    for name in args.rows:
        row = ROWS[name]
        results[name] = measure(row, range(args.seeds), args.output)
        goal = f"{row.target} 5 to 9" if row.classes else row.target
        for way, scores in results[name].items():
            cells = [spread(scores[n]) if n in scores else "-" for n in (1, 5, 10, 50, None)]
            table.append(f"| {row.source} | {goal} | {way} | {' | '.join(cells)} |")
            print(table[-1], flush=True)
    how = f"Columns: labels a class; {args.seeds} seeds. {machine()}, two runs at a time, one thread each."
    text = "\n".join([*table, "", "![Accuracy over labels](labels.png)", "", how])
    write_section("targets", text)
    draw(results)


if __name__ == "__main__":
    main()
