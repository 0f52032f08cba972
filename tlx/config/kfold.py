"""What `validation=kfold` does not go with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlx.base.errors import Mistake
from tlx.strategies.folds import is_kfold
from tlx.tasks.catalog import kind_of

_EACH = "validation=split -m dataset.folds=5 dataset.fold=1,2,3,4,5"


def kfold_mistakes(config: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield what `validation=kfold` does not go with; nodes that are no mappings are reported elsewhere."""
    if not isinstance(config.get("validation"), Mapping) or not is_kfold(config):
        return
    task, dataset, trainer = (config.get(part) for part in ("task", "dataset", "trainer"))
    if isinstance(task, Mapping) and not kind_of(task).gives_class_scores:
        hint = f"to train each fold as a run: {_EACH}"
        yield Mistake("validation", f"split with task={task.get('name')}", "'kfold'", hint)
    if config.get("target") is not None:
        yield Mistake("validation", "split with a target domain", "'kfold'", "type validation=split")
    if isinstance(dataset, Mapping):
        for key in ("folds", "fold"):
            if dataset.get(key) is not None:
                got, hint = str(dataset[key]), "for another number of folds type validation.folds=N"
                yield Mistake(f"dataset.{key}", "null with validation=kfold, which takes each in turn", got, hint)
    if isinstance(trainer, Mapping):
        yield from _trainer_mistakes(trainer)


def _trainer_mistakes(trainer: Mapping[str, Any]) -> Iterator[Mistake]:
    devices = trainer.get("devices", "auto")
    several = len(devices) > 1 if isinstance(devices, list) else isinstance(devices, int) and devices not in (0, 1)
    if several or trainer.get("num_nodes", 1) != 1:
        hint = f"type trainer.devices=1 trainer.num_nodes=1, or train each fold as a run: {_EACH}"
        yield Mistake("trainer.devices", "1 with validation=kfold, on one machine", str(devices), hint)
    if trainer.get("strategy") == "fsdp":
        yield Mistake("trainer.strategy", "auto with validation=kfold", "'fsdp'", "type trainer.strategy=auto")
    if trainer.get("limit_batches") is not None:
        expected, got = "null with validation=kfold, which holds out every image", str(trainer["limit_batches"])
        yield Mistake("trainer.limit_batches", expected, got, "type trainer.limit_batches=null")
