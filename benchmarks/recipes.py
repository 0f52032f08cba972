"""Which recipe, and which strategy, for few images: 10, 30 and 100 a class, the validation images among them.

    python benchmarks/recipes.py recipes          one change at a time, on three sets
    python benchmarks/recipes.py grid             strategies on six sets, and on two that no recipe was tuned on
    python benchmarks/recipes.py tables           what is measured so far, without training

EfficientNet-Lite0 from ImageNet, 64 or 96 px. The images of a class are drawn by the seed, which also determines the
new head, the order and the augmentation; at most 1,000 test images, the same for all. All strategies of a cell train
equally many steps, and the weights after the last step are compared. Every result is appended to recipes.csv beside
this file and not repeated when the benchmark is started again. Writes docs/results.md. Data: TLX_TEST_DATA, see the
tests.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from real_sets import CACHE, DATA, korean, npz
from report import machine, write_section
from seeds import mean_and_sd
from training_jobs import Results, Row, do_all, shares

from tlx import Run
from tlx.data.batch_size import automatic

MEASURED = Path(__file__).with_name("recipes.csv")
FIELDS = ("part", "images", "per_class", "name", "seed", "steps", "accuracy", "last", "seconds", "directory")
COMMON = (
    "backbone=efficientnet_lite0", "dataset=arrays", "dataset.num_workers=0", "logger=none", "trainer.devices=1",
    "trainer.keep=best",  # the last weights are tested besides
)  # fmt: skip
KEEP_LAST = "trainer.keep=last"  # an average is kept in place of the last weights, which last.ckpt holds
STEPS = 500  # Big Transfer (Kolesnikov et al. 2020), section 3.3: below 20,000 images
MOST_TESTED = 1_000


@dataclass(frozen=True)
class Set:
    """A set of images.

    Args:
        size: Side of the input in pixels.
        folders: Folders of the training and of the test images below TLX_TEST_DATA; None: arrays of real_sets.py.
        flip: Whether a mirrored image is still an example of its class.
        most: The images of a class that can be drawn, at most.
    """

    size: int = 64
    folders: tuple[str, str] | None = None
    flip: bool = True
    most: int = 100


SETS = {
    "hymenoptera": Set(96, ("hymenoptera/train", "hymenoptera/val")),
    "mri": Set(64, ("brain_tumor_mri/Training", "brain_tumor_mri/Testing"), flip=False),
    "plate_letters": Set(flip=False),
    "blood_cells": Set(),
    "cifar10": Set(),
    "notmnist": Set(flip=False),
    "usps": Set(flip=False),
    "korean": Set(flip=False, most=10),
}
TUNED_ON = {"hymenoptera": 30, "mri": 30, "plate_letters": 10}  # images a class: 60, 120 and 340 in all
HELD_OUT = ("usps", "korean")  # looked at only when the recipe was settled

# Strategy -> fraction of the steps for each of its stages.
STRATEGIES: dict[str, tuple[float, ...]] = {
    "features": (),
    "linear_probe": (1.0,),
    "last_layers": (0.2, 0.8),
    "full": (1.0,),
    "full, one rate": (1.0,),
    "lp_ft": (0.3, 0.7),
    "gradual": (0.2, 0.3, 0.5),
}


@dataclass(frozen=True)
class Recipe:
    """How `full` is trained: the first row, or one change of it.

    Args:
        title: The change, in words.
        steps: Optimizer steps; None: 15 epochs.
        batch: Images a step; None: as many as fit the set, see `tlx.data.batch_size`.
        more: More overrides.
    """

    title: str
    steps: int | None = STEPS
    batch: int | None = None
    more: tuple[str, ...] = ()


RECIPES = {
    "first": Recipe("500 steps, batches of 8, 16 or 32, layer decay 0.7"),
    "short": Recipe("15 epochs, batches of 32", None, 32),
    "steps_250": Recipe("250 steps", 250),
    "steps_1000": Recipe("1,000 steps", 1000),
    "batch_32": Recipe("batches of 32, also 500 steps", batch=32),
    "one_rate": Recipe("one rate for all layer groups", more=("strategy.stages.0.layer_decay=1.0",)),
    "decay_0.5": Recipe("layer decay 0.5", more=("strategy.stages.0.layer_decay=0.5",)),
    "half_rate": Recipe("half the rate", more=("optimizer.lr=5e-4",)),
    "double_rate": Recipe("twice the rate", more=("optimizer.lr=2e-3",)),
    "bn_train": Recipe("BatchNorm statistics move", more=("strategy.stages.0.batch_norm=train",)),
    "bn_one_rate": Recipe(
        "BatchNorm statistics move, one rate",
        more=("strategy.stages.0.batch_norm=train", "strategy.stages.0.layer_decay=1.0"),
    ),
    "bn_short": Recipe(
        "15 epochs, batches of 32, BatchNorm statistics move", None, 32, ("strategy.stages.0.batch_norm=train",)
    ),
    "clip": Recipe("gradients clipped at a norm of 1", more=("trainer.gradient_clip_val=1.0",)),
    "average": Recipe("mean of the weights over the last tenth", more=("trainer.average_weights=0.1", KEEP_LAST)),
    "ema": Recipe("moving average of the weights", more=("trainer.average_weights=ema", KEEP_LAST)),
    "all": Recipe("no validation images: all train, the last weights", more=("dataset.val_fraction=0",)),
    "all_average": Recipe(
        "the same, mean of the last tenth",
        more=("dataset.val_fraction=0", "trainer.average_weights=0.1", KEEP_LAST),
    ),
    "plain": Recipe("no augmentation", more=("dataset.augment=none",)),
    "strong": Recipe("strong augmentation", more=("dataset.augment=strong",)),
}


KNOWN: dict[str, Sequence[str]] = {"recipes": [*RECIPES], "grid": [*STRATEGIES], "tables": []}


@dataclass(frozen=True)
class Job:
    """A training and its test.

    Args:
        part: `recipes` or `grid`.
        images: Key of SETS.
        per_class: Images of each class, those for validation among them.
        name: Key of RECIPES or of STRATEGIES.
        seed: Seed of the drawn images, weights, order and augmentation.
        output: Folder of the runs.
        threads: Threads of its process.
    """

    part: str
    images: str
    per_class: int
    name: str
    seed: int
    output: Path
    threads: int

    @property
    def label(self) -> str:
        """What it is called when it ends."""
        return f"{self.part} {self.images} {self.per_class} a class, {self.name}, seed {self.seed}"


def arrays(name: str) -> dict[str, np.ndarray]:
    """Return `train_images`, `train_labels`, `test_images`, `test_labels` and `class_names` of a set."""
    if name == "korean":
        return _divided(*_squares(korean(), 32), share=0.5)
    folders = SETS[name].folders
    if folders is None:
        with np.load(npz(name)) as held:
            found = dict(held)
        found.setdefault("class_names", np.array([str(digit) for digit in range(10)]))
        if "test_images" in found:
            return found
        return _divided(found["images"], found["labels"], found["class_names"], share=0.5)
    side = SETS[name].size * 4 // 3
    train, train_labels, names = _squares(DATA / folders[0], side)
    test, test_labels, _ = _squares(DATA / folders[1], side)
    return {
        "train_images": train, "train_labels": train_labels, "test_images": test, "test_labels": test_labels,
        "class_names": names,
    }  # fmt: skip


def _squares(root: Path, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the middle squares (n, side, side, 3), the labels and the class names of a folder of class folders."""
    images, labels = [], []
    names = sorted(path.name for path in root.iterdir() if path.is_dir())
    for label, name in enumerate(names):
        for path in sorted((root / name).iterdir()):
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            edge = min(picture.size)
            left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
            square = picture.crop((left, top, left + edge, top + edge))
            images.append(np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)))
            labels.append(label)
    return np.stack(images), np.array(labels), np.array(names)


