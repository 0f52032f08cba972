"""Write the sections of a finished run's review to each of its sinks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from tlx.base.files import write_text
from tlx.measures.drawing import pixels_of, without_tex
from tlx.measures.sections import Picture, Plain, Sections
from tlx.records.directory import RunDirectory
from tlx.review.sinks.base import Sink
from tlx.review.sinks.choice import sinks_of
from tlx.training.run_logger import RunLogger

log = logging.getLogger("tlx")


def report(
    run: RunDirectory,
    hyperparameters: Mapping[str, Plain],
    sections: Sections,
    figures: Mapping[str, float],
    loggers: Sequence[RunLogger],
) -> dict[str, float]:
    """Write the review of a run: test_predictions.csv; with a logger also `review/`, and everything to the loggers.

    Everything is logged at the step `train/steps`. A part that cannot be drawn or written causes a warning, no error.

    Args:
        run: The run.
        hyperparameters: The settings that determined its result, from `tlx.config.hyperparameters`.
        sections: The task's review of the test split.
        figures: The run's final figures.
        loggers: The run's loggers; without any, no pictures are drawn and matplotlib is not needed.

    Returns:
        The figures of the sections.
    """
    if sections.predictions is not None:
        run.files.add("test_predictions.csv")
        write_text(run.directory / "test_predictions.csv", sections.predictions.csv())
    if loggers:
        all_figures = {**figures, **sections.figures}
        _write(sections, all_figures, hyperparameters, sinks_of(run, sections, loggers, int(figures["train/steps"])))
    return dict(sections.figures)


def _write(
    sections: Sections, figures: Mapping[str, float], hyperparameters: Mapping[str, Plain], sinks: Sequence[Sink]
) -> None:
    sinks = [sink for sink in sinks if _opened(sink)]
    for sink in sinks:
        with _warn_on_error("figures", sink):
            sink.write_figures(figures, sections.compared)
        with _warn_on_error("hyperparameters", sink):
            sink.write_hyperparameters(hyperparameters)
    for picture in sections.pictures:
        pixels = None
        with _warn_on_error(f"{picture.name}.png"):
            pixels = _drawn(picture)
        for sink in sinks if pixels is not None else ():
            with _warn_on_error(f"{picture.name}.png", sink):
                sink.write_picture(picture.name, pixels)
    for sink in sinks:
        for group in sections.tables:
            with _warn_on_error(group.name, sink):
                sink.write_tables(group)
        if sections.embedding is not None:
            with _warn_on_error("projector", sink):
                sink.write_embedding(sections.embedding)
        with _warn_on_error("the rest of the review", sink):
            sink.close()


def _opened(sink: Sink) -> bool:
    with _warn_on_error("the review", sink):
        sink.open()
        return True
    return False


def _drawn(picture: Picture) -> np.ndarray:
    with without_tex():
        drawn = picture.draw()
        return drawn if isinstance(drawn, np.ndarray) else pixels_of(drawn)


@contextmanager
def _warn_on_error(what: str, sink: Sink | None = None) -> Iterator[None]:
    """Log a warning instead of failing if a part of the review cannot be drawn or written."""
    try:
        yield
    except Exception as error:
        to = "" if sink is None else f" to {sink.name}"
        log.warning("review: expected to write %s%s, got %s: %s", what, to, type(error).__name__, error)
