"""The tables of a sweep, from run directories written by hand."""

from __future__ import annotations

import csv
import json
import math
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from tlx.measures.intervals import bootstrap_counts
from tlx.records.resamples import FILE, Resamples
from tlx.sweeps.progress import Progress
from tlx.sweeps.records import Record, Records
from tlx.sweeps.table import Result, aggregate, as_text, report


def result(number: int, accuracy: float, **swept: str) -> Result:
    record = Record(number, {k.replace("__", "."): v for k, v in swept.items()}, f"runs/{number}", "finished")
    return Result(record, {"val/loss": 1 - accuracy, "test/accuracy": accuracy})


def test_settings_are_ordered_by_the_mean_over_their_seeds() -> None:
    """Guards against a table that is led by one lucky seed, or by the worst where less is better."""
    found = [
        result(0, 0.90, lr="0.1", seed="0"), result(1, 0.50, lr="0.1", seed="1"),
        result(2, 0.80, lr="0.01", seed="0"), result(3, 0.76, lr="0.01", seed="1"),
    ]  # fmt: skip
    best, worst = aggregate(found, "val/loss", "min")
    assert (best.values, best.seeds) == ({"lr": "0.01"}, 2)
    assert best.mean["test/accuracy"] == pytest.approx(0.78)
    assert best.sd["test/accuracy"] == pytest.approx(0.02 * math.sqrt(2))  # of a sample, n - 1
    assert worst.mean["val/loss"] == pytest.approx(0.3)
    assert [row.values["lr"] for row in aggregate(found, "test/accuracy", "max")] == ["0.01", "0.1"]
    text = as_text([best, worst], "val/loss").splitlines()
    assert text[0].split() == ["lr", "seeds", "val/loss", "test/accuracy"]
    assert text[1].split() == ["0.01", "2", "0.2200", "±", "0.0283", "0.7800", "±", "0.0283"]


def test_a_value_that_is_no_number_comes_last() -> None:
    """Guards against NaN at the head of the table, where every comparison with it is false."""
    found = [result(0, math.nan, lr="1"), result(1, 0.1, lr="2"), result(2, 0.9, lr="3")]
    assert [row.values["lr"] for row in aggregate(found, "val/loss", "min")] == ["3", "2", "1"]


def test_the_same_run_under_two_jobs_counts_once() -> None:
    """Guards against a spread of 0 over two seeds that were one."""
    twice = [result(0, 0.5, seed="0"), Result(result(0, 0.5, seed="0").record, {"val/loss": 0.5})]
    (row,) = aggregate(twice, "val/loss", "min")
    assert row.seeds == 1
    assert math.isnan(row.sd["val/loss"])


def outcome(number: int, right: np.ndarray, images: str = "same", **swept: str) -> Result:
    """Return the result of a network that is right on some of the test images (N,)."""
    found = bootstrap_counts(len(right), lambda drawn: {"accuracy": drawn @ right / len(right)})
    one = result(number, float(right.mean()), **swept)
    return Result(one.record, one.metrics, Resamples(images, len(right), found.units, found.tested))


def right_on(count: int, first: int = 0, images: int = 20) -> np.ndarray:
    found = np.zeros(images)
    found[first : first + count] = 1
    return found


def test_equal_figures_of_two_seeds_are_as_uncertain_as_the_images() -> None:
    """Guards against `0.9000 ± 0.0000` over two seeds on the same 20 images, as if nothing were uncertain."""
    found = [outcome(seed, right_on(18), lr="1", seed=str(seed)) for seed in (0, 1)]
    (row,) = aggregate(found, "val/loss", "min")
    assert row.interval["test/accuracy"] == pytest.approx((0.75, 1.0))
    table = as_text([row], "val/loss").splitlines()
    assert table[1].endswith("0.9000 ± 0.0000 (0.7500 to 1.0000)")
    assert table[-1] == "in brackets: 95 % interval over the 20 test images and the seeds"


def test_seeds_that_differ_widen_the_interval() -> None:
    """Guards against an interval over images alone where seeds differ more than images."""
    values = [right_on(count, images=400) for count in (200, 360)]
    (row,) = aggregate([outcome(i, one, seed=str(i)) for i, one in enumerate(values)], "val/loss", "min")
    low, high = row.interval["test/accuracy"]
    assert low < 0.55
    assert high > 0.85


