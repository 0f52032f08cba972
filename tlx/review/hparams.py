"""A run's row in TensorBoard's hparams tab: what it was configured to, and what came out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from tlx.config.naming import identity

# The columns that the tab shows by itself: the first five in alphabetical order, before Lightning's `epoch`.
METRICS = ("val/accuracy", "val/loss", "test/accuracy", "test/loss", "test/ece")
_LEFT_OUT = ("dataset._target_", "backbone._target_", "task._target_", "task.monitor", "task.mode", "task.num_classes")
Plain = str | float | int | bool


def hparams(config: DictConfig) -> dict[str, Plain]:
    """Return what decides a run's result as one flat dict of plain values, by dotted key in alphabetical order.

    The optimizer is told by its class, the stages of the strategy by their names and epochs; `none` stands for null.
    """
    flat = _flat({key: value for key, value in identity(config).items() if key != "strategy"})
    if flat.get("dataset.subset_seed") == flat["seed"]:  # as it is unless set: no column of its own
        del flat["dataset.subset_seed"]
    flat["optimizer.name"] = str(flat.pop("optimizer._target_")).rpartition(".")[2]
    flat["strategy.name"] = config.strategy.name
    flat["strategy.stages"] = ", ".join(f"{stage.name} {stage.get('epochs', 5)}" for stage in config.strategy.stages)
    return {key: flat[key] for key in sorted(flat) if key not in _LEFT_OUT}


def best_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the figures of the best checkpoint by which the tab compares runs, as `best/val_accuracy`, …"""
    return {f"best/{name.replace('/', '_')}": figures[name] for name in METRICS if name in figures}


def write_hparams(writer: Any, values: Mapping[str, Plain], row: str, step: int) -> None:
    """Write a run's row.

    torch's own `add_hparams` writes a list of columns with every run, of which TensorBoard takes the first it finds.
    Without it TensorBoard makes the columns from all runs, and puts those in which they differ first.

    Args:
        writer: A torch SummaryWriter.
        values: From `hparams`.
        row: Name of the row; runs under one name would be averaged.
        step: The step to log at.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

    began = SessionStartInfo(group_name=row, start_time_secs=time.time())
    for key, value in values.items():
        kind = "bool_value" if isinstance(value, bool) else "string_value" if isinstance(value, str) else "number_value"
        setattr(began.hparams[key], kind, value)
    ended = SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    for tag, data in (
        (metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=began)),
        (metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=ended)),
    ):
        about = metadata.create_summary_metadata(data)
        told = Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
        writer._get_file_writer().add_summary(Summary(value=[told]), step)


def _flat(node: Mapping[str, Any], path: str = "") -> dict[str, Plain]:
    flat: dict[str, Plain] = {}
    for key, value in node.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, name)
        else:
            flat[name] = value if isinstance(value, Plain) else "none" if value is None else json.dumps(value)
    return flat
