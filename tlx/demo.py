"""`tlx demo`: digits 0-4 to digits 5-9, transfer beside training from scratch, over three seeds, offline."""

from __future__ import annotations

import statistics
from pathlib import Path

from tlx.config import compose
from tlx.run import Run
from tlx.train import train

SEEDS = (0, 1, 2)


def demo(output_dir: str = "outputs/demo") -> str:
    """Train sources, transfers and baselines; return a table, the run directories and how to look at them."""
    common = [f"output_dir={output_dir}", "trainer.progress_bar=false"]
    sources, transfers, baselines = [], [], []
    for seed in SEEDS:
        print(f"\n== seed {seed}: the source, digits 0-4", flush=True)
        sources.append(train(compose(["experiment=digits_0to4", f"seed={seed}", *common])))
        print(f"\n== seed {seed}: transfer to digits 5-9, 10 labels a class", flush=True)
        start = f"backbone.run={sources[-1].directory}"
        transfers.append(train(compose(["experiment=digits_5to9", start, f"seed={seed}", *common])))
        print(f"\n== seed {seed}: the same network from scratch", flush=True)
        baselines.append(train(compose(["experiment=digits_5to9_scratch", f"seed={seed}", *common])))
    rows = [
        ("digits 0-4, source", sources),
        ("digits 5-9, 10 labels a class, transfer", transfers),
        ("digits 5-9, 10 labels a class, from scratch", baselines),
    ]
    table = "\n".join(_row(label, runs) for label, runs in rows)
    directories = "\n".join(f"  {run.directory}" for _, runs in rows for run in runs)
    title = f"test accuracy over seeds {', '.join(map(str, SEEDS))}"
    return f"\n{title:<45}   mean     sd  seconds\n{table}\n\nruns:\n{directories}\n\nlook: {_look(output_dir)}"


def _row(label: str, runs: list[Run]) -> str:
    scores = [run.metrics["test/accuracy"] for run in runs]
    seconds = statistics.mean(run.metrics["train/seconds"] for run in runs)
    return f"{label:<45}  {statistics.mean(scores):5.3f}  {statistics.stdev(scores):5.3f}  {seconds:7.1f}"


def _look(output_dir: str) -> str:
    venv = Path(".venv/bin/tensorboard")
    return f"{venv if venv.is_file() else 'tensorboard'} --logdir {output_dir}"
