"""Domain adaptation between sets of digits: all strategies, the source alone, and fine-tuning on a few target labels.

    python benchmarks/domains.py                                   all pairs, 5 seeds
    python benchmarks/domains.py --pairs mnist_to_usps --strategies scratch,self_training --seeds 3

Test accuracy on the target domain, for the weights selected without target labels and, as oracle, for the weights that
target labels would have selected. Networks start from random weights. Two runs at a time, one thread each. Started
again, it skips finished runs (--output). Prints a table and writes it to docs/results.md.
Data: TLX_TEST_DATA, see the tests; `plates` is drawn by tlx, `digits` is scikit-learn's.
"""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

from real_sets import chosen
from report import machine, write_section
from seeds import FROM_RUN, SMALL, mean_and_sd, options, outcomes, two_at_a_time

STRATEGIES = ("scratch", "adabn", "coral", "dan", "dann", "cdan", "mcc", "self_training")
TWO = ("scratch", "mcc")  # for pairs of handwritten sets: the best strategy between MNIST and USPS
PLATES = ("scratch", "coral", "mcc", "self_training")  # from handwritten to printed digits, which differ more
LONG = "_long"  # twice the epochs
FEW = "10 target labels a class"
NAMES = {"scratch": "source only", "mcc_long": "mcc, twice the epochs"}
EPOCHS = {"digits": 40, "usps": 16, "mnist": 12}  # of the source
ONLY = {"plates": [0, 1, 2, 3, 4], "plate_digits": [0, 1, 2, 3, 4]}  # classes of these targets and of their sources
PAIRS = (
    "mnist_to_usps", "usps_to_mnist", "digits_to_mnist", "digits_to_usps", "mnist_to_digits", "usps_to_digits",
    "digits_to_plates", "mnist_to_plates", "digits_to_plate_digits", "mnist_to_plate_digits",
)  # fmt: skip
# Scores that could select weights -> 1: the highest is best, -1: the lowest. `epoch` selects the last weights.
SCORES = {"target/infomax": 1, "target/entropy": -1, "val/loss": -1, "epoch": 1, "oracle/accuracy": 1}
Results = dict[str, list[dict[str, float]]]
PUBLISHED = {
    "mnist_to_usps": "source only 82.1, DANN 91.7, CDAN 96.0",
    "usps_to_mnist": "source only 74.6, DANN 95.2, CDAN 97.7, ADDA 98.3",
}


def compared(pair: str) -> list[str]:
    """Return the strategies for a pair: all for the two pairs with published figures, some for the others."""
    if "plate" in pair:
        return list(PLATES)
    if pair not in PUBLISHED:
        return list(TWO)
    return [*STRATEGIES, "mcc" + LONG] if pair == "usps_to_mnist" else list(STRATEGIES)


def overrides(pair: str, strategy: str, seed: int, output: Path) -> list[str]:
    source, target = pair.split("_to_")
    classes = ONLY.get(target)
    epochs = EPOCHS[source] * (2 if strategy.endswith(LONG) else 1)
    strategy = strategy.removesuffix(LONG)
    return [
        *chosen("dataset", source, classes), *chosen("target", target, classes), *SMALL,
        *(f"{key}.augment={'characters' if target == 'plates' else 'affine'}" for key in ("dataset", "target")),
        "target.horizontal_flip=false", f"strategy={strategy}", f"strategy.stages.0.epochs={epochs}",
        f"seed={seed}", f"output_dir={output}",
    ]  # fmt: skip


def few_labels(pair: str, seed: int, source_run: str, output: Path) -> list[str]:
    target = pair.split("_to_")[1]
    return [
        *chosen("dataset", target, ONLY.get(target)), *FROM_RUN, "backbone=run", f"backbone.run={source_run}",
        "dataset.labels_per_class=10", "dataset.val_fraction=0.02", "strategy=full", "strategy.stages.0.epochs=100",
        "strategy.stages.0.batch_norm=train", f"seed={seed}", f"output_dir={output}",
    ]  # fmt: skip


def measure(pair: str, strategies: list[str], seeds: range, output: Path) -> tuple[Results, dict[str, list[str]]]:
    """Return strategy -> figures of its runs, and strategy -> directories of its runs."""
    with two_at_a_time() as pool:
        runs = outcomes(pool, strategies, seeds, lambda strategy, seed: overrides(pair, strategy, seed, output))
        directories = {strategy: [directory for _, directory in found] for strategy, found in runs.items()}
        if "scratch" in strategies:
            runs |= outcomes(pool, [FEW], seeds, lambda _, s: few_labels(pair, s, directories["scratch"][s], output))
    return {strategy: [metrics for metrics, _ in found] for strategy, found in runs.items()}, directories


def selections(directories: list[str]) -> dict[str, float]:
    """Return score -> accuracy on the target's validation images at the epoch that it selects, averaged over runs.

    The runs' tables of epochs contain all scores, so nothing has to be trained again.
    """
    found: dict[str, list[float]] = {score: [] for score in SCORES}
    for directory in directories:
        with (Path(directory) / "metrics.csv").open(encoding="utf-8") as file:
            epochs = list(csv.DictReader(file))
        for score, sign in SCORES.items():
            best = max(epochs, key=lambda row, score=score, sign=sign: sign * float(row[score]))
            found[score].append(float(best["oracle/accuracy"]))
    return {score: statistics.mean(values) for score, values in found.items()}


def lines(pair: str, results: Results) -> list[str]:
    rows = []
    for strategy, found in results.items():
        cells = [pair.replace("_to_", " to ").replace("_", " "), NAMES.get(strategy, strategy)]
        cells += [mean_and_sd([m["test/accuracy"] for m in found])]
        cells += [mean_and_sd([m["oracle/test_accuracy"] for m in found]) if strategy != FEW else "-"]
        cells += [str(len(found)), f"{statistics.mean(m['train/seconds'] for m in found):.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def main() -> None:
    parser = options(__doc__, "pairs", PAIRS, "domains")
    parser.add_argument("--strategies", type=lambda text: text.split(","), help="default: depends on the pair")
    args = parser.parse_args()
    table = ["| source to target | strategy | test, % | oracle-selected, % | seeds | s |"]
    table.append("| --- | --- | ---: | ---: | ---: | ---: |")
    chosen_by = ["| source to target | strategy | infomax | entropy | source's loss | last | oracle |"]
    chosen_by.append("| --- | --- |" + " ---: |" * len(SCORES))
    for pair in args.pairs:
        strategies = args.strategies or compared(pair)
        results, directories = measure(pair, strategies, range(args.seeds), args.output)
        found = lines(pair, results)
        for strategy in strategies:
            cells = " | ".join(f"{100 * value:.1f}" for value in selections(directories[strategy]).values())
            name = NAMES.get(strategy, strategy)
            chosen_by.append(f"| {pair.replace('_to_', ' to ').replace('_', ' ')} | {name} | {cells} |")
        print("\n".join(found), flush=True)
        table += found
    published = [pair for pair in args.pairs if pair in PUBLISHED]
    notes = [f"Published, oracle-selected: {p.replace('_to_', ' to ')}: {PUBLISHED[p]}." for p in published]
    epochs = ", ".join(f"{name} {count}" for name, count in EPOCHS.items())
    how = f"Epochs by source: {epochs}. {machine()}, two runs at a time, one thread each; s: seconds of training."
    note = "The same runs if another score had selected the weights: accuracy on the target's validation images, %,"
    text = "\n".join([*table, "", *notes, "", how, "", f"{note} mean over seeds.", "", *chosen_by])
    print(text)
    write_section("domains", text)


if __name__ == "__main__":
    main()
