"""White blood cells: a class for each pixel, by strategy, by where the weights come from, and against a plain loop.

    python benchmarks/segmentation.py                              everything, 3 seeds
    python benchmarks/segmentation.py --only full,smp --seeds 1    some rows; speed: the ratios alone
    python benchmarks/segmentation.py --device cuda --jobs 8       on a GPU, eight trainings side by side

EfficientNet-Lite0 with a U-Net, 224 px, batches of 16, the same split and number of epochs for every row. `smp` is the
training loop that segmentation-models-pytorch documents (peers/smp_loop.py), with the same network and loss. Mean IoU
comes from one confusion matrix over the pixels of the test images at their own size. The runs of the first microscope
are tested on half of the images of the second one as well; AdaBN sees the other half, without its masks.

Ratios (benchmarks/segmentation_speed.py) follow the trainings, when nothing else runs. Every result is appended to
segmentation.csv or segmentation_speed.csv in --output, and not repeated when the benchmark is started again. Writes
docs/results.md, unless --epochs is given. Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dense_trainings import (
    ACCELERATOR,
    MACHINE,
    SPEED,
    finish,
    in_order,
    options,
    prepare_process,
    ready,
    settled,
    speed,
    threads_of,
)
from real_sets import DATA
from report import machine
from seeds import mean_and_sd
from training_jobs import Results, Row, do_all, shares

CELLS = DATA / "wbc_seg"
CLASSES = "{0: background, 128: cytoplasm, 255: nucleus}"
KINDS = {"1": "neutrophil", "2": "lymphocyte", "3": "monocyte", "4": "eosinophil"}  # there is one basophil
EPOCHS = 40  # as in conf/experiment/segment_white_cells.yaml, from which the other settings come as well
DECODER = "task.decoder=unet"
RECIPE = ("dataset.image_size=224", "dataset.batch_size=16", "optimizer.lr=2e-3")
SECOND = "dataset.test_fraction=0.5"
FIELDS = ("method", "seed", "epochs", "device", "miou", "foreground", "second", "second_foreground", "accuracy",
          "seconds", "directory")  # fmt: skip


def masks(number: int, key: str = "dataset") -> list[str]:
    """Return the overrides that select the images and masks of a microscope."""
    root = CELLS / f"Dataset {number}"
    return [f"{key}=masks", f"{key}.root='{root}'", f"{key}.classes={CLASSES}", f"{key}.name=white_cells"]


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Args:
        title: What it is, in words.
        strategy: The strategy of tlx; "" if tlx does not train.
        parts: Fractions of the epochs for the stages of the strategy.
        more: More overrides.
        rate: The learning rate of the peer's loop.
        needs: The row whose run of the same seed it starts from.
    """

    title: str
    strategy: str = ""
    parts: tuple[float, ...] = (1.0,)
    more: tuple[str, ...] = ()
    rate: float = 0.0
    needs: str = ""


METHODS = {
    "classifier": Method("a classifier of the same cells: accuracy", "full"),
    "scratch": Method("from random weights: `scratch`", "scratch"),
    "linear_probe": Method("frozen backbone: `linear_probe`", "linear_probe"),
    "last_layers": Method("`last_layers`", "last_layers", (0.2, 0.8)),
    "gradual": Method("`gradual`", "gradual", (0.2, 0.3, 0.5)),
    "full": Method("`full`", "full"),
    "from_classifier": Method("`full`, from the classifier of the same cells", "full", needs="classifier"),
    "adabn": Method("`adabn`, second microscope as target", "adabn", more=("target.test_fraction=0.5",)),
    "smp": Method("segmentation-models-pytorch's loop, rate 2e-4 as documented", rate=2e-4),
    "smp_fast": Method("segmentation-models-pytorch's loop, rate 1e-3", rate=1e-3),
    # Choices for the recipe, not in the table unless they are asked for.
    "full_light": Method("`full`, augment=light", "full", more=("dataset.augment=light",)),
    "full_strong": Method("`full`, augment=strong", "full", more=("dataset.augment=strong",)),
    "full_1e-3": Method("`full`, rate 1e-3", "full", more=("optimizer.lr=1e-3",)),
    "full_4e-3": Method("`full`, rate 4e-3", "full", more=("optimizer.lr=4e-3",)),
    "full_bn": Method("`full`, BatchNorm trains", "full", more=("strategy.stages.0.batch_norm=train",)),
}
ROWS = ("classifier", "scratch", "linear_probe", "last_layers", "gradual", "full", "from_classifier", "adabn", "smp",
        "smp_fast")  # fmt: skip