def test_only_settings_that_differ_are_ranked() -> None:
    """Guards against a winner by one image of twenty, and against unpaired differences: on the same images a small
    difference may be certain."""
    small = [
        outcome(0, right_on(180, images=200), lr="a"),
        outcome(1, right_on(179, images=200), lr="b"),
        outcome(2, right_on(170, images=200), lr="c"),  # wrong on ten more images, right on no other
        outcome(3, right_on(170, images=200), images="others", lr="d"),
    ]
    rows = aggregate(small, "val/loss", "min")
    assert [row.rank for row in rows] == [1, 1, 3, None]
    assert rows[2].behind is not None
    assert (rows[2].behind.value, rows[2].behind.worse) == (pytest.approx(-0.05), True)
    assert rows[3].behind is None
    assert rows[0].interval["test/accuracy"][0] < rows[2].interval["test/accuracy"][1]  # intervals of both overlap


def test_a_setting_is_averaged_over_divisions_as_over_seeds() -> None:
    """Guards against a row for each `dataset.split_seed`, of which the luckiest division leads the table."""
    found = [
        outcome(4 * i + j, right_on(15 + i, first=j), images=str(j), lr=str(i), dataset__split_seed=str(j))
        for i in range(2)
        for j in range(3)
    ]
    best, other = aggregate(found, "val/loss", "min")
    assert (best.values, best.seeds, other.seeds) == ({"lr": "1"}, 3, 3)
    assert other.behind is not None
    assert other.behind.value == pytest.approx(-0.05)  # division by division
    low, high = best.interval["test/accuracy"]
    assert high - low > 0.3  # three divisions of one pool are no sixty images
    assert as_text([best, other], "val/loss").split()[1] == "runs"


def test_a_setting_is_averaged_over_folds() -> None:
    """Guards against a row for each fold, of which the luckiest leads the table."""
    found = [
        outcome(3 * i + j, right_on(15 + i), lr=str(i), dataset__fold=str(j + 1)) for i in range(2) for j in range(3)
    ]
    rows = aggregate(found, "val/loss", "min")
    assert [(row.values, row.seeds) for row in rows] == [({"lr": "1"}, 3), ({"lr": "0"}, 3)]
    assert as_text(rows, "val/loss").split()[1] == "folds"


@pytest.fixture
def sweep(tmp_path: Path) -> Records:
    records = Records(tmp_path / "sweeps" / "x")
    records.update_about(monitor="val/loss", mode="min", total=3, swept=["lr"])
    return records


def run(tmp_path: Path, name: str, state: str, **status: str) -> str:
    directory = tmp_path / name
    directory.mkdir()
    (directory / "status.json").write_text(json.dumps({"state": state, **status}))
    (directory / "metrics.json").write_text(json.dumps({"val/loss": 0.25, "test/accuracy": 0.75}))
    return str(directory)


def test_a_run_directory_knows_better_than_a_record_whose_writer_was_killed(sweep: Records, tmp_path: Path) -> None:
    """Guards against finished runs that the table leaves out, and failed ones of which nobody is told."""
    sweep.write(Record(0, {"lr": "0.1"}, run(tmp_path, "a", "finished"), "running"))
    sweep.write(Record(1, {"lr": "0.2"}, run(tmp_path, "b", "interrupted", reason="stopped"), "running"))
    sweep.write(Record(2, {"lr": "0.30000000000004"}, run(tmp_path, "c", "running")).end("killed", "by\nsignal 9"))
    text, found = report(sweep.directory)
    assert [r.record.state for r in found] == ["finished", "interrupted", "killed"]
    assert "1 interrupted:\n  lr=0.2: stopped" in text
    assert f"1 killed:\n  lr=0.3: by signal 9\n      {tmp_path / 'c'}" in text
    rows = list(csv.DictReader((sweep.directory / "runs.csv").open(newline="")))
    assert rows[0] == {
        "job": "0", "lr": "0.1", "state": "finished", "test/accuracy": "0.75", "val/loss": "0.25", "note": "",
        "run_dir": str(tmp_path / "a"),
    }  # fmt: skip
    assert rows[2]["lr"] == "0.30000000000004"
    assert [r["val/loss mean"] for r in csv.DictReader((sweep.directory / "table.csv").open(newline=""))] == ["0.25"]


