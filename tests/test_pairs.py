"""Every strategy ends well on every kind of set, reading, cache and number format: all pairs of these in 60 runs."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tlx
from tests.conftest import ROOT
from tlx.data.batches import kept
from tlx.runs.run import Run

pytestmark = pytest.mark.run
ADAPTING = {"adabn", "coral", "dan", "dann", "cdan", "mcc", "self_training"}
WITHOUT_PREFIX = ADAPTING | {"full", "scratch"}  # nothing is frozen: nothing is in a cache
STRATEGIES = sorted(path.stem for path in (ROOT / "conf" / "strategy").glob("*.yaml"))
FACTORS: dict[str, list[Any]] = {
    "strategy": STRATEGIES,
    "images": [24, 60, 200, 20_000],
    "readers": [0, 1, 2],
    "kept": [True, False],
    "cache": ["empty", "partly filled", "full"],
    "copies": [True, False],
    "channels_last": ["true", "false", "auto"],
    "precision": ["32-true", "bf16-mixed", "auto"],
}
WHOLE = "lp_ft"  # the strategy that takes all of 20,000 images; with the others an epoch is a few batches
Row = dict[str, Any]
Pair = tuple[str, Any, str, Any]


def all_pairs(factors: Mapping[str, Sequence[Any]], seed: int) -> list[Row]:
    """Return rows in which every pair of values of any two factors occurs, one for each pair of the first two factors.

    The first two have most values, so there can be no fewer rows. The other columns are filled greedily: each value is
    the one that brings most pairs that were not there, ties are drawn.
    """
    draw = random.Random(seed)
    first, second, *others = factors
    rows: list[Row] = [{first: a, second: b} for a, b in itertools.product(factors[first], factors[second])]
    draw.shuffle(rows)
    seen: set[Pair] = set()
    for row in rows:
        for name in draw.sample(others, len(others)):
            fresh = {
                value: pairs_with(row, name, value) - seen for value in draw.sample(factors[name], len(factors[name]))
            }
            row[name] = max(fresh, key=lambda value, fresh=fresh: len(fresh[value]))
            seen |= fresh[row[name]]
    return [{name: row[name] for name in factors} for row in rows]


def pair(one: str, a: Any, other: str, b: Any) -> Pair:
    return (one, a, other, b) if one < other else (other, b, one, a)


def pairs_with(row: Row, name: str, value: Any) -> set[Pair]:
    """Return the pairs that a value of one more factor brings to a row."""
    return {pair(name, value, other, row[other]) for other in row}


def missing(rows: Sequence[Row], factors: Mapping[str, Sequence[Any]]) -> set[Pair]:
    wanted = {
        pair(one, a, other, b)
        for one, other in itertools.combinations(factors, 2)
        for a, b in itertools.product(factors[one], factors[other])
    }
    return wanted - {
        pair(one, row[one], other, row[other]) for row in rows for one, other in itertools.combinations(row, 2)
    }


ROWS = min((all_pairs(FACTORS, seed) for seed in range(5)), key=lambda rows: len(missing(rows, FACTORS)))
SAMPLE: list[Row] = [
    dict(zip(FACTORS, values, strict=True))
    for values in [
        ("gradual", 24, 0, True, "empty", True, "true", "32-true"),
        ("lp_ft", 60, 1, True, "partly filled", False, "false", "32-true"),
        ("top_down", 24, 0, True, "partly filled", True, "auto", "auto"),
        ("features", 24, 2, True, "full", True, "auto", "bf16-mixed"),
        ("cdan", 24, 0, True, "empty", True, "false", "auto"),
    ]
]


def name(row: Row) -> str:
    return "-".join(str(value).replace(" ", "_") for value in row.values())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return a function that writes a folder of so many pictures of three classes once; one in eight may be a copy."""
    base = tmp_path_factory.mktemp("pictures")

    def folder(count: int, copies: bool) -> Path:
        to = base / f"{count}-{copies}"
        if to.is_dir():
            return to
        rng = np.random.default_rng(count)
        classes = rng.integers(60, 200, (3, 12, 12))
        for label in range(3):
            (to / f"class {label}").mkdir(parents=True)
        for i in range(count):
            if not copies or i % 8 < 7:
                pixels = (classes[i % 3] + rng.normal(0, 30, (12, 12))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(to / f"class {i % 3}" / f"{i}.png", compress_level=1)
        return to

    return folder


def overrides(row: Row, root: Path, target: Path, to: Path) -> list[str]:
    found = [
        "backbone=small_cnn", "backbone.width=4", "dataset=folder", f"dataset.root={root}", "dataset.channels=1",
        "dataset.image_size=16", "dataset.batch_size=8", f"dataset.num_workers={row['readers']}",
        f"strategy={row['strategy']}", "trainer.stage_epochs=2", f"trainer.channels_last={row['channels_last']}",
        f"trainer.precision={row['precision']}", "logger=none", f"cache.dir={to / 'cache'}", "cache.views=2",
    ]  # fmt: skip
    if row["strategy"] in ADAPTING:
        found += ["target=folder", f"target.root={target}", "target.name=other"]
    if row["images"] > 1000:
        found += ["dataset.batch_size=64", "trainer.stage_epochs=1"]
        found += [] if row["strategy"] == WHOLE else ["trainer.limit_batches=3"]
    return found


def trained(row: Row, root: Path, target: Path, to: Path, patch: pytest.MonkeyPatch) -> Run:
    """Train a row; where it wants a cache that holds something, after a run that filled it as another reader would."""
    chosen = overrides(row, root, target, to)
    plain = None
    if row["cache"] != "empty" and row["strategy"] not in WITHOUT_PREFIX:
        other = [*chosen, "dataset.num_workers=0", f"run_dir={to / 'filled'}"]
        plain = tlx.train(tlx.compose(other + ["dataset.fraction=0.5"] * (row["cache"] == "partly filled")))
    if not row["kept"]:
        patch.setattr(kept, "memory_available", lambda: 0)
    run = tlx.train(tlx.compose([*chosen, f"run_dir={to / 'run'}"]))
    if plain is not None and row["cache"] == "full" and "auto" not in (row["channels_last"], row["precision"]):
        rough = 1e-3 if row["precision"] == "32-true" else 0.05
        for figure in ("val/loss", "test/loss"):
            assert run.metrics[figure] == pytest.approx(plain.metrics[figure], rel=rough), figure
    return run


def ends_well(row: Row, pictures, to: Path, patch: pytest.MonkeyPatch) -> None:
    target = pictures(60, True) if row["strategy"] in ADAPTING else to
    run = trained(row, pictures(row["images"], row["copies"]), target, to, patch)
    assert run.finished
    assert 0 <= run.metrics["test/accuracy"] <= 1
    assert all(math.isfinite(value) for key, value in run.metrics.items() if "/loss" in key)


@pytest.mark.parametrize("row", SAMPLE, ids=name)
def test_a_run_ends_well(row, pictures, tmp_path, monkeypatch):
    """Guards against an ordinary run that crashes for what was read, kept or cached before: a sample of those below."""
    ends_well(row, pictures, tmp_path, monkeypatch)


def test_all_pairs_are_in_as_few_runs_as_can_be():
    """Guards against a new strategy, or a new value, that no run below pairs with the others."""
    assert len(ROWS) == len(FACTORS["strategy"]) * len(FACTORS["images"])
    assert not missing(ROWS, FACTORS)
    assert missing(ROWS[1:], FACTORS)


@pytest.mark.nightly
@pytest.mark.parametrize("row", ROWS, ids=name)
def test_every_pair_ends_well(row, pictures, tmp_path, monkeypatch):
    """Guards against a crash that takes two things to come together."""
    ends_well(row, pictures, tmp_path, monkeypatch)
