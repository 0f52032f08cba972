"""Number of augmented views of an image that a frozen prefix needs: 1, 2, 4 or 8, compared with a new one each epoch.

    python benchmarks/views.py                        12 minutes on 2 cores

Linear probe (15 epochs) and `last_layers` (3 + 12) on ants and bees at 128 px and on brain MRI at 96 px (50 labels per
class), with the default augmentation and 5 seeds, which determine weights, order and views. One sweep of tlx per set.
Started again, it skips finished runs. Prints test accuracy and seconds of training; writes docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from report import ROOT, machine, write_section

DATA = Path(os.environ.get("TLX_TEST_DATA", ROOT.parent / "shared" / "data"))
VIEWS = (0, 1, 2, 4, 8)
STRATEGIES = {"linear_probe": (15,), "last_layers": (3, 12)}  # epochs of the stages
COMMON = (
    "backbone=efficientnet_lite0", "dataset=folder", "dataset.num_workers=0", "logger=none", "trainer.devices=1",
    "dataset.batch_size=32", "cache.view_seed=${seed}", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
)  # fmt: skip
SETS = {
    "ants and bees, 128 px": ("hymenoptera", ("dataset.image_size=128",)),
    "brain MRI, 96 px": ("brain_tumor_mri", ("dataset.image_size=96", "dataset.labels_per_class=50")),
}


def sweep(name: str, folder: str, own: tuple[str, ...], seeds: int, output: Path) -> list[Path]:
    """Train all settings on a set; return the run directories."""
    where = output / folder
    command = [
        sys.executable, "-m", "tlx", "train", "-m", *COMMON, *own, f"dataset.root={DATA / folder}",
        f"cache.views={','.join(map(str, VIEWS))}", f"seed={','.join(map(str, range(seeds)))}", f"output_dir={where}",
    ]  # fmt: skip
    print(name, flush=True)
    for strategy, epochs in STRATEGIES.items():
        stages = [f"strategy.stages.{number}.epochs={count}" for number, count in enumerate(epochs)]
        subprocess.run([*command, f"strategy={strategy}", *stages], check=True)
    return [path.parent for path in where.glob("*/metrics.json")]


def table(name: str, runs: list[Path]) -> list[str]:
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for run in runs:
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        key = config["strategy"]["name"], config["cache"]["views"]
        found.setdefault(key, []).append((100 * metrics["test/accuracy"], metrics["train/seconds"]))
    lines = []
    for strategy in STRATEGIES:
        cells = []
        for views in VIEWS:
            scores, seconds = zip(*found[strategy, views], strict=True)
            mean, sd = statistics.mean(scores), statistics.stdev(scores) if len(scores) > 1 else 0.0
            cells.append(f"{mean:.1f} +- {sd:.1f} ({statistics.mean(seconds):.0f} s)")
        lines.append(f"| {name} | {strategy} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "tlx-views")
    args = parser.parse_args()
    os.environ.setdefault("TLX_CACHE", str(args.output / "cache"))
    heads = [f"{views} view{'s' if views > 1 else ''}" if views else "new each epoch" for views in VIEWS]
    lines = ["| set | strategy | " + " | ".join(heads) + " |", "| --- | --- |" + " ---: |" * len(VIEWS)]
    for name, (folder, own) in SETS.items():
        lines += table(name, sweep(name, folder, own, args.seeds, args.output))
    how = (
        f"Test accuracy, %, mean +- sd over {args.seeds} seeds, and mean seconds of training. {machine()}, two runs at"
    )
    text = "\n".join([*lines, "", f"{how} a time; runs of the same seed share views."])
    print(text)
    write_section("views", text)


if __name__ == "__main__":
    main()
