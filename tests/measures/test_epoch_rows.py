"""The rows that show how a training goes."""

from __future__ import annotations

import pytest

from tlx.base.printable import duration
from tlx.measures.epoch_rows import WIDTH, Epoch, EpochRows, expected_left, is_shown

FIGURES = {"train/loss": 0.6931, "val/loss": 12345.6, "val/accuracy": 0.5, "val/balanced_accuracy": 0.25}


def epoch(**changed: object) -> Epoch:
    return Epoch(
        **{  # type: ignore[arg-type]
            "stage": "full", "number": 2, "epochs": 10, "figures": FIGURES, "best": 0.25, "is_best": True,
            "seconds": 1.25, "left": 150.0, **changed,
        }
    )  # fmt: skip


def test_a_row_stands_below_its_headings() -> None:
    """Guards against a value in the column of another, and against a best value of another metric."""
    rows = EpochRows(epoch(), "val/loss", "val/accuracy")
    assert rows.heading().split() == [
        "stage", "epoch", "train", "loss", "val", "loss", "val", "accuracy", "best", "loss", "seconds", "left",
    ]  # fmt: skip
    assert rows.row(epoch()).split() == ["full", "2/10", "0.6931", "1.23e+04", "0.5000", "0.2500*", "1.2", "2", "min"]
    later = rows.row(epoch(is_best=False, at_least=True))
    assert later.endswith("0.2500       1.2   > 2 min")
    assert len(later) == len(rows.heading())


@pytest.mark.parametrize("monitor", ["val/loss", "val/balanced_accuracy", "target/infomax"])
@pytest.mark.parametrize("stage", ["full", "a stage\twith a long, long name ✓"])
@pytest.mark.parametrize("epochs", [5, 12_000])
def test_a_row_fits_a_terminal_on_one_line(monitor: str, stage: str, epochs: int) -> None:
    """Guards against rows that a terminal of 80 columns breaks, for every metric, and against control characters."""
    one = epoch(stage=stage, epochs=epochs, number=epochs, figures={**FIGURES, "target/infomax": 1.0})
    rows = EpochRows(one, monitor, "val/accuracy")
    room = WIDTH + (12 if stage != "full" else 0) + (4 if epochs > 1000 else 0)
    assert len(rows.heading()) <= room
    assert len(rows.row(one)) == len(rows.heading())
    assert rows.row(one).isprintable()


def test_a_column_without_values_is_left_out() -> None:
    """Guards against columns of dashes where there is no validation split."""
    alone = epoch(figures={"train/loss": 0.5}, best=None, is_best=False)
    rows = EpochRows(alone, "val/loss", "val/accuracy")
    assert rows.heading().split() == ["stage", "epoch", "train", "loss", "seconds", "left"]
    assert rows.row(epoch(figures={})).split()[2] == "-"


@pytest.mark.parametrize("epochs", [1, 40, 41, 300, 2000])
@pytest.mark.parametrize("improving", [False, True])
def test_long_stages_do_not_flood_the_terminal(epochs: int, improving: bool) -> None:
    """Guards against a row for each of 2,000 epochs, also where each is the best so far; and against no last row."""
    shown: list[int] = []
    for number in range(1, epochs + 1):
        if is_shown(number, epochs, improving, shown[-1] if shown else 0):
            shown.append(number)
    assert shown[0] == 1
    assert shown[-1] == epochs
    assert len(shown) == epochs if epochs <= 40 else 14 <= len(shown) <= 45
    assert is_shown(30, 100, True, 20)  # a new best value, although every fifth epoch has a row
    assert not is_shown(31, 100, True, 30)


def test_rows_fall_on_epochs_that_are_validated() -> None:
    """Guards against rows without figures: 84 epochs have a row each fifth, but every third is validated."""
    shown = [number for number in range(1, 85) if is_shown(number, 84, False, 0, 3)]
    assert shown == [1, *range(6, 85, 6)]


def test_what_is_left_follows_the_last_epochs() -> None:
    """Guards against a first epoch, in which everything is read for the first time, that counts for ever."""
    assert expected_left([60.0, 1.0, 1.0, 1.2, 0.8], 10) == 10
    assert [duration(seconds) for seconds in (0, 8.4, 99.6, 700, 7000, 11100, 200_000)] == [
        "0 s", "8 s", "2 min", "12 min", "1 h 57", "3 h 05", "2 d 7 h",
    ]  # fmt: skip
