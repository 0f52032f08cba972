"""Every strategy on ants and bees (hymenoptera), and on two sets that are no part of ImageNet: brain MRI, Omniglot.

    python benchmarks/ants_bees.py                    all three, 5 seeds; 40 minutes on 2 cores
    python benchmarks/ants_bees.py --sets omniglot --seeds 0 1

Prints a table a set (test accuracy: mean and standard deviation over seeds; seconds of training), writes it into
docs/results.md and draws docs/results.png. Started again it goes on where it stopped: finished runs are returned.
Two runs at a time, one thread each. Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from report import ROOT, machine, write_section

DATA = Path(os.environ.get("TLX_TEST_DATA", ROOT.parent / "shared" / "data"))
STRATEGIES = ("scratch", "linear_probe", "last_layers", "full", "gradual", "lp_ft", "top_down")
COMMON = ("backbone=efficientnet_lite0", "dataset=folder", "dataset.num_workers=0", "logger=none", "trainer.devices=1")


@dataclass(frozen=True)
class Target:
    """A data set and what is overridden for it."""

    title: str
    overrides: tuple[str, ...]
    note: str


TARGETS = {
    "hymenoptera": Target(
        "Ants and bees (little data, similar task): 195 train, 49 val, 153 test, 224 px",
        ("trainer.stage_epochs=4",),
        "A subset of ImageNet, on which the network was trained: it compares figures, proves nothing about new data.",
    ),
    "brain_mri": Target(
        "Brain MRI (little data, different task): 50 labels a class of 4, 80 val, 394 test, 96 px",
        ("dataset.image_size=96", "dataset.labels_per_class=50", "dataset.val_fraction=0.1", "trainer.stage_epochs=4"),
        "The official split; 15 groups of identical files lie on both of its sides (23 test images).",
    ),
    "omniglot": Target(
        "Omniglot, Korean alphabet (small, different): 40 characters, 8 drawings to train, 2 val, 10 test, 64 px",
        (
            "dataset.image_size=64", "dataset.test_fraction=0.5", "dataset.val_fraction=0.1", "trainer.stage_epochs=8",
            "dataset.horizontal_flip=false", "optimizer.lr=3e-3",
        ),
        "Split 40/10/50 by content, a class at a time.",
    ),
}  # fmt: skip


def root_of(name: str, unpacked: Path) -> Path:
    if name == "hymenoptera":
        return DATA / "hymenoptera"
    if name == "brain_mri":
        return DATA / "brain_tumor_mri"
    with zipfile.ZipFile(DATA / "omniglot_small" / "python" / "images_background_small1.zip") as archive:
        archive.extractall(unpacked)
    return unpacked / "images_background_small1" / "Korean"


def overrides(name: str, root: Path, strategy: str, seed: int, output_dir: str) -> list[str]:
    own = [f"dataset.root={root}", f"strategy={strategy}", f"seed={seed}", f"output_dir={output_dir}/{name}"]
    return [*COMMON, *TARGETS[name].overrides, *own]


def one_run(arguments: list[str]) -> dict[str, float]:
    """Train in a process of its own, single-threaded beside one other."""
    import torch

    import tlx

    torch.set_num_threads(1)
    return tlx.train(tlx.compose(arguments)).metrics


def logistic_regression(arguments: list[str]) -> tuple[float, float]:
    """Return (test accuracy, seconds) of scikit-learn's classifier on the frozen features of train + val."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    import tlx
    from tlx.train import build

    start = time.perf_counter()
    data, task = build(tlx.compose([*arguments, "dataset.augment=none"]))
    task.set_layout(channels_last=True)
    task.eval()
    found = {}
    with torch.inference_mode():
        for split, loaders in (
            ("train", [data.train_dataloader(), data.val_dataloader()]),
            ("test", [data.test_dataloader()]),
        ):
            rows = [(task.backbone(task.normalise(b["image"])), b["target"]) for one in loaders for b in one]
            found[split] = torch.cat([x for x, _ in rows]).numpy(), torch.cat([y for _, y in rows]).numpy()
    scaler = StandardScaler().fit(found["train"][0])
    classifier = LogisticRegression(max_iter=2000, C=0.01).fit(scaler.transform(found["train"][0]), found["train"][1])
    return float(classifier.score(scaler.transform(found["test"][0]), found["test"][1])), time.perf_counter() - start


def measure(name: str, root: Path, seeds: list[int], output_dir: str) -> list[tuple[str, list[float], float]]:
    """Return rows (strategy, test accuracies, mean seconds)."""
    jobs = {(s, seed): overrides(name, root, s, seed, output_dir) for s in STRATEGIES for seed in seeds}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        metrics = dict(zip(jobs, pool.map(one_run, jobs.values()), strict=True))
        accuracy, seconds = pool.submit(logistic_regression, jobs["linear_probe", seeds[0]]).result()
    rows = [("frozen features + logistic regression", [accuracy], seconds)]
    for strategy in STRATEGIES:
        found = [metrics[strategy, seed] for seed in seeds]
        taken = statistics.mean(m["train/seconds"] for m in found)
        rows.append((strategy, [m["test/accuracy"] for m in found], taken))
    return rows


def table(name: str, rows: list[tuple[str, list[float], float]]) -> str:
    target = TARGETS[name]
    lines = [f"### {target.title}", "", target.note, "", "| strategy | test accuracy, % | sd | runs | seconds |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for strategy, scores, seconds in rows:
        sd = f"{100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else "-"
        lines.append(f"| {strategy} | {100 * statistics.mean(scores):.1f} | {sd} | {len(scores)} | {seconds:.0f} |")
    lines += ["", f"Overrides: `{' '.join(target.overrides)}`. {machine()}, two runs at a time, one thread each."]
    return "\n".join(lines)


def draw(results: dict[str, list[tuple[str, list[float], float]]]) -> None:
    """Draw docs/results.png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(4.2 * len(results), 3.6), squeeze=False)
    for axis, (name, rows) in zip(axes[0], results.items(), strict=True):
        fine = [r for r in rows if len(r[1]) > 1]
        means = [100 * statistics.mean(r[1]) for r in fine]
        sds = [100 * statistics.stdev(r[1]) for r in fine]
        axis.barh([r[0] for r in fine], means, xerr=sds, color="#4878a8", error_kw={"ecolor": "#333", "capsize": 3})
        axis.axvline(100 * rows[0][1][0], color="#c44e52", linestyle="--", linewidth=1, label=rows[0][0])
        axis.set_title(TARGETS[name].title.split(":")[0], fontsize=9)
        axis.set_xlabel("test accuracy, %  (mean and sd over seeds)", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.invert_yaxis()
        axis.set_xlim(0, 100)
    axes[0][0].legend(fontsize=7, loc="lower left")
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "results.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--output-dir", default="outputs/ants_bees")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    results = {}
    for name in args.sets:
        # A fixed place, so that a run is found again: its name holds the folder's path.
        unpacked = Path(tempfile.gettempdir()) / "tlx_ants_bees"
        results[name] = measure(name, root_of(name, unpacked), args.seeds, args.output_dir)
        text = table(name, results[name])
        print(f"\n{text}\n", flush=True)
        write_section(name, text)
    if len(results) == len(TARGETS):
        draw(results)


if __name__ == "__main__":
    main()
