"""Check whether the loss of a configuration is a sum over images, which `dataset.micro_batch` requires."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlx.base.errors import Mistake
from tlx.base.typecheck import show
from tlx.tasks.catalog import kind_of

KEY = "dataset.micro_batch"
SMALLER = "type dataset.micro_batch=null; with less memory, the same result: trainer.checkpoint_groups=all"


def check_micro_batch(config: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield a mistake if micro batches are asked for where their gradients do not add up to those of the batch."""
    asked = config["dataset"].get("micro_batch")
    if asked is None:
        return
    task, strategy = config["task"], config["strategy"]
    if config.get("classifier") is not None:
        yield Mistake(KEY, "null with a classifier: no weights train", show(asked), "type dataset.micro_batch=null")
    elif kind_of(task).reads_maps:
        expected = f"null for task={task['name']}, whose loss divides by sums over the whole batch"
        yield Mistake(KEY, expected, show(asked), SMALLER)
    elif strategy.get("adapt") is not None:
        expected = f"null for strategy={strategy['name']}, which compares the images of a whole batch"
        yield Mistake(
            KEY, expected, show(asked), "type dataset.micro_batch=null and, for example, dataset.batch_size=8"
        )
