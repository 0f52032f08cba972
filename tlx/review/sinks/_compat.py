"""The one private name of TensorBoard's writer in torch that tlx uses."""

from __future__ import annotations

from typing import Any


def file_writer(writer: Any) -> Any:
    """Return what a torch SummaryWriter writes to; `add_summary(summary, step)` of it takes any summary.

    The writer's own methods write no row of the hparams tab without a list of its columns.
    """
    return writer._get_file_writer()