def test_intervals_and_differences_are_in_the_table_and_its_file(sweep: Records, tmp_path: Path) -> None:
    """Guards against a CSV file from which the uncertainty is missing, and a damaged file that hides other runs."""
    for number, count in enumerate((190, 150, 0)):
        directory = run(tmp_path, str(number), "finished")
        sweep.write(Record(number, {"lr": str(number)}, directory, "finished"))
        made = outcome(number, right_on(count, images=200)).resamples
        assert made is not None
        Path(directory, FILE).write_text(made.text() if count else '{"images": 3}')
        Path(directory, "metrics.json").write_text(json.dumps({"val/loss": number, "test/accuracy": count / 200}))
    text, found = report(sweep.directory)
    assert [one.record.state for one in found] == ["finished", "finished", "failed"]
    assert "expected metrics in resamples of the test images, got images: 3 for a text" in " ".join(text.split())
    best, other = csv.DictReader((sweep.directory / "table.csv").open(newline=""))
    assert float(best["test/accuracy low"]) < 0.95 < float(best["test/accuracy high"])
    assert (best["rank"], other["rank"], best["difference"]) == ("1", "2", "")
    assert float(other["difference"]) == pytest.approx(-0.2)
    assert float(other["difference high"]) < -0.1


def test_a_job_that_ends_between_two_looks_has_started(sweep: Records, tmp_path: Path) -> None:
    """Guards against a job without a first line where jobs are short, or the process that looks is slow."""
    out = StringIO()
    progress = Progress(sweep, out)
    sweep.write(Record(0, {"lr": "0.1"}, run(tmp_path, "a", "finished")).begin(1).end("finished"))
    sweep.write(Record(1, {"lr": "0.2"}, run(tmp_path, "b", "finished")).end("finished", "finished already"))
    progress.look()
    assert [line.partition("  ")[2].split()[0] for line in out.getvalue().splitlines()] == [
        "started",
        "val/loss",
        "val/loss",
    ]


def test_a_record_is_written_while_another_start_opens_the_sweep(sweep: Records, monkeypatch) -> None:
    """Guards against a job that fails because another start removes its record as half written by a kill."""
    replaced, opened = Path.replace, []

    def late(self: Path, target: Path) -> Path:
        if not opened:
            opened.append(self)
            Records(sweep.directory).open()
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", late)
    sweep.write(Record(0, {"lr": "0.1"}, "nowhere"))
    assert opened
    assert sweep.read(0).swept == {"lr": "0.1"}


def test_progress_says_what_changes_and_nothing_of_an_earlier_start(sweep: Records, tmp_path: Path) -> None:
    """Guards against a second start that prints the first one's failures, or a line twice."""
    sweep.write(Record(0, {"lr": "0.1"}, "nowhere").end("failed", "old"))
    out = StringIO()
    progress = Progress(sweep, out)
    progress.look()
    assert out.getvalue() == ""
    record = Record(0, {"lr": "0.1"}, run(tmp_path, "a", "finished"))
    sweep.write(record)
    progress.look()
    sweep.write(record.begin(1))
    progress.look()
    progress.look()
    sweep.write(record.begin(1).end("finished"))
    progress.look()
    sweep.write(Record(1, {"lr": "0.2"}, "nowhere").end("failed", "no\n  memory"))
    progress.look()
    assert out.getvalue().splitlines() == [
        "[1/3] lr=0.1  started",
        "[1/3] lr=0.1  val/loss 0.25  test/accuracy 0.75  0 s",
        "[2/3] lr=0.2  failed: no memory",
    ]


def test_the_live_line_says_how_far_a_job_is_and_how_long_it_takes(sweep: Records, monkeypatch) -> None:
    """Guards against a time left that counts epochs of an earlier start, and against tables of other tools."""
    record, rows = Record(0, {"lr": "0.1"}, "nowhere"), [{}, {"epoch": "x"}]
    rows += [{"epoch": str(i), "stage": "full", "epochs": "9", "val/loss": "0.25"} for i in (4, 4, 5, 6)]
    monkeypatch.setattr("tlx.sweeps.progress.last_row", lambda directory: rows.pop(0))
    clock = iter([100.0, 110.0, 130.0])
    monkeypatch.setattr("tlx.sweeps.progress.time.monotonic", lambda: next(clock))
    progress = Progress(sweep, StringIO())
    assert [progress.position(record, "val/loss") for _ in range(6)] == [
        "starts",
        "runs",
        "full epoch 5/9 val/loss 0.25",
        "full epoch 5/9 val/loss 0.25",
        "full epoch 6/9 val/loss 0.25, 30 s left",
        "full epoch 7/9 val/loss 0.25, 30 s left",
    ]
