"""The four practices, each compared with all other strategies on its kind of data, with the same number of epochs.

    python benchmarks/practices.py                    all four sets, 5 seeds
    python benchmarks/practices.py --sets omniglot --seeds 2

Ants and bees: little data, similar to ImageNet. An alphabet of Omniglot: little, different. Letters of notMNIST: much,
different. CIFAR-10: much, similar. The strategy top_down has at least one epoch per layer group. Writes test accuracy
(mean and standard deviation over seeds) and seconds of training as a table (README.md, docs/results.md) and as
docs/results.png. The seed determines order, augmentation, the new head and, with few labels, the labelled images. Two
runs at a time, one thread each. Started again, it skips finished runs (--output). Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from real_sets import DATA, chosen, korean
from report import ROOT, machine, write_section
from seeds import Outcome, accuracies, mean_and_sd, options, outcomes, two_at_a_time

COMMON = (
    "backbone=efficientnet_lite0", "dataset.batch_size=32", "dataset.num_workers=0", "logger=none", "trainer.devices=1",
)  # fmt: skip
# Strategy -> fraction of the epochs for each of its stages.
PARTS: dict[str, tuple[float, ...]] = {
    "features": (),
    "linear_probe": (1.0,),
    "last_layers": (0.25, 0.75),
    "full": (1.0,),
    "full, one rate": (1.0,),
    "gradual": (0.25, 0.25, 0.5),
    "top_down": (1 / 6,),  # for each of six stages, one per layer group
    "lp_ft": (0.5, 0.5),
    "scratch": (1.0,),
}
NO_FLIP = "dataset.horizontal_flip=false"  # a mirrored letter is not the same letter
NAMES = {"features": "features, logistic regression"}


@dataclass(frozen=True)
class Kind:
    """A kind of data, and a data set of that kind.

    Args:
        title: The kind, the set, its numbers of images and their size, as text.
        experiment: The recommended practice, in conf/experiment.
        best: The strategies of that practice. `features` trains only a classifier, as `linear_probe` does.
        overrides: Overrides for the set.
        data: Returns the overrides for the location of the images.
        epochs: Epochs of every strategy.
    """

    title: str
    experiment: str
    best: tuple[str, ...]
    overrides: tuple[str, ...]
    data: Callable[[], list[str]]
    epochs: int

    @property
    def short(self) -> str:
        """The kind and the set, without numbers."""
        return ", ".join(self.title.split(", ")[:2])

    @property
    def description(self) -> str:
        """The title, and the overrides for training on such data."""
        return f"{self.title}; `experiment={self.experiment} {' '.join(self.overrides)}`, {self.epochs} epochs"


KINDS = {
    "hymenoptera": Kind(
        "Little, similar: ants and bees, 195 train, 49 val, 153 test, 128 px",
        "little_similar", ("features", "linear_probe"), ("dataset.image_size=128",),
        lambda: ["dataset=folder", f"dataset.root={DATA / 'hymenoptera'}"], 8,
    ),
    "omniglot": Kind(
        "Little, different: Omniglot, Korean, 40 characters, 8 drawings to train, 2 val, 10 test, 64 px",
        "little_different", ("last_layers",),
        ("dataset.image_size=64", "dataset.test_fraction=0.5", "dataset.val_fraction=0.1", NO_FLIP),
        lambda: ["dataset=folder", f"dataset.root={korean()}"], 16,
    ),
    "notmnist": Kind(
        "Much, different: notMNIST, 10 letters, 2,000 train, 400 val, 2,000 test, 64 px",
        "much_different", ("full", "full, one rate"),
        ("dataset.image_size=64", "dataset.labels_per_class=200", "dataset.val_fraction=0.05", NO_FLIP),
        lambda: chosen("dataset", "notmnist"), 4,
    ),
    "cifar10": Kind(
        "Much, similar: CIFAR-10, 2,000 train, 500 val, 2,000 test, 64 px",
        "much_similar", ("gradual",),
        ("dataset.image_size=64", "dataset.labels_per_class=200", "dataset.val_fraction=0.05"),
        lambda: chosen("dataset", "cifar10"), 4,
    ),
}  # fmt: skip


def arguments(kind: Kind, strategy: str, seed: int, output: Path) -> list[str]:
    own = [f"experiment={kind.experiment}", *kind.data(), *COMMON, *kind.overrides]
    own += [f"strategy={strategy.split(',')[0]}", f"seed={seed}", f"output_dir={output}"]
    for stage, part in enumerate(PARTS[strategy]):
        own.append(f"strategy.stages.{stage}.epochs={max(1, round(part * kind.epochs))}")
    if strategy.endswith("one rate"):
        own.append("strategy.stages.0.layer_decay=1.0")
    return own


def measure(kind: Kind, seeds: range, output: Path) -> dict[str, list[Outcome]]:
    """Return strategy -> its runs."""
    with two_at_a_time() as pool:
        return outcomes(pool, PARTS, seeds, lambda strategy, seed: arguments(kind, strategy, seed, output))


def table(results: dict[str, dict[str, list[Outcome]]]) -> str:
    """Return a table with a row per strategy and a column per kind of data; the recommended practice is bold."""
    lines = [
        f"| strategy | {' | '.join(KINDS[name].short for name in results)} |",
        "| --- |" + " ---: |" * len(results),
    ]
    for strategy in PARTS:
        cells = [NAMES.get(strategy, strategy)]
        for name, runs in results.items():
            score = mean_and_sd(accuracies(runs[strategy]))
            seconds = statistics.mean(metrics["train/seconds"] for metrics, _ in runs[strategy])
            cost = f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
            cells.append(f"{f'**{score}**' if strategy in KINDS[name].best else score}, {cost}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(kind: Kind, runs: dict[str, list[Outcome]]) -> str:
    """Return a sentence: the recommended practice is on top, or how far it is from the best strategy."""
    scores = {s: accuracies(found) for s, found in runs.items()}
    mean = {s: statistics.mean(values) for s, values in scores.items()}
    best = max(mean, key=mean.__getitem__)
    own = max(kind.best, key=mean.__getitem__)
    if best in kind.best:
        return f"{kind.short}: the recommended practice is on top ({best})."
    gap = mean[best] - mean[own]
    sd = math.sqrt(sum(statistics.variance(scores[s]) for s in (best, own)) / 2) if len(scores[own]) > 1 else 0.0
    where = "within the spread of" if gap <= sd else "below"
    return f"{kind.short}: {own} is {100 * gap:.1f} points {where} {best}."


def draw(results: dict[str, dict[str, list[Outcome]]]) -> None:
    """Draw docs/results.png: one panel per set, with the recommended practice in another colour."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(3.6 * len(results), 3.6), squeeze=False, sharey=True)
    for axis, (name, runs) in zip(axes[0], results.items(), strict=True):
        kind = KINDS[name]
        scores = {s: [100 * score for score in accuracies(found)] for s, found in runs.items()}
        sds = [statistics.stdev(s) if len(s) > 1 else 0.0 for s in scores.values()]
        colours = ["#b0603c" if s in kind.best else "#4878a8" for s in scores]
        means = [statistics.mean(s) for s in scores.values()]
        axis.barh([NAMES.get(s, s) for s in scores], means, xerr=sds, color=colours, error_kw={"capsize": 3})
        axis.set_title(kind.short, fontsize=9)
        axis.set_xlabel("test accuracy, %", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.set_xlim(0, 100)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "results.png", dpi=110)


def main() -> None:
    args = options(__doc__, "sets", KINDS, "practices").parse_args()
    results: dict[str, dict[str, list[Outcome]]] = {}
    for name in args.sets:
        results[name] = measure(KINDS[name], range(args.seeds), args.output)
        print(f"\n{table({name: results[name]})}\n", flush=True)
    verdicts = [f"- {verdict(KINDS[name], runs)}" for name, runs in results.items()]
    write_section("practices", "\n".join([table(results), "", *verdicts]), ROOT / "README.md")
    sets = [f"- {KINDS[name].description}." for name in results]
    how = f"%, {args.seeds} seeds, and seconds of training; {machine()}, two runs at a time, one thread each."
    picture = "![Strategies on four kinds of data](results.png)"
    write_section("practices", "\n".join([picture, "", *verdicts, "", table(results), "", *sets, "", how]))
    draw(results)


if __name__ == "__main__":
    main()
