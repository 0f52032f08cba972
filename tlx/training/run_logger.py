"""A logger of a run that stays open from the first step to the review of the test."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from torch import Tensor
from torch.nn import Module

from tlx.base.printable import one_line

log = logging.getLogger("tlx")
FAILURES_AT_MOST = 2  # consecutive ones; the logger's own library has already retried before each


class RunLogger(Logger):
    """Wraps a Lightning logger and keeps it open until the run ends, not only until a Trainer ends.

    If a logger fails to send data to a server, the run continues with a warning. After two failures in a row, the
    logger is not used any more. A logger that writes into the run directory is part of the run: its errors end the run.

    Args:
        inner: The logger; None in processes that do not write.
        name: Its name in messages.
        sends: Whether it may send data to a server.
    """

    def __init__(self, inner: Logger | None, name: str, sends: bool = False) -> None:
        super().__init__()
        self.inner, self.sends = inner, sends
        self._name, self._failures, self._closed = name, 0, False

    @property
    def name(self) -> str:
        """The name in messages."""
        return self._name

    @property
    def version(self) -> None:
        """None: runs have no versions."""
        return None

    @property
    def save_dir(self) -> str | None:
        """The folder that it writes to."""
        return None if self.inner is None else self.inner.save_dir

    @property
    def log_dir(self) -> str | None:
        """The folder that it writes to, below `save_dir`."""
        return None if self.inner is None else self.inner.log_dir

    @property
    def has_epoch_axis(self) -> bool:
        """Whether curves may be logged at the number of the epoch instead of the step; elsewhere steps must grow."""
        return isinstance(self.inner, TensorBoardLogger)

    @property
    def experiment(self) -> Any:
        """The run object of the logger's library; None in processes that do not write."""
        return None if self.inner is None else self.inner.experiment  # type: ignore[attr-defined]

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at a step."""
        self._call("log metrics", lambda logger: logger.log_metrics(dict(metrics), step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log the hyper-parameters of the run."""
        self._call("log hyperparameters", lambda logger: logger.log_hyperparams(params, *args, **kwargs))

    def log_image(self, key: str, images: Sequence[Any], step: int | None = None) -> None:
        """Log pictures if the logger supports them."""
        if hasattr(self.inner, "log_image"):
            self._call(f"log {key}", lambda logger: logger.log_image(key, list(images), step))

    def log_graph(self, model: Module, input_array: Tensor | None = None) -> None:
        """Log the graph of a network whose input has the shape of `input_array` (B, C, H, W)."""
        self._call("log the graph", lambda logger: logger.log_graph(model, input_array))

    def save(self) -> None:
        """Write buffered data."""
        self._call("save", lambda logger: logger.save())

    def finalize(self, status: str) -> None:
        """Keep the logger open after a Trainer succeeded, because the review follows."""
        self.save() if status == "success" else self.close(status)

    def close(self, status: str) -> None:
        """End the logging of the run.

        Args:
            status: `success` or `failed`.
        """
        if self._closed:
            return
        self._closed = True
        self._call("end", lambda logger: _end(logger, status))

    def _call(self, what: str, do: Callable[[Any], object]) -> None:
        if self.inner is None or self._failures >= FAILURES_AT_MOST:
            return
        try:
            do(self.inner)
            self._failures = 0
        except Exception as error:
            if not self.sends:
                raise
            self._failures += 1
            more = "; it is not used any more, the run continues" if self._failures >= FAILURES_AT_MOST else ""
            log.warning("%s: expected to %s, got %s%s", self.name, what, brief(error), more)


def brief(error: Exception) -> str:
    """Return an error as one line of at most a few hundred characters."""
    return f"{type(error).__name__}: {one_line(' '.join(str(error).split())[:300])}"


def _end(logger: Logger, status: str) -> None:
    logger.finalize(status)
    finish = getattr(logger.experiment, "finish", None)  # type: ignore[attr-defined]
    if callable(finish):  # Weights & Biases: or the next run of this process would log to the same one
        finish(exit_code=0 if status == "success" else 1)
