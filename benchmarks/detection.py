"""Blood cells and raccoons: boxes, by strategy, by where the weights come from, by model, and against a plain loop.

    python benchmarks/detection.py                                 everything, 3 seeds
    python benchmarks/detection.py --only full,reference --seeds 1 some rows; speed: the ratios alone
    python benchmarks/detection.py --sets raccoons --device cuda --jobs 8

EfficientNet-Lite0, images resized and padded as by tlx, batches of 4, the same split and number of steps for every row.
`reference` is torchvision's reference loop of detection (peers/detection_loop.py) with the same model, weights, size,
and steps. Average precision is that of faster-coco-eval on the test images at their own size.

Ratios (benchmarks/detection_speed.py) follow the trainings, when nothing else runs. Every result is appended to
detection.csv or detection_speed.csv in --output, and not repeated when the benchmark is started again. Writes
docs/results.md, unless --epochs is given. Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import argparse
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
    split,
    threads_of,
)
from real_sets import DATA
from report import machine
from seeds import mean_and_sd
from training_jobs import Results, Row, do_all, shares

EPOCHS = 6  # as in conf/experiment/detect_blood_cells.yaml, from which the other settings come as well
SETS = {
    "blood_cells": ("dataset=voc", f"dataset.root={DATA / 'bccd' / 'BCCD'}"),
    "raccoons": ("dataset=boxes", f"dataset.root={DATA / 'raccoon'}"),
    "scenes": ("dataset=scenes",),
}
# With strategy=full these are the rates of the experiments.
BATCH = 4
RECIPE = ("task=detection", f"dataset.batch_size={BATCH}", "optimizer.lr=2e-3", "trainer.gradient_clip_val=1.0")
FIELDS = ("method", "images", "seed", "epochs", "device", "ap", "ap_50", "ap_75", "accuracy", "seconds", "directory")


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Args:
        title: What it is, in words.
        strategy: The strategy of tlx; with `peer`, how its data and its network are built.
        parts: Fractions of the epochs for the stages of the strategy.
        more: More overrides.
        peer: Whether torchvision's loop trains.
        needs: The row whose run of the same seed it starts from.
        only: The set that it is for; "": all.
    """

    title: str
    strategy: str = "full"
    parts: tuple[float, ...] = (1.0,)
    more: tuple[str, ...] = ()
    peer: bool = False
    needs: str = ""
    only: str = ""


METHODS = {
    "classifier": Method("a classifier of the same cells: accuracy", only="blood_cells"),
    "scratch": Method("from random weights: `scratch`", "scratch"),
    "linear_probe": Method("frozen backbone: `linear_probe`", "linear_probe"),
    "last_layers": Method("`last_layers`", "last_layers", (0.2, 0.8)),
    "gradual": Method("`gradual`", "gradual", (0.2, 0.3, 0.5)),
    "full": Method("`full`"),
    "from_classifier": Method(
        "the same, from the classifier of the same cells", needs="classifier", only="blood_cells"
    ),
    "retinanet": Method("the same, `task.model=retinanet`", more=("task.model=retinanet",)),
    "fasterrcnn": Method("the same, `task.model=fasterrcnn`", more=("task.model=fasterrcnn",)),
    "reference": Method("torchvision's reference loop, FCOS", peer=True),
}
LONGEST = ("reference", "classifier")  # they begin first: nothing waits for them at the end


@dataclass(frozen=True)
class Job:
    """A training and its test.

    Args:
        method: Key of METHODS.
        images: Key of SETS.
        seed: Seed of weights, order and augmentation.
        epochs: Epochs of all stages together.
        device: `auto`, `cpu` or `cuda`.
        output: Folder of the runs.
        threads: Threads of its process.
        start: The run that it starts from; "": none.
    """

    method: str
    images: str
    seed: int
    epochs: int
    device: str
    output: Path
    threads: int
    start: str = ""

    @property
    def label(self) -> str:
        """What it is called when it ends."""
        return f"{self.images} {self.method} seed {self.seed}"


def overrides(job: Job) -> list[str]:
    """Return the overrides of a training by tlx."""
    method = METHODS[job.method]
    chosen = [*SETS[job.images], *MACHINE, f"trainer.accelerator={ACCELERATOR[job.device]}", f"seed={job.seed}"]
    chosen += [f"strategy={method.strategy}", f"output_dir={job.output}"]
    if job.method == "classifier":
        chosen += ["dataset.crops=true", "dataset.name=kinds_of_cells"]
        chosen += ["dataset.image_size=96"]  # most cells are smaller
    else:
        chosen += [*RECIPE, f"dataset.name={job.images}"]
    chosen += ["backbone=run", f"backbone.run={job.start}"] if method.needs else ["backbone=efficientnet_lite0"]
    chosen += [f"strategy.stages.{i}.epochs={n}" for i, n in enumerate(shares(job.epochs, method.parts))]
    return [*chosen, *method.more]