LONGEST = ("smp", "smp_fast", "classifier")  # they begin first: nothing waits for them at the end


@dataclass(frozen=True)
class Job:
    """A training and its tests.

    Args:
        method: Key of METHODS.
        seed: Seed of weights, order and augmentation.
        epochs: Epochs of all stages together.
        device: `auto`, `cpu` or `cuda`.
        output: Folder of the runs.
        threads: Threads of its process.
        start: The run that it starts from; "": none.
    """

    method: str
    seed: int
    epochs: int
    device: str
    output: Path
    threads: int
    start: str = ""

    @property
    def label(self) -> str:
        """What it is called when it ends."""
        return f"{self.method} seed {self.seed}"


def overrides(job: Job) -> list[str]:
    """Return the overrides of a training by tlx."""
    method = METHODS[job.method]
    chosen = [*MACHINE, f"trainer.accelerator={ACCELERATOR[job.device]}", f"seed={job.seed}"]
    chosen += [*RECIPE, f"strategy={method.strategy}", f"output_dir={job.output}"]
    if job.method == "classifier":
        chosen += ["dataset=table", f"dataset.path={job.output / 'cells.csv'}", "dataset.name=kinds_of_cells"]
        chosen += ["dataset.augment=affine", "task.class_weights=balanced", "backbone=efficientnet_lite0"]
    else:
        chosen += ["task=segmentation", DECODER, *masks(1), "dataset.augment=affine", "dataset.repeats=1"]
        chosen += ["backbone=run", f"backbone.run={job.start}"] if method.needs else ["backbone=efficientnet_lite0"]
    if method.strategy == "adabn":
        chosen += masks(2, "target")
    chosen += [f"strategy.stages.{i}.epochs={n}" for i, n in enumerate(shares(job.epochs, method.parts))]
    replaced = {text.partition("=")[0] for text in method.more}
    return [text for text in chosen if text.partition("=")[0] not in replaced] + list(method.more)


def work(job: Job) -> Row:
    """Train and test; return the figures. Runs in a process of its own, which does several jobs one after another."""
    prepare_process(job.threads)
    return _peer(job) if METHODS[job.method].rate else _ours(job)


def _ours(job: Job) -> Row:
    import tlx

    run = tlx.train(tlx.compose(overrides(job)))
    found = run.metrics
    row = {"directory": str(run.directory), "seconds": found["train/seconds"]}
    if job.method == "classifier":
        return row | {"accuracy": found["test/accuracy"]}
    if job.method == "adabn":  # its test images are those of the second microscope
        return row | {"second": found["test/miou"], "second_foreground": found["test/miou_foreground"]}
    row |= {"miou": found["test/miou"], "foreground": found["test/miou_foreground"]}
    there = run.test([f"dataset.root='{CELLS / 'Dataset 2'}'", SECOND])
    return row | {"second": there["test/miou"], "second_foreground": there["test/miou_foreground"]}


