"""Check the values of the trainer node that depend on each other or on other nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlx.base.errors import Mistake
from tlx.base.typecheck import show

Node = Mapping[str, Any]


def check_trainer(config: Node) -> Iterator[Mistake]:
    """Yield the mistakes of a trainer node whose values are valid one by one."""
    trainer: Node = config["trainer"]
    if trainer.get("devices") in (0, []):
        yield Mistake("trainer.devices", "at least 1, -1, auto or a list of GPUs", show(trainer["devices"]))
    groups = trainer.get("checkpoint_groups")
    if groups is not None:
        for key, wrong, right in (
            ("strategy", "fsdp", "ddp"), ("compile", True, "false"), ("sync_batchnorm", True, "false")
        ):  # fmt: skip
            if trainer.get(key) == wrong:
                expected = f"{right} with trainer.checkpoint_groups={show(groups)}"
                yield Mistake(f"trainer.{key}", expected, show(wrong), "or type trainer.checkpoint_groups=null")
        if config.get("classifier") is not None:
            hint = "type trainer.checkpoint_groups=null"
            yield Mistake("trainer.checkpoint_groups", "null with a classifier: no weights train", show(groups), hint)
    average = trainer.get("average_weights")
    if average is not None:
        hint = "type trainer.average_weights=null"
        if trainer.get("strategy") == "fsdp":
            expected = "null with trainer.strategy=fsdp, which shards the weights"
            yield Mistake("trainer.average_weights", expected, show(average), f"{hint}, or trainer.strategy=ddp")
        if config.get("classifier") is not None:
            yield Mistake("trainer.average_weights", "null with a classifier: no weights train", show(average), hint)
