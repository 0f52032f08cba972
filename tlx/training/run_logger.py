"""One logger of a run, from its first step to the review of its test."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.nn import Module

from tlx.base.printable import one_line

log = logging.getLogger("tlx")
FAILURES_AT_MOST = 2  # in a row; the library behind a logger has tried again before each


class RunLogger(Logger):
    """Hands on to a logger of Lightning's, which stays open until the run ends and not only until a Trainer does.

    What a logger cannot send away is a warning: the run goes on. Where it fails again at once, it is asked no more. A
    logger that writes into the run directory is a part of the run, and what it raises ends it.

    Args:
        inner: The logger; None in processes that do not write.
        name: What messages call it.
        sends: Whether it may send figures away.
    """

    def __init__(self, inner: Logger | None, name: str, sends: bool = False) -> None:
        super().__init__()
        self.inner, self.sends = inner, sends
        self._name, self._failures, self._closed = name, 0, False

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._name

    @property
    def version(self) -> None:
        """A run has one name for all that it writes."""
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
    def experiment(self) -> Any:
        """What the library behind the logger calls a run; None in processes that do not write."""
        return None if self.inner is None else self.inner.experiment  # type: ignore[attr-defined]

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures at a step."""
        self._ask("log figures", lambda logger: logger.log_metrics(dict(metrics), step))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Log what decided the result of the run."""
        self._ask("log hyperparameters", lambda logger: logger.log_hyperparams(params, *args, **kwargs))

    def log_image(self, key: str, images: Sequence[Any], step: int | None = None) -> None:
        """Log pictures, where the logger takes any."""
        if hasattr(self.inner, "log_image"):
            self._ask(f"log {key}", lambda logger: logger.log_image(key, list(images), step))

    def log_graph(self, model: Module, input_array: Tensor | None = None) -> None:
        """Log the graph of a network, whose input has the shape of `input_array` (B, C, H, W)."""
        self._ask("log the graph", lambda logger: logger.log_graph(model, input_array))

    def save(self) -> None:
        """Write what is held back."""
        self._ask("save", lambda logger: logger.save())

    def finalize(self, status: str) -> None:
        """Keep open what a Trainer ended well with: the review is still to come."""
        self.save() if status == "success" else self.close(status)

    def close(self, status: str) -> None:
        """End the logging of the run.

        Args:
            status: `success` or `failed`.
        """
        if self._closed:
            return
        self._closed = True
        self._ask("end", lambda logger: _end(logger, status))

    def _ask(self, what: str, do: Callable[[Any], object]) -> None:
        if self.inner is None or self._failures >= FAILURES_AT_MOST:
            return
        try:
            do(self.inner)
            self._failures = 0
        except Exception as error:
            if not self.sends:
                raise
            self._failures += 1
            more = "; it is asked no more, the run goes on" if self._failures >= FAILURES_AT_MOST else ""
            log.warning("%s: expected to %s, got %s%s", self.name, what, brief(error), more)


def brief(error: Exception) -> str:
    """Return an error in one line of at most a few hundred letters."""
    return f"{type(error).__name__}: {one_line(' '.join(str(error).split())[:300])}"


def _end(logger: Logger, status: str) -> None:
    logger.finalize(status)
    finish = getattr(logger.experiment, "finish", None)  # type: ignore[attr-defined]
    if callable(finish):  # of Weights & Biases, where the next run of this process would otherwise log to the same one
        finish(exit_code=0 if status == "success" else 1)