def _divided(images: np.ndarray, labels: np.ndarray, names: np.ndarray, share: float) -> dict[str, np.ndarray]:
    """Divide a set without test images: this share of each class is tested on."""
    tested = np.zeros(len(labels), dtype=bool)
    rng = np.random.default_rng(0)
    for label in range(len(names)):
        own = rng.permutation(np.flatnonzero(labels == label))
        tested[own[: round(share * len(own))]] = True
    return {
        "train_images": images[~tested], "train_labels": labels[~tested], "test_images": images[tested],
        "test_labels": labels[tested], "class_names": names,
    }  # fmt: skip


def drawn(job: Job) -> tuple[Path, int]:
    """Write the images of a job; return the file and the number of images that are not for the test."""
    path = job.output / "drawn" / f"{job.images}-{job.per_class}-{job.seed}.npz"
    if not path.is_file():
        found = arrays(job.images)
        rng = np.random.default_rng(job.seed)
        labels = found["train_labels"]
        kept = [rng.permutation(np.flatnonzero(labels == c))[: job.per_class] for c in range(len(found["class_names"]))]
        train = np.sort(np.concatenate(kept))
        test = np.sort(np.random.default_rng(0).permutation(len(found["test_labels"]))[:MOST_TESTED])
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez(
            beside, train_images=found["train_images"][train], train_labels=labels[train],
            test_images=found["test_images"][test], test_labels=found["test_labels"][test],
            class_names=found["class_names"],
        )  # fmt: skip
        beside.replace(path)
    with np.load(path) as held:
        return path, len(held["train_labels"])


