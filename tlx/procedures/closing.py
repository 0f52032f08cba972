"""What a run prints when it ends: its test, its worst classes, where its pictures are, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tlx.base.printable import counted, one_line
from tlx.measures.by_class import ByClass, figure_lines

WORST = 3  # classes


def closing_lines(
    directory: Path, figures: Mapping[str, float], headline: str, images: int, by_class: ByClass | None
) -> Iterator[str]:
    """Yield the lines about the test.

    Args:
        directory: The run.
        figures: Its figures, with the ends of intervals.
        headline: The main test metric.
        images: Number of test images.
        by_class: The figures of each class; None: there are no classes.
    """
    yield f"test split, {counted(images, 'image', 'images')}:"
    yield from (f"  {line}" for line in figure_lines(figures, headline))
    if by_class is not None and len(by_class.rows) > 1:
        fewer = min(WORST, len(by_class.rows) - 1)
        yield f"worst of {len(by_class.rows):,} classes, by {by_class.worst_by}:"
        yield from (f"  {line}" for line in by_class.lines(fewer, rest=False))
    if (directory / "review" / "review.md").is_file():
        yield f"pictures and tables: {one_line(directory / 'review' / 'review.md')}"


def next_commands(directory: Path, tensorboard: bool) -> Sequence[str]:
    """Return the commands that come next, to be copied.

    Args:
        directory: The run.
        tensorboard: Whether the run has curves for TensorBoard.
    """
    run = _typed(directory)
    commands = [f"tlx test {run}", f"tlx predict {run} photos/"]
    return [*commands, *([f"tensorboard --logdir {_typed(directory.parent)}"] if tensorboard else [])]


def _typed(path: Path) -> str:
    return one_line(shlex.quote(str(path)))
