"""The review of a finished run: its sections, written to each of its sinks."""

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
    """Write the review of a run: test_predictions.csv; with a logger also `review/`, and all of it to the loggers.

    Everything is logged at the step `train/steps`. What cannot be drawn or written is a warning: the run is worth more.

    Args:
        run: The run.
        hyperparameters: What decided its result, from `tlx.config.hyperparameters`.
        sections: What the task says of the test split.
        figures: The run's final figures.
        loggers: Of the run; none: no matplotlib, no pictures.

    Returns:
        The figures of the sections.
    """
    if sections.predictions is not None:
        run.files.add("test_predictions.csv")
        write_text(run.directory / "test_predictions.csv", sections.predictions.csv())
    if loggers:
        every = {**figures, **sections.figures}
        _write(sections, every, hyperparameters, sinks_of(run, sections, loggers, int(figures["train/steps"])))
    return dict(sections.figures)


def _write(
    sections: Sections, figures: Mapping[str, float], hyperparameters: Mapping[str, Plain], sinks: Sequence[Sink]
) -> None:
    sinks = [sink for sink in sinks if _opened(sink)]
    for sink in sinks:
        with _worth_a_warning("figures", sink):
            sink.write_figures(figures, sections.compared)
        with _worth_a_warning("hyperparameters", sink):
            sink.write_hyperparameters(hyperparameters)
    for picture in sections.pictures:
        pixels = None
        with _worth_a_warning(f"{picture.name}.png"):
            pixels = _drawn(picture)
        for sink in sinks if pixels is not None else ():
            with _worth_a_warning(f"{picture.name}.png", sink):
                sink.write_picture(picture.name, pixels)
    for sink in sinks:
        for group in sections.tables:
            with _worth_a_warning(group.name, sink):
                sink.write_tables(group)
        if sections.embedding is not None:
            with _worth_a_warning("projector", sink):
                sink.write_embedding(sections.embedding)
        with _worth_a_warning("the end of the review", sink):
            sink.close()


def _opened(sink: Sink) -> bool:
    with _worth_a_warning("the review", sink):
        sink.open()
        return True
    return False


def _drawn(picture: Picture) -> np.ndarray:
    with without_tex():
        drawn = picture.draw()
        return drawn if isinstance(drawn, np.ndarray) else pixels_of(drawn)


@contextmanager
def _worth_a_warning(what: str, sink: Sink | None = None) -> Iterator[None]:
    """Let a run end well although a part of its review could not be made or written."""
    try:
        yield
    except Exception as error:
        to = "" if sink is None else f" to {sink.name}"
        log.warning("review: expected to write %s%s, got %s: %s", what, to, type(error).__name__, error)