def overrides(job: Job, path: Path, images: int) -> list[str]:
    """Return the overrides of a training on `images` images, a fifth of which tlx takes for validation."""
    recipe = RECIPES[job.name] if job.part == "recipes" else RECIPES["first"]
    strategy = "full" if job.part == "recipes" else job.name
    trained = images if "dataset.val_fraction=0" in recipe.more else images - round(0.2 * images)
    batch = recipe.batch or automatic(trained)
    epochs = 15 if recipe.steps is None else math.ceil(recipe.steps / math.ceil(trained / batch))
    found = SETS[job.images]
    chosen = [*COMMON, f"dataset.path={path}", f"dataset.name={job.images}", f"dataset.image_size={found.size}"]
    chosen += [f"dataset.horizontal_flip={str(found.flip).lower()}", f"dataset.batch_size={batch}"]
    chosen += [f"strategy={strategy.split(',')[0]}", f"seed={job.seed}", f"dataset.split_seed={job.seed}"]
    chosen += [f"output_dir={job.output}"]
    if parts := STRATEGIES[strategy]:
        chosen += [f"strategy.stages.{i}.epochs={n}" for i, n in enumerate(shares(epochs, parts))]
    if strategy.endswith("one rate"):
        chosen.append("strategy.stages.0.layer_decay=1.0")
    return [*chosen, *recipe.more]


def work(job: Job) -> Row:
    """Train and test; return the figures. Runs in a process of its own, which does several jobs one after another."""
    import torch

    import tlx

    torch.set_num_threads(job.threads)
    run = tlx.train(tlx.compose(overrides(job, *drawn(job))))
    found = run.metrics
    row = {"steps": found["train/steps"], "seconds": found["train/seconds"], "accuracy": found["test/accuracy"]}
    is_last = not found["train/steps"] or run.config.trainer.keep == "last"
    return row | {
        "last": found["test/accuracy"] if is_last else with_last_weights(run),
        "directory": run.directory.name,
    }


