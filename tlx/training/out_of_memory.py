"""Say what to type where a training runs out of memory, on a GPU or on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig

from tlx.base.errors import TlxError
from tlx.data.datamodule import ImageDataModule
from tlx.tasks.catalog import kind_of
from tlx.training.devices import processes

# What torch says in a plain RuntimeError: of its allocator on a CPU (Linux, Windows), of cuDNN and cuBLAS, and of MPS.
_TEXTS = ("can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED", "MPS backend out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory could not be allocated."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


@contextmanager
def explained(config: DictConfig, data: ImageDataModule) -> Iterator[None]:
    """Raise an error of memory again with the size of a batch and what to type.

    Args:
        config: The configuration.
        data: Its images.

    Raises:
        TlxError: Memory could not be allocated.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TlxError(_message(config, data, error)) from error


def _message(config: DictConfig, data: ImageDataModule, error: Exception) -> str:
    count = processes(config) * config.trainer.num_nodes
    at_once, (height, width) = data.trained_share(count), data.preprocessing.height_width
    key = "dataset.batch_size" if data.micro_batch is None else "dataset.micro_batch"
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"{key}: expected {at_once} images of {height} x {width} pixels at once to fit into memory, "
        f"got: {first[:200].rstrip('.')}; type one or more of: {', '.join(_remedies(config, data, at_once))}"
    )


def _remedies(config: DictConfig, data: ImageDataModule, at_once: int) -> Iterator[str]:
    """Yield what to type, first what changes the result least."""
    trainer, classifier = config.trainer, config.get("classifier") is not None
    divides = not (classifier or kind_of(config.task).reads_maps or config.strategy.get("adapt") is not None)
    if divides and data.micro_batch is None and at_once > 1:
        yield "dataset.micro_batch=auto (the same batch in parts)"
    elif divides and at_once > 1:
        yield f"dataset.micro_batch={at_once // 2}"
    if trainer.get("checkpoint_groups") is None and not classifier:
        yield "trainer.checkpoint_groups=all (the same result in more time)"
    if trainer.precision == "32-true":
        yield "trainer.precision=bf16-mixed"
    if not divides and at_once > 1:
        count = processes(config) * trainer.num_nodes
        yield f"dataset.batch_size={at_once // 2 * count}"
    yield "a smaller dataset.image_size, or a smaller network"
