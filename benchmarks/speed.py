"""Compare tlx with its peers: wall seconds of the whole process, and validation accuracy.

    python benchmarks/speed.py                          all rows, twice; about five hours on 2 cores
    python benchmarks/speed.py --rows probe5,full       some rows; --rounds 1: once
    python benchmarks/speed.py --small                  70 images, one epoch per stage, to try it out; 15 minutes

Rows: probe5, probe20, last_layers, gradual, full, trials, extraction. 2,000 training and 2,000 validation images of
CIFAR-10 as JPEG files, enlarged to 128 px, without augmentation, EfficientNet-Lite0 with the same weights, batches of
32, float32. tlx and its peers take turns. tlx starts with an empty cache each time, so its time includes filling the
cache. The peers are the scripts in benchmarks/peers. fastai and finetuning-scheduler get separate environments under
--envs (6 GB), created if missing. Two of a peer's 24 trials run, and their time is scaled; --all-trials runs all.

Measurements are stored in --work (~/.cache/tlx-benchmarks/speed) and not repeated when the benchmark is started again.
To repeat them, remove measurements/ or the folder of a row in it. The table is printed and, without --small, written to
docs/results.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cifar import write_images, write_weights
from environments import PACKAGES, NotInstallable, python_of
from report import machine, write_section
from rows import DECAYS, RATES, ROWS, SEEDS, TRIALS, Peer, Row

PEERS = Path(__file__).resolve().parent / "peers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tlx-benchmarks"
COMMON = ("backbone=efficientnet_lite0", "dataset.image_size=128", "dataset.augment=none", "logger=none")
SWEPT = ("optimizer.lr", "optimizer.weight_decay", "seed")
Figures = dict[str, float]  # seconds, val_accuracy


class Benchmark:
    """Takes measurements and stores them in a folder; stored ones are not repeated."""

    def __init__(self, folder: Path, envs: Path, rounds: int, small: bool, all_trials: bool) -> None:
        self.folder, self.envs, self.rounds, self.small = folder.resolve(), envs.resolve(), rounds, small
        self.trials = TRIALS if all_trials else TRIALS[:2]
        self.images, self.weights = self.folder / "images", self.folder / "lite0.pt"
        self.pythons: dict[str, str] = {}
        self.missing: dict[str, str] = {}  # environment -> why it cannot be installed
        if not self.weights.is_file():
            write_images(self.images, per_class=7 if small else 200)
            write_weights(self.weights)

    def measure(self, name: str) -> None:
        """Take the measurements of a row: in each round, tlx and then each peer."""
        row = ROWS[name]
        for turn in range(self.rounds):
            if name == "extraction":
                self._keep(name, "both", turn, self._extraction)
                continue
            self._keep(name, "tlx", turn, lambda: self._sweep(row) if name == "trials" else self._tlx(row))
            for peer in row.peers:
                if python := self._python(peer.environment):
                    script = self._script(python, peer, row)
                    method = self._peer_trials if name == "trials" else self._peer
                    self._keep(name, peer.key, turn, lambda method=method, script=script: method(script))

    def results(self, name: str, peer: Peer) -> tuple[list[Figures], list[Figures]]:
        """Return the stored measurements of tlx and of a peer in a row, one per round."""
        if name == "extraction":
            both = self._read(name, "both")
            return [found["tlx"] for found in both], [found["peer"] for found in both]
        return self._read(name, "tlx"), self._read(name, peer.key)

    def _read(self, name: str, key: str) -> list:
        paths = [self._path(name, key, turn) for turn in range(self.rounds)]
        return [json.loads(path.read_text()) for path in paths if path.is_file()]

    def _path(self, name: str, key: str, turn: int) -> Path:
        return self.folder / "measurements" / name / f"{key}.{turn}.json"

    def _keep(self, name: str, key: str, turn: int, measure: Callable[[], dict]) -> None:
        path = self._path(name, key, turn)
        if path.is_file():
            return
        found = measure()
        print(f"{name}  {key}  {json.dumps(found)}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))

    def _python(self, environment: str) -> str | None:
        if environment not in self.pythons | self.missing:
            try:
                self.pythons[environment] = python_of(environment, self.envs)
            except NotInstallable as error:
                self.missing[environment] = str(error)
        return self.pythons.get(environment)

    # One measurement each

    def _tlx(self, row: Row) -> Figures:
        with tempfile.TemporaryDirectory() as fresh:
            (seconds, _) = run([self._train(row, [f"run_dir={fresh}/run"])], fresh)
            metrics = json.loads(Path(fresh, "run", "metrics.json").read_text())
        return {"seconds": seconds, "val_accuracy": metrics["val/accuracy"]}

    def _sweep(self, row: Row) -> Figures:
        swept = [f"{key}={','.join(values)}" for key, values in zip(SWEPT, (RATES, DECAYS, SEEDS), strict=True)]
        launcher = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
        with tempfile.TemporaryDirectory() as fresh:
            (seconds, _) = run([self._train(row, [*launcher, *swept, f"output_dir={fresh}/outputs"])], fresh)
            with next(Path(fresh, "outputs", "sweeps").glob("*/runs.csv")).open(encoding="utf-8") as file:
                runs = list(csv.DictReader(file))
        scores = {tuple(float(run[key]) for key in SWEPT): float(run["val/accuracy"]) for run in runs}
        assert len(scores) == len(TRIALS), f"expected {len(TRIALS)} runs, got {len(scores)}"
        # Only the trials that the peer runs too, so that the accuracies are comparable.
        accuracy = statistics.mean(scores[tuple(map(float, trial))] for trial in self.trials)
        return {"seconds": seconds, "val_accuracy": accuracy}

    def _train(self, row: Row, arguments: Sequence[str]) -> list[str]:
        epochs = [f"strategy.stages.{i}.epochs={n}" for i, n in enumerate(self._epochs(row))]
        data = ["dataset=table", f"dataset.path={self.images / 'table.csv'}"]
        return [sys.executable, "-m", "tlx", "train", *data, *COMMON, f"strategy={row.strategy}", *epochs, *arguments]

    def _peer(self, script: list[str]) -> Figures:
        with tempfile.TemporaryDirectory() as fresh:
            seconds, (output,) = run([script], fresh)
        return {"seconds": seconds, "val_accuracy": last_line(output)["val_accuracy"]}

    def _peer_trials(self, script: list[str]) -> Figures:
        """Run trials two at a time with one thread each, as tlx does; scale the time to all trials."""
        seconds, scores = 0.0, []
        for i in range(0, len(self.trials), 2):
            pair = [
                [*script, "--lr", rate, "--weight-decay", decay, "--seed", seed]
                for rate, decay, seed in self.trials[i : i + 2]
            ]
            with tempfile.TemporaryDirectory() as fresh:
                taken, outputs = run(pair, fresh, OMP_NUM_THREADS="1")
            seconds += taken
            scores += [last_line(output)["val_accuracy"] for output in outputs]
        return {"seconds": seconds * len(TRIALS) / len(self.trials), "val_accuracy": statistics.mean(scores)}

    def _script(self, python: str, peer: Peer, row: Row) -> list[str]:
        shared = ["--images", str(self.images), "--weights", str(self.weights), "--epochs", *self._epochs(row)]
        return [python, str(PEERS / peer.script), *shared, *peer.arguments]

    def _extraction(self) -> dict[str, Figures]:
        script = [sys.executable, str(PEERS.parent / "extraction.py")]
        with tempfile.TemporaryDirectory() as fresh:
            _, (output,) = run([[*script, "--images", str(self.images), "--weights", str(self.weights)]], fresh)
        return last_line(output)

    def _epochs(self, row: Row) -> list[str]:
        return ["1" if self.small else str(epochs) for epochs in row.epochs]


def run(commands: list[list[str]], fresh: str, **settings: str) -> tuple[float, list[str]]:
    """Run commands simultaneously in an empty folder, with an empty tlx cache.

    Returns:
        Wall seconds until the last one ended, and the output of each.
    """
    environment = {**os.environ, "TLX_CACHE": f"{fresh}/cache", **settings}
    start = time.perf_counter()
    running = []
    for i, command in enumerate(commands):
        with Path(fresh, f"output{i}.txt").open("w") as log:
            running.append(subprocess.Popen(command, cwd=fresh, env=environment, stdout=log, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait() for process in running]
        taken = time.perf_counter() - start
    finally:
        for process in running:  # if the benchmark is stopped
            process.terminate()
    outputs = [Path(fresh, f"output{i}.txt").read_text(errors="replace") for i in range(len(commands))]
    for command, code, output in zip(commands, codes, outputs, strict=True):
        if code:
            raise SystemExit(f"{' '.join(command)}\nended with {code}:\n{output[-3000:]}")
    return taken, outputs


def last_line(output: str) -> dict:
    """Return the last line of JSON; libraries may print other lines after it."""
    return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])


def table(benchmark: Benchmark) -> str:
    """Return the measured rows as a Markdown table with notes."""
    lines = ["| work | against | goal | tlx, s | peer, s | ratio | tlx, val % | peer, val % |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, row in ROWS.items():
        for peer in row.peers:
            ours, theirs = benchmark.results(name, peer)
            head = f"| {row.work} | {peer.title} | {peer.goal:g} x |"
            if peer.environment in benchmark.missing and not theirs:
                reason = benchmark.missing[peer.environment]
                lines.append(f"{head} {seconds(ours)} | not installable: {reason} | - | {accuracy(ours)} | - |")
            elif ours and theirs:
                ratio = median(theirs) / median(ours)
                figures = (seconds(ours), seconds(theirs), f"**{ratio:.1f}**", accuracy(ours), accuracy(theirs))
                lines.append(f"{head} {' | '.join(figures)} |")
    lines += ["", f"{machine()}; {', '.join(p.replace('==', ' ') for p in PACKAGES.values())}."]
    if len(benchmark.trials) < len(TRIALS):
        ran = len(benchmark.trials)
        lines[-1] += f" {ran} of plain Lightning's 24 trials ran, in parallel; the time is theirs times {24 // ran}."
    return "\n".join(lines)


def median(found: list[Figures]) -> float:
    return statistics.median(figures["seconds"] for figures in found)


def seconds(found: list[Figures]) -> str:
    each = [f"{figures['seconds']:.1f}" for figures in found]
    return f"{median(found):.1f} ({', '.join(each)})" if len(each) > 1 else "".join(each) or "-"


def accuracy(found: list[Figures]) -> str:
    return f"{100 * statistics.mean(figures['val_accuracy'] for figures in found):.1f}" if found else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS), help="names, comma-separated")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--all-trials", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--envs", type=Path, default=CACHE / "envs")
    parser.add_argument("--work", type=Path, default=CACHE / "speed")
    args = parser.parse_args()
    if unknown := set(args.rows) - set(ROWS):
        parser.error(f"--rows: expected some of {', '.join(ROWS)}, got {', '.join(sorted(unknown))}")
    folder = args.work / "small" if args.small else args.work
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    benchmark = Benchmark(folder, args.envs, args.rounds, args.small, args.all_trials)
    for name in args.rows:
        benchmark.measure(name)
    text = table(benchmark)
    print(f"\n{text}")
    if not args.small:
        write_section("speed", text)


if __name__ == "__main__":
    main()
