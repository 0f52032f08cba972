"""Standard architectures with ImageNet weights, compared with the same from scratch, on ants and bees and on CIFAR-10.

    python benchmarks/architectures.py                                        all, 5 seeds
    python benchmarks/architectures.py --networks squeezenet1_1 --seeds 2

Test accuracy, mean and standard deviation over seeds. Data, epochs and the runs of EfficientNet-Lite0 are those of
benchmarks/practices.py. A network from scratch needs more epochs, so one column has 5 times as many (ants and bees).
The weights come from TLX_TEST_DATA, see the tests. Two runs at a time, one thread each. Started again, it skips
finished runs (--output). Writes docs/results.md.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from practices import KINDS, arguments
from real_sets import DATA
from report import machine, write_section
from seeds import accuracies, mean_and_sd, options, outcomes, two_at_a_time

METHODS = {
    "full": "pretrained, all layers tuned",
    "linear_probe": "pretrained, head only",
    "scratch": "from scratch",
    "scratch, longer": "from scratch, 5 times the epochs",
}
FILES = {
    "squeezenet1_1": "squeezenet1_1-torchvision-fp16src.pth",
    "mobilenet_v2": "mobilenet_v2-torchvision-from-tf2ptq.pth",
}
SETS = ("hymenoptera", "cifar10")
UNMEASURED = ("cifar10", "scratch, longer")  # it would take an hour
NETWORKS = ("efficientnet_lite0", *FILES)


def network(name: str, strategy: str) -> list[str]:
    """Return the overrides of a network; none for EfficientNet-Lite0, the network of benchmarks/practices.py."""
    if name not in FILES:
        return []
    if strategy == "scratch":
        return [f"backbone={name}"]
    return ["backbone=file", f"backbone.path={DATA / 'weights' / name / FILES[name]}", f"backbone.architecture={name}"]


def main() -> None:
    args = options(__doc__, "networks", NETWORKS, "practices").parse_args()

    def job(cell: tuple[str, str, str], seed: int) -> list[str]:
        name, kind, method = cell
        strategy, _, longer = method.partition(", ")
        data = replace(KINDS[kind], epochs=5 * KINDS[kind].epochs) if longer else KINDS[kind]
        return [*arguments(data, strategy, seed, args.output), *network(name, strategy)]

    with two_at_a_time() as pool:
        cells = [cell for cell in itertools.product(args.networks, SETS, METHODS) if cell[1:] != UNMEASURED]
        runs = outcomes(pool, cells, range(args.seeds), job)
    table = [f"| network | set | {' | '.join(f'{title}, %' for title in METHODS.values())} |"]
    table.append("| --- | --- |" + " ---: |" * len(METHODS))
    for name in args.networks:
        for kind in SETS:
            found = [runs.get((name, kind, method)) for method in METHODS]
            row = " | ".join("-" if cell is None else mean_and_sd(accuracies(cell)) for cell in found)
            table.append(f"| `{name}` | {kind} | {row} |")
    text = "\n".join([*table, "", f"{args.seeds} seeds. {machine()}, two runs at a time, one thread each."])
    print(text)
    write_section("architectures", text)


if __name__ == "__main__":
    main()
