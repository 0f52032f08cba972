"""Check that a change of the code does not change results: run names, figures and weights, to the last bit.

    python benchmarks/same_results.py --keep ../before        in a checkout of the old commit: train and keep the runs
    python benchmarks/same_results.py --compare ../before     in one of the new commit: train again, compare and print

The runs are small and train on the CPU: each kind of strategy, with and without the cache, adaptation, a classical
classifier, tiles, two processes, a run that is stopped and resumed. Then the new code opens the runs of the old code:
`test`, `predict`, `lineage`, `backbone=run`, and `resume` of a run that the old code left unfinished. The exit code is
1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "dataset=digits", "backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "dataset.channels=1",
    "dataset.labels_per_class=12", "dataset.batch_size=16", "trainer.stage_epochs=2", "trainer.accelerator=cpu",
    "optimizer.lr=1e-2", "seed=3",
]  # fmt: skip
IMAGENET = [
    "dataset=digits", "backbone=efficientnet_lite0", "dataset.image_size=32", "dataset.labels_per_class=6",
    "trainer.stage_epochs=2", "trainer.accelerator=cpu",
]  # fmt: skip
PLATES = ["dataset.classes=[0,1,2]", "target=plates", "target.characters=[0,1,2]", "target.per_class=20"]
UNCACHED = "cache.enabled=false"
RUNS: dict[str, list[str]] = {
    "scratch": [*SMALL, "strategy=scratch", "optimizer=sgd", "dataset.sampling=balanced"],
    "linear_probe": [*IMAGENET, "strategy=linear_probe"],
    "linear_probe without cache": [*IMAGENET, "strategy=linear_probe", UNCACHED],
    "last_layers": [*SMALL, "strategy=last_layers", "dataset.augment=light", "task.dropout=0.3"],
    "full": [*SMALL, "strategy=full", "optimizer.keep_source=0.01", "task.class_weights=balanced"],
    "gradual": [*SMALL, "strategy=gradual", "dataset.augment=light", "strategy.stages.2.start_from=best"],
    "gradual without cache": [*SMALL, "strategy=gradual", "dataset.augment=light", UNCACHED],
    "top_down": [*SMALL, "strategy=top_down"],
    "lp_ft": [*SMALL, "strategy=lp_ft"],
    "features": [*SMALL, "strategy=features"],
    "features without cache": [*SMALL, "strategy=features", "classifier=knn", UNCACHED],
    "dann": [*SMALL, *PLATES, "strategy=dann"],
    "coral": [*SMALL, *PLATES, "strategy=coral"],
    "self_training": [*SMALL, *PLATES, "strategy=self_training"],
    "tiles": [*SMALL, "strategy=full", "task.tile_size=8"],
    "two processes": [*SMALL, "strategy=full", "trainer.devices=2", "seed=4"],
    "stopped and resumed": [*SMALL, "strategy=gradual", "trainer.stage_epochs=20", "seed=5"],
}
UNFINISHED = [*SMALL, "strategy=gradual", "trainer.stage_epochs=20", "seed=6"]


def tlx(directory: Path, *words: str, code: int = 0) -> str:
    """Run a command of this checkout in a directory; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "tlx", *words], cwd=directory, env=variables(), capture_output=True, text=True
    )
    if done.returncode != code:
        sys.exit(f"tlx {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def variables() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def train(directory: Path, name: str, overrides: list[str]) -> Path:
    """Train one run; return its directory."""
    out = directory / name.replace(" ", "_")
    if name == "stopped and resumed":
        tlx(directory, "train", f"resume={stopped(out, overrides)}")
    else:
        tlx(directory, "train", *overrides, f"output_dir={out}", f"cache.dir={out / 'cache'}")
    return the_run(out)


def the_run(out: Path) -> Path:
    (found,) = [path.parent for path in out.glob("*/config.yaml")]
    return found


def stopped(out: Path, overrides: list[str]) -> Path:
    """Start a run and stop it after three epochs; return its directory."""
    words = ["train", *overrides, f"output_dir={out}", f"cache.dir={out / 'cache'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tlx", *words], env=variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not any(p.read_text().count("\n") > 3 for p in out.glob("*/metrics.csv")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    if process.wait() != 128 + signal.SIGTERM:
        sys.exit(f"expected a run that is stopped by SIGTERM, got exit code {process.returncode}: {out}")
    return the_run(out)


def figures(run: Path) -> dict[str, float]:
    plain = json.loads((run / "metrics.json").read_text())
    return {key: value for key, value in plain.items() if not key.endswith("seconds")}


def weights(run: Path, name: str) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / name, weights_only=True)["state_dict"]


def differences(ours: Path, theirs: Path) -> dict[str, str]:
    """Return the differences in name, figures, table of epochs and weights; '' for no difference."""
    found = {"name": "" if ours.name == theirs.name else f"{theirs.name} -> {ours.name}"}
    a, b = figures(ours), figures(theirs)
    found["figures"] = ", ".join(f"{k}: {b.get(k)} -> {a.get(k)}" for k in sorted(a | b) if a.get(k) != b.get(k))
    tables = [(run / "metrics.csv").read_text() if (run / "metrics.csv").is_file() else "" for run in (ours, theirs)]
    found["epochs"] = "" if tables[0] == tables[1] else "metrics.csv"
    wrong = []
    for name in ("best.ckpt", "last.ckpt"):
        if (theirs / "checkpoints" / name).is_file():
            mine, kept = weights(ours, name), weights(theirs, name)
            same = list(mine) == list(kept) and all(torch.equal(mine[key], kept[key]) for key in kept)
            wrong += [] if same else [name]
    found["weights"] = ", ".join(wrong)
    return found


def keep(directory: Path) -> None:
    """Train all runs, and leave one more unfinished."""
    directory.mkdir(parents=True)
    for name, overrides in RUNS.items():
        print(f"{name}: {train(directory, name, overrides).name}", flush=True)
    print(f"unfinished: {stopped(directory / 'unfinished', UNFINISHED).name}")


def compare(before: Path) -> bool:
    """Train all runs again, print a table, and open the old runs; return whether everything is the same."""
    same = True
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        print("| run | name | figures | epochs | weights |\n| --- | --- | --- | --- | --- |")
        for name, overrides in RUNS.items():
            found = differences(train(directory, name, overrides), the_run(before / name.replace(" ", "_")))
            print(f"| {name} | {' | '.join(value or 'same' for value in found.values())} |", flush=True)
            same = same and not any(found.values())
        old = directory / "old"
        shutil.copytree(before, old)
        return opens(old) and same


def opens(old: Path) -> bool:
    """Open the runs of the old code with this code; print and return whether each command gives the same."""
    same = True

    def report(what: str, right: bool) -> None:
        nonlocal same
        same = same and right
        print(f"{what}: {'same' if right else 'DIFFERENT'}", flush=True)

    for name in ("linear_probe", "gradual", "features", "dann", "tiles"):
        run = the_run(old / name)
        before = figures(run)
        printed = tlx(old, "test", str(run))
        tested = [f"{key}: {before[key]:.6g}" for key in ("test/loss", "test/accuracy")]
        report(f"test of {name}", set(tested) <= set(printed.splitlines()))
    picture = old / "one.png"
    make_picture(picture)
    for name in ("gradual", "features"):
        tlx(old, "predict", str(the_run(old / name)), str(picture), "-o", f"{name}.csv")
        report(f"predict of {name}", "one.png" in (old / f"{name}.csv").read_text())
    report("lineage", the_run(old / "gradual").name in tlx(old, "lineage", str(the_run(old / "gradual"))))
    more = ["backbone=run", f"backbone.run={the_run(old / 'scratch')}", "strategy=linear_probe", "dataset=digits"]
    tlx(old, "train", *more, "trainer.stage_epochs=1", f"run_dir={old / 'next'}", f"cache.dir={old / 'cache'}")
    report("backbone=run", json.loads((old / "next/status.json").read_text())["state"] == "finished")
    unfinished = the_run(old / "unfinished")
    tlx(old, "train", f"resume={unfinished}")
    (old / "again").mkdir()
    whole = train(old / "again", "unfinished", UNFINISHED)
    found = differences(unfinished, whole)
    report("resume of an unfinished run", not any(found.values()))
    return same


def make_picture(path: Path) -> None:
    from PIL import Image

    Image.new("L", (16, 16), 128).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--keep", type=Path, metavar="DIR")
    what.add_argument("--compare", type=Path, metavar="DIR")
    args = parser.parse_args()
    if args.keep:
        keep(args.keep.resolve())
    else:
        sys.exit(0 if compare(args.compare.resolve()) else 1)


if __name__ == "__main__":
    main()
