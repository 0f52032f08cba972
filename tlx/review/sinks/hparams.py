"""A run's row in TensorBoard's hparams tab: its hyperparameters and its results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tlx.base.compat.torch import summary_writer
from tlx.measures.sections import Plain


def write_hparams(writer: Any, values: Mapping[str, Plain], row: str, step: int) -> None:
    """Write a run's row.

    torch's `add_hparams` writes a list of columns with every run, and TensorBoard uses the first list that it finds.
    Without a list, TensorBoard builds the columns from all runs and puts those that differ first.

    Args:
        writer: A torch SummaryWriter.
        values: The settings that determined the run's result.
        row: Name of the row; TensorBoard would average runs of the same name.
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
        value = Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
        summary_writer(writer).add_summary(Summary(value=[value]), step)
