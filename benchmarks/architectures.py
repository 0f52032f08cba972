"""Whole standard architectures with their ImageNet weights, against the same from scratch: ants and bees, CIFAR-10.

    python benchmarks/architectures.py                                        all, 5 seeds
    python benchmarks/architectures.py --networks squeezenet1_1 --seeds 2

Test accuracy, mean and standard deviation over seeds. Data and epochs are those of benchmarks/practices.py; so are the
runs of EfficientNet-Lite0. They are few for a network from scratch: one column has 5 times as many (ants and bees). The
weights are those that TLX_TEST_DATA has, see the tests. Two runs at a time, one thread each; started again it goes on
where it stopped (--output). Writes docs/results.md.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from practices import KINDS, arguments
from real_sets import DATA
from report import machine, write_section
from seeds import accuracies, mean_and_sd, options, outcomes, two_at_a_time

WAYS = {
    "full": "its weights, everything tuned",
    "linear_probe": "its weights, the head",
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


def network(name: str, way: str) -> list[str]:
    """From scratch a network needs no file; EfficientNet-Lite0 is what the practices use anyway."""
    if name not in FILES:
        return []
    if way == "scratch":
        return [f"backbone={name}"]
    return ["backbone=file", f"backbone.path={DATA / 'weights' / name / FILES[name]}", f"backbone.architecture={name}"]


def main() -> None:
    args = options(__doc__, "networks", NETWORKS, "practices").parse_args()

    def job(cell: tuple[str, str, str], seed: int) -> list[str]:
        name, kind, told = cell
        way, _, longer = told.partition(", ")
        data = replace(KINDS[kind], epochs=5 * KINDS[kind].epochs) if longer else KINDS[kind]
        return [*arguments(data, way, seed, args.output), *network(name, way)]

    with two_at_a_time() as pool:
        cells = [cell for cell in itertools.product(args.networks, SETS, WAYS) if cell[1:] != UNMEASURED]
        runs = outcomes(pool, cells, range(args.seeds), job)
    table = [f"| network | set | {' | '.join(f'{told}, %' for told in WAYS.values())} |"]
    table.append("| --- | --- |" + " ---: |" * len(WAYS))
    for name in args.networks:
        for kind in SETS:
            found = [runs.get((name, kind, way)) for way in WAYS]
            row = " | ".join("-" if cell is None else mean_and_sd(accuracies(cell)) for cell in found)
            table.append(f"| `{name}` | {kind} | {row} |")
    text = "\n".join([*table, "", f"{args.seeds} seeds. {machine()}, two runs at a time, one thread each."])
    print(text)
    write_section("architectures", text)


if __name__ == "__main__":
    main()
