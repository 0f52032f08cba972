"""Brain MRI with its official split: classifiers on frozen features, compared with training the head and last layers.

    python benchmarks/medical.py                 all rows, 5 seeds
    python benchmarks/medical.py --seeds 1 --rows logreg,svm

Accuracy, AUROC and the lowest sensitivity of a class on the test split: mean and standard deviation over seeds, and the
95 % bootstrap interval of the accuracy for the first seed. Two runs at a time, one thread each. Started again, it skips
finished runs (--output). Writes docs/results.md. Data: TLX_TEST_DATA, see the tests.
"""

from __future__ import annotations

import statistics

from real_sets import DATA
from report import machine, write_section
from seeds import mean_and_sd, options, outcomes, two_at_a_time

COMMON = (
    "backbone=efficientnet_lite0", "dataset=folder", f"dataset.root={DATA / 'brain_tumor_mri'}", "dataset.name=mri",
    "dataset.augment=affine", "dataset.num_workers=0", "logger=none", "trainer.devices=1",
)  # fmt: skip
SELECT = ("task.class_weights=balanced", "task.monitor=val/auroc", "task.mode=max")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "logreg": ("frozen features + logistic regression", ("strategy=features",)),
    "svm": ("frozen features + SVM", ("strategy=features", "classifier=svm")),
    "two_groups": ("two layer groups + logistic regression", ("strategy=features", "strategy.groups=last:3")),
    "linear_probe": ("linear_probe", ("strategy=linear_probe", "strategy.stages.0.epochs=15", *SELECT)),
    "last_layers": (
        "last_layers", ("strategy=last_layers", "strategy.stages.0.epochs=3", "strategy.stages.1.epochs=12", *SELECT),
    ),
}  # fmt: skip


def line(title: str, found: list[dict[str, float]]) -> str:
    """Return a row of the table."""
    accuracy, auroc = ([m[f"test/{name}"] for m in found] for name in ("accuracy", "auroc"))
    least = [min(v for k, v in m.items() if k.startswith("test/sensitivity/")) for m in found]
    first = found[0]
    interval = f"{100 * first['test/accuracy_low']:.1f} to {100 * first['test/accuracy_high']:.1f}"
    seconds = statistics.mean(m["train/seconds"] for m in found)
    cells = [
        title,
        mean_and_sd(accuracy),
        interval,
        mean_and_sd(auroc),
        mean_and_sd(least),
        str(len(found)),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = options(__doc__, "rows", ROWS, "medical")
    parser.add_argument("--size", type=int, default=224, help="side of the input in pixels (default: %(default)s)")
    args = parser.parse_args()
    common = [*COMMON, f"dataset.image_size={args.size}", f"output_dir={args.output}"]
    with two_at_a_time() as pool:
        runs = outcomes(pool, args.rows, range(args.seeds), lambda row, s: [*common, *ROWS[row][1], f"seed={s}"])
    table = ["| method | accuracy, % | 95 % interval | AUROC, % | least sensitivity, % | seeds | s |"]
    table.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in args.rows:
        table.append(line(ROWS[row][0], [metrics for metrics, _ in runs[row]]))
    images = "800 training images (20 % for validation), 394 test images, 23 of them copies of training images."
    how = f"{images} {args.size} px. {machine()}, two runs at a time, one thread each; s: seconds of training."
    text = "\n".join([*table, "", how])
    print(text)
    write_section("medical", text)


if __name__ == "__main__":
    main()
