"""Curves over epochs."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from tlx.training.epoch_curves import forget_epochs


def test_points_of_epochs_that_are_trained_again_are_removed(tmp_path: Path) -> None:
    """Guards against two points at one epoch after a kill, and against other curves that lose points."""
    with SummaryWriter(str(tmp_path)) as writer:
        for epoch in range(4):
            writer.add_scalar("_loss/val", 4 - epoch, epoch)
            writer.add_scalar("val/loss", 4 - epoch, 10 * epoch)
        writer.add_text("review/table", "text", 3)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b"\x08\0\0")  # a record that a kill cut off
    whole = path.read_bytes()
    forget_epochs(tmp_path, 4)
    assert path.read_bytes() == whole  # nothing to remove
    forget_epochs(tmp_path, 2)
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [(point.step, point.value) for point in found.Scalars("_loss/val")] == [(0, 4.0), (1, 3.0)]
    assert [point.step for point in found.Scalars("val/loss")] == [0, 10, 20, 30]
    assert found.Tags()["tensors"] == ["review/table/text_summary"]
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
