"""The rows that show how a training goes, one for an epoch, as plain text. Pure functions, without torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tlx.base.printable import columns_of, duration, one_line, shortened

WIDTH = 80  # characters of a row; fewer than the columns need: their headings become shorter
_SPACED = 20  # a stage of more than twice as many epochs shows about this many of them, and new best values
_LONGEST_NAME = 16  # columns of a stage's name
_RECENT = 5  # epochs whose median time is expected of those that follow
LONG = 600.0  # seconds of training from which on a user is told how to shorten it


@dataclass(frozen=True)
class Epoch:
    """An epoch that has ended.

    Args:
        stage: Name of its stage.
        number: Its number in the stage, from 1.
        epochs: The epochs that the stage takes at most.
        figures: What was logged, by flat name: `train/loss`, `val/loss`, …
        best: The best monitored value so far; None: nothing was monitored.
        is_best: Whether it is that of this epoch.
        seconds: How long the epoch took, with its validation.
        left: The seconds that the rest of the run is expected to take.
        at_least: Whether the rest takes longer, because later stages train more layers.
    """

    stage: str
    number: int
    epochs: int
    figures: Mapping[str, float]
    best: float | None
    is_best: bool
    seconds: float
    left: float
    at_least: bool = False


class EpochRows:
    """The heading and the rows of one stage; all have the same columns.

    Args:
        first: The first epoch to show, whose figures decide the columns.
        monitor: The metric that selects weights.
        headline: The main metric of validation, such as `val/accuracy`.
        width: Characters of a row.
    """

    def __init__(self, first: Epoch, monitor: str, headline: str, width: int = WIDTH) -> None:
        self.monitor = monitor
        wanted = dict.fromkeys(("train/loss", "val/loss", headline, monitor))
        self.names = [name for name in wanted if name in first.figures]
        self.with_best = monitor in first.figures
        fixed = [max(len("stage"), columns_of(_stage(first))), max(len("epoch"), 2 * len(str(first.epochs)) + 1)]
        for shorten, self.gap in ((_as_words, "  "), (_as_short_words, "  "), (_as_short_words, " ")):
            self.headings = ["stage", "epoch", *map(shorten, self.names)]
            if self.with_best:
                metric = shorten(monitor).removeprefix("val ")
                self.headings.append(f"best {metric}" if shorten is _as_words else "best")
            self.headings += ["seconds", "left"]
            smallest = [*fixed, *[7] * len(self.names), *([7] if self.with_best else []), 7, 8]
            self.widths = [max(len(head), least) for head, least in zip(self.headings, smallest, strict=True)]
            if sum(self.widths) + len(self.gap) * (len(self.widths) - 1) <= width:
                break

    def heading(self) -> str:
        """Return the line of the columns."""
        return self._line(self.headings)

    def row(self, epoch: Epoch) -> str:
        """Return the line of an epoch; `*` marks the best value so far where it is new."""
        cells = [_stage(epoch), f"{epoch.number}/{epoch.epochs}"]
        cells += [_number(epoch.figures.get(name, math.nan)) for name in self.names]
        if self.with_best:
            cells.append(_number(math.nan if epoch.best is None else epoch.best) + ("*" if epoch.is_best else " "))
        left = duration(epoch.left)
        return self._line([*cells, _seconds(epoch.seconds), f"> {left}" if epoch.at_least and epoch.left else left])

    def _line(self, cells: Sequence[str]) -> str:
        first, *rest = zip(cells, self.widths, strict=True)
        return self.gap.join(
            [first[0] + " " * (first[1] - columns_of(first[0])), *(cell.rjust(width) for cell, width in rest)]
        )


def is_shown(number: int, epochs: int, is_best: bool, last_shown: int, validated: int = 1) -> bool:
    """Return whether an epoch gets a row: each of up to 40, otherwise some at equal distances and new best values.

    Args:
        number: The epoch, from 1.
        epochs: The epochs of its stage.
        is_best: Whether its monitored value is the best so far.
        last_shown: The last epoch of the stage with a row; 0: none.
        validated: Epochs from one validation to the next.
    """
    spaced = 1 if epochs <= 2 * _SPACED else math.ceil(epochs / _SPACED)
    every = math.ceil(spaced / validated) * validated
    return number in (1, epochs) or number % every == 0 or (is_best and number - last_shown >= every / 2)


def expected_left(seconds: Sequence[float], epochs: int) -> float:
    """Return the seconds that some more epochs take, as the last few have taken.

    Args:
        seconds: Of the epochs of this stage that have ended, at least one.
        epochs: Number of epochs left.
    """
    return statistics.median(seconds[-_RECENT:]) * epochs


def how_to_shorten(tuned: bool) -> str:
    """Return a line for a training that takes longer than LONG.

    Args:
        tuned: Whether it trains layer groups of the backbone, not the head alone.
    """
    probe = "; strategy=linear_probe trains the head alone" if tuned else ""
    return f"to shorten it: trainer.max_minutes={LONG / 60:.0f} fits the stages into that time{probe}"


def _stage(epoch: Epoch) -> str:
    return shortened(one_line(epoch.stage), _LONGEST_NAME)


def _as_words(name: str) -> str:
    return name.replace("/", " ").replace("_", " ")


def _as_short_words(name: str) -> str:
    """Return `accuracy` for `val/accuracy`; losses keep the name of their split."""
    return _as_words(name if name.endswith("/loss") else name.partition("/")[2])[:12]


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1000 else f"{value:.3g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 1000 else f"{seconds:.0f}"