def work(job: Job) -> Row:
    """Train and test; return the figures. Runs in a process of its own, which does several jobs one after another."""
    prepare_process(job.threads)
    return _peer(job) if METHODS[job.method].peer else _ours(job)


def _ours(job: Job) -> Row:
    import tlx

    run = tlx.train(tlx.compose(overrides(job)))
    found = run.metrics
    row = {"directory": str(run.directory), "seconds": found["train/seconds"]}
    if job.method == "classifier":
        return row | {"accuracy": found["test/accuracy"]}
    return row | {"ap": found["test/map"], "ap_50": found["test/map_50"], "ap_75": found["test/map_75"]}


def _peer(job: Job) -> Row:
    """Train with torchvision's loop: as many steps, on the images and with the sides that tlx would use."""
    import torch
    from peers import detection_loop

    import tlx
    from tlx.tasks.detection.coco_metrics import coco_metrics
    from tlx.training.experiment import build

    config = tlx.compose(overrides(job))
    data, task = build(config)
    device = torch.device("cuda" if job.device != "cpu" and torch.cuda.is_available() else "cpu")
    sides = data.preprocessing.sides
    assert sides is not None
    labelled = {part: _labelled(data.splits[part]) for part in ("train", "test")}
    width = int(task.shaped_by["pyramid_channels"]), int(task.shaped_by["head_convs"])
    model = task.shaped_by["model"]
    first = detection_loop.first_class(model)
    torch.manual_seed(job.seed)
    network = detection_loop.model(model, task.backbone, len(data.class_names), *width, sides).to(device)
    seconds = detection_loop.train(network, labelled["train"], job.seed, job.epochs, BATCH, device, first)
    found = detection_loop.detected(network, labelled["test"], device, first)
    scores = coco_metrics(found, [rows for _, rows in labelled["test"]], limit=100)
    values = {"ap": "map", "ap_50": "map_50", "ap_75": "map_75"}
    return {"directory": "", "seconds": seconds, **{name: float(scores[key]) for name, key in values.items()}}


def _labelled(split: Any) -> list[Any]:
    """Return the files of a split with their boxes (n, 6)."""
    import torch

    found = []
    for sample in split.samples:
        label = sample.target
        rows = torch.zeros(len(label), 6)
        rows[:, :4] = torch.tensor(label.boxes(), dtype=torch.float32).view(-1, 4)
        rows[:, 4], rows[:, 5] = torch.tensor(label.classes), torch.tensor(list(label.ignored))
        found.append((sample.source, rows))
    return found


def train_all(args: argparse.Namespace, results: Results) -> list[str]:
    """Do all jobs that have no result yet; return what failed, in words."""
    jobs = list(_jobs(args, results))
    return do_all(jobs, work, partial(ready, METHODS, ("images", "epochs", "seed"), results), results, args.jobs)


def _jobs(args: argparse.Namespace, results: Results) -> Iterator[Job]:
    """Yield the jobs without a result, and those that they need; seeds change slowest."""
    wanted, threads = in_order(args.only, METHODS, LONGEST), threads_of(args)
    for seed in range(args.seeds):
        for images in args.sets:
            for name in wanted:
                fits = METHODS[name].only in ("", images)
                if fits and not results.of(method=name, images=images, epochs=args.epochs, seed=seed):
                    yield Job(name, images, seed, args.epochs, args.device, args.output, threads)


def table(results: Results, images: str, epochs: int) -> str:
    """Return the rows of a set as a Markdown table."""
    lines = [f"| {images.replace('_', ' ')} | AP, % | AP50, % | AP75, % | seeds | s |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, method in METHODS.items():
        found = results.of(method=name, images=images, epochs=epochs)
        if found and name != "classifier":
            scores = [mean_and_sd([float(row[column]) for row in found]) for column in ("ap", "ap_50", "ap_75")]
            seconds = statistics.mean(float(row["seconds"]) for row in found)
            lines.append(f"| {method.title} | {' | '.join(scores)} | {len(found)} | {seconds:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = options(__doc__, list(METHODS), METHODS, "detection")
    parser.add_argument("--sets", type=split, default=list(SETS), help=", ".join(SETS))
    args = settled(parser, EPOCHS, only=[*METHODS, SPEED], sets=SETS)
    results = Results(args.output / "detection.csv", FIELDS)
    failed = train_all(args, results)
    how = f"{args.epochs} epochs; s: seconds of training. {machine(args.device)}, {args.jobs} at a time."
    trainings = {"detection": lambda: "\n\n".join([*(table(results, s, args.epochs) for s in args.sets), how])}
    finish(args, trainings | speed("detection_speed", args), failed)


if __name__ == "__main__":
    main()
