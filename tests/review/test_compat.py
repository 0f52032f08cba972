"""What tlx uses of TensorBoard's writer beyond its documentation is still there."""

from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from tlx.review.sinks._compat import file_writer


def test_a_writer_takes_any_summary(tmp_path):
    """Guards against a version of torch in which a run's row of the hparams tab goes nowhere."""
    writer = SummaryWriter(str(tmp_path))
    file_writer(writer).add_summary(Summary(value=[Summary.Value(tag="x", simple_value=0.5)]), 3)
    writer.close()
    (point,) = EventAccumulator(str(tmp_path)).Reload().Scalars("x")
    assert (point.step, point.value) == (3, 0.5)