def _peer(job: Job) -> Row:
    import torch
    from peers import smp_loop

    model, seconds = smp_loop.train(
        pairs(1), job.seed, job.epochs, ACCELERATOR[job.device], METHODS[job.method].rate, batch=16
    )
    device = torch.device("cuda" if job.device != "cpu" and torch.cuda.is_available() else "cpu")
    first, second = (smp_loop.counted(model, pairs(n)["test"], device) for n in (1, 2))
    row = {"directory": "", "seconds": seconds, "miou": smp_loop.mean_iou(first), "second": smp_loop.mean_iou(second)}
    return row | {"foreground": _foreground(first), "second_foreground": _foreground(second)}


def _foreground(counts: Any) -> float:
    from tlx.tasks.segmentation.scores import ClassPixels, class_mean, iou

    return float(class_mean(iou(ClassPixels.of(counts)), without=0))


def pairs(number: int) -> dict[str, list[tuple[Path, Path]]]:
    """Return split -> images and masks of a microscope, in tlx's own splits."""
    import tlx
    from tlx.data import load_checked

    config = tlx.compose(["task=segmentation", *masks(number), *([SECOND] if number == 2 else [])])
    found = load_checked(config.dataset).splits
    return {split: [(s.source, s.source.with_suffix(".png")) for s in found[split].samples] for split in found}


def write_kinds(path: Path) -> None:
    """Write the table of the classifier: the kind of each cell, in the splits of the segmenter."""
    with (CELLS / "Class Labels of Dataset 1.csv").open(encoding="utf-8") as file:
        kinds = {int(row["image ID"]): KINDS.get(row["class label"]) for row in csv.DictReader(file)}
    lines = [
        [str(image), kinds[int(image.stem)], split]
        for split, found in pairs(1).items()
        for image, _ in found
        if kinds[int(image.stem)] is not None
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label", "split"], *lines])


def train_all(args: argparse.Namespace, results: Results) -> list[str]:
    """Do all jobs that have no result yet; return what failed, in words."""
    jobs = list(_jobs(args, results))
    if jobs:
        write_kinds(args.output / "cells.csv")
    return do_all(jobs, work, partial(ready, METHODS, ("epochs", "seed"), results), results, args.jobs)


def _jobs(args: argparse.Namespace, results: Results) -> Iterator[Job]:
    """Yield the jobs without a result, and those that they need; seeds change slowest."""
    wanted, threads = in_order(args.only, METHODS, LONGEST), threads_of(args)
    for seed in range(args.seeds):
        for name in wanted:
            if not results.of(method=name, epochs=args.epochs, seed=seed):
                yield Job(name, seed, args.epochs, args.device, args.output, threads)


def table(results: Results, epochs: int) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| training | mean IoU, % | without background, % | second microscope, % | seeds | s |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, method in METHODS.items():
        found = results.of(method=name, epochs=epochs)
        if found and name != "classifier":
            scores = [_cell(found, column) for column in ("miou", "foreground", "second")]
            seconds = statistics.mean(float(row["seconds"]) for row in found)
            lines.append(f"| {method.title} | {' | '.join(scores)} | {len(found)} | {seconds:.0f} |")
    found = results.of(method="classifier", epochs=epochs)
    if found:
        lines += ["", f"The classifier, four kinds of cells: {_cell(found, 'accuracy')} % of the test images."]
    return "\n".join(lines)


def _cell(found: list[dict[str, str]], column: str) -> str:
    scores = [float(row[column]) for row in found if row[column]]
    return mean_and_sd(scores) if scores else "-"


def main() -> None:
    args = settled(options(__doc__, ROWS, METHODS, "segmentation"), EPOCHS, only=[*METHODS, SPEED])
    results = Results(args.output / "segmentation.csv", FIELDS)
    failed = train_all(args, results)
    how = f"{args.epochs} epochs; s: seconds of training. {machine(args.device)}, {args.jobs} at a time."
    trainings = {"segmentation": lambda: f"{table(results, args.epochs)}\n\n{how}"}
    finish(args, trainings | speed("segmentation_speed", args), failed)


if __name__ == "__main__":
    main()