def with_last_weights(run: Run) -> float:
    """Return the test accuracy of the weights after the last step, instead of those that validation chose."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / run.directory.name
        shutil.copytree(run.directory, copied)
        shutil.copy(copied / "checkpoints" / "last.ckpt", copied / "checkpoints" / "best.ckpt")
        return Run(copied).test()["test/accuracy"]


def jobs_of(args: argparse.Namespace, results: Results) -> Iterator[Job]:
    """Yield the jobs without a result: seeds change slowest, so that a benchmark that is stopped has whole rows."""
    names = args.only or list(KNOWN[args.part])
    cells = [(images, n) for n in args.per_class for images in args.sets if n <= SETS[images].most]
    if args.part == "recipes":
        cells = [(images, TUNED_ON[images]) for images in args.sets]
    for seed, (images, per_class), name in itertools.product(range(args.seeds), cells, names):
        if not results.of(part=args.part, images=images, per_class=per_class, name=name, seed=seed):
            yield Job(args.part, images, per_class, name, seed, args.output, 1)


def scores(results: Results, part: str, column: str = "last") -> dict[tuple[str, int], dict[str, dict[int, float]]]:
    """Return (set, images a class) -> name -> seed -> test accuracy.

    Args:
        results: The rows.
        part: `recipes` or `grid`.
        column: `last`, of the last weights, or `accuracy`, of the epoch with the least validation loss.
    """
    found: dict[tuple[str, int], dict[str, dict[int, float]]] = {}
    for row in results.of(part=part):
        cell = found.setdefault((row["images"], int(row["per_class"])), {})
        cell.setdefault(row["name"], {})[int(row["seed"])] = float(row[column])
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of independent values, by Student's t."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values) - half, statistics.mean(values) + half


def recipes_table(results: Results) -> str:
    """Return a table: what each change of the recipe gains, on each set and in the mean."""
    found, selected = scores(results, "recipes"), scores(results, "recipes", "accuracy")
    heads = [f"{images}, {per_class} a class" for images, per_class in found]
    lines = [f"| recipe of `full` | {' | '.join(heads)} | mean gain [95 %] |", f"| --- |{' ---: |' * (len(heads) + 1)}"]
    first = {key: cell.get("first", {}) for key, cell in found.items()}
    levels = [mean_and_sd([*scores.values()]) if scores else "-" for scores in first.values()]
    lines.append(f"| {RECIPES['first'].title} | {' | '.join(levels)} | - |")
    changes = {
        recipe.title: {key: cell.get(name, {}) for key, cell in found.items()} for name, recipe in RECIPES.items()
    }
    changes[RECIPES["first"].title] = {key: cell.get("first", {}) for key, cell in selected.items()}
    for title, change in changes.items():
        gains = [
            [100 * (own - first[key][seed]) for seed, own in of.items() if seed in first[key]]
            for key, of in change.items()
        ]
        together = [gain for of_set in gains for gain in of_set]
        if len(together) < 3:  # an interval of two says nothing
            continue
        low, high = interval(together)
        cells = [f"{statistics.mean(of_set):+.1f}" if of_set else "-" for of_set in gains]
        shown = "the epoch with the least validation loss, not the last" if title == RECIPES["first"].title else title
        lines.append(f"| {shown} | {' | '.join(cells)} | {statistics.mean(together):+.1f} [{low:+.1f}, {high:+.1f}] |")
    counts = [len(of) for cell in found.values() for of in cell.values()]
    how = f"Test accuracy in %, then points more than it, paired by seed; {_range(counts)} seeds a cell."
    return "\n".join([*lines, "", how])


def grid_table(results: Results, sets: Sequence[str]) -> str:
    """Return a table: the accuracy of each strategy in each cell, and how far it is below the best one of the cell."""
    found = {key: cell for key, cell in scores(results, "grid").items() if key[0] in sets}
    whole = {key: cell for key, cell in found.items() if all(name in cell for name in STRATEGIES)}
    if not whole:
        return ""
    lines = [f"| set, images a class | {' | '.join(STRATEGIES)} |", f"| --- |{' ---: |' * len(STRATEGIES)}"]
    below: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for (images, per_class), cell in sorted(whole.items()):
        means = {name: 100 * statistics.mean(cell[name].values()) for name in STRATEGIES}
        best = max(means.values())
        texts = []
        for name, mean in means.items():
            below[name].append(best - mean)
            text = mean_and_sd(list(cell[name].values()))
            texts.append(f"**{text}**" if mean == best else text)
        lines.append(f"| {images}, {per_class} | {' | '.join(texts)} |")
    for title, figure in (("mean points below the best", statistics.mean), ("most points below the best", max)):
        lines.append(f"| {title} | {' | '.join(f'{figure(values):.1f}' for values in below.values())} |")
    seconds = {name: [float(row["seconds"]) for row in results.of(part="grid", name=name)] for name in STRATEGIES}
    lines.append(f"| seconds of training | {' | '.join(f'{statistics.mean(v):.0f}' for v in seconds.values())} |")
    counts = [len(values) for cell in whole.values() for values in cell.values()]
    seeds = "one seed" if max(counts) == 1 else f"mean ± sd over {_range(counts)} seeds"
    return "\n".join([*lines, "", f"Test accuracy in %, {seeds}."])


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def tables(results: Results) -> dict[str, str]:
    """Return section of docs/results.md -> its text."""
    how = f"At most {MOST_TESTED:,} test images. {machine()}, one thread a training."
    tuned = [name for name in SETS if name not in HELD_OUT]
    found = {
        "recipes": recipes_table(results),
        "grid": grid_table(results, tuned),
        "grid_held_out": grid_table(results, HELD_OUT),
    }
    return {name: f"{text} {how}" for name, text in found.items() if text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("recipes", "grid", "tables"))
    parser.add_argument("--sets", type=lambda text: text.split(","), help="(default: all of the part)")
    parser.add_argument("--only", type=lambda text: text.split(";"), help="recipes or strategies, separated by ;")
    parser.add_argument(
        "--per-class", type=lambda text: [int(n) for n in text.split(",")], default=[10, 30, 100],
        help="images a class in the grid (default: 10,30,100)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--output", type=Path, default=CACHE / "recipes")
    args = parser.parse_args()
    args.sets = args.sets or list(TUNED_ON if args.part == "recipes" else SETS)
    for option, given, known in (
        ("--sets", args.sets, TUNED_ON if args.part == "recipes" else SETS),
        ("--only", args.only or [], KNOWN[args.part]),
    ):
        if unknown := set(given) - set(known):
            parser.error(f"{option}: expected some of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    args.output = args.output.resolve()
    os.environ.setdefault("TLX_CACHE", str(args.output / "cache"))
    results = Results(MEASURED, FIELDS)
    failed: list[str] = []
    if args.part != "tables":
        failed = do_all(list(jobs_of(args, results)), work, lambda job: job, results, args.jobs)
    for name, text in tables(results).items():
        print(f"\n{text}", flush=True)
        write_section(name, text)
    if failed:
        sys.exit("failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
