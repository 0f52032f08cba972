"""Choose the sinks of a run's review: plain files, and one for each logger."""

from __future__ import annotations

from collections.abc import Sequence

from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger

from tlx.measures.sections import Sections
from tlx.records.directory import RunDirectory
from tlx.review.sinks.base import Sink
from tlx.review.sinks.files import FileSink
from tlx.review.sinks.loggers import LoggerSink
from tlx.review.sinks.mlflow import MlFlowSink
from tlx.review.sinks.tensorboard import TensorBoardSink
from tlx.training.run_logger import RunLogger


def sinks_of(run: RunDirectory, sections: Sections, loggers: Sequence[RunLogger], step: int) -> list[Sink]:
    """Return the sinks of a review.

    Args:
        run: The run.
        sections: The content of the review.
        loggers: The run's loggers.
        step: The step to log at.
    """
    sinks: list[Sink] = [FileSink(run, sections)] if sections.tables or sections.pictures else []
    for logger in loggers:
        if isinstance(logger.inner, TensorBoardLogger):
            sinks.append(TensorBoardSink(logger, run, step))
        elif isinstance(logger.inner, MLFlowLogger):
            sinks.append(MlFlowSink(logger, step))
        else:
            sinks.append(LoggerSink(logger, step))
    return sinks
