"""What tlx uses of torch beyond its documentation is still there, and does what tlx takes it for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import nn
from torch.testing._internal.distributed import fake_pg  # noqa: F401, it makes the backend `fake`
from torch.utils.tensorboard import SummaryWriter

from tests.conftest import ROOT
from tlx.base.compat import torch as compat


def test_the_classes_of_norms():
    """Guards against statistics of BatchNorm that move in frozen layers, and a weight decay of norms."""
    for size in ("1d", "2d", "3d"):
        norm = getattr(nn, f"BatchNorm{size}")(2)
        assert isinstance(norm, compat.BatchNorm)
        assert {"momentum", "running_mean"} <= set(dir(norm))
        assert isinstance(getattr(nn, f"InstanceNorm{size}")(2, affine=True), compat.NormBase)
    assert issubclass(nn.SyncBatchNorm, compat.BatchNorm)
    assert issubclass(compat.BatchNorm, compat.NormBase)
    assert not isinstance(nn.LayerNorm(2), compat.NormBase)


def test_changes_in_place_are_counted():
    """Guards against a network that is cut where a module changes its input."""
    tensor = torch.zeros(2, device="meta")
    before = compat.changes(tensor)
    assert compat.changes(tensor + 1) == 0
    tensor.add_(1)
    assert compat.changes(tensor) == before + 1


def test_a_storage_on_the_meta_device_has_a_key():
    """Guards against activations that are counted once for all, or once for each view."""
    one, other = torch.zeros(2, device="meta"), torch.zeros(2, device="meta")
    keys = [compat.storage_key(tensor.untyped_storage()) for tensor in (one, one.view(1, 2), other)]
    assert keys[0] == keys[1] != keys[2]


def test_tensors_are_found_in_nested_batches():
    """Guards against parts of a batch that stay on the host, or are not shared."""
    batch = {"image": torch.zeros(1), "prefix": {"stem": torch.ones(1)}, "unlabelled": {"index": [torch.tensor(2)]}}
    assert [float(x) for x in compat.tensors_in(batch)] == [0, 1, 2]
    assert compat.map_tensors(lambda x: x + 1, batch)["unlabelled"]["index"] == [3]


def test_gradients_are_pulled_towards_the_start():
    """Guards against a penalty of L2-SP that pushes weights away, or changes them instead of their gradients."""
    gradients, weights, starts = [torch.zeros(2)], [torch.ones(2)], [torch.full((2,), 3.0)]
    compat.pull_towards(gradients, weights, starts, 0.5)
    assert gradients[0].tolist() == [-1, -1]
    assert weights[0].tolist() == [1, 1]


@pytest.mark.parametrize("parameters", [True, False])
def test_a_shallow_copy_keeps_the_original_as_it_is(parameters):
    """Guards against a network that loses its layers when a part of it is cut out."""
    original = nn.Linear(2, 2)
    original.inner = nn.ReLU()
    copy = compat.shallow_copy(original, parameters)
    copy.add_module("inner", nn.Identity())
    assert isinstance(original.inner, nn.ReLU)
    assert isinstance(copy.inner, nn.Identity)
    assert copy.weight is (original.weight if parameters else None)
    assert type(copy) is nn.Linear


def test_names_that_torch_builds_from_files_of_weights():
    """Guards against files of weights that are refused for torch's own types, or taken for anything."""
    allowed = compat.allowed_in_weights()
    assert {"torch._utils._rebuild_tensor_v2", "collections.OrderedDict", "torch.FloatStorage"} <= allowed
    assert not {"os.system", "argparse.Namespace"} & allowed


def test_processes_leave_one_another_values():
    """Guards against a message about late processes that is an error itself."""
    dist.init_process_group("fake", store=dist.HashStore(), rank=0, world_size=1)  # without threads, unlike gloo
    try:
        store = compat.default_store()
        store.set("tlx/x", "3")
        assert int(store.get("tlx/x")) == 3
        assert store.check(["tlx/x"])
        assert not store.check(["tlx/y"])
    finally:
        dist.destroy_process_group()


def test_a_batch_is_pinned_part_by_part(monkeypatch):
    """Guards against rows of the cache that are not pinned: a copy to the GPU waits for the host then."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, device=None: self + 1)
    batch = {"prefix": {"stem": torch.zeros(1)}, "index": torch.ones(1)}
    pinned = compat.pin_memory(batch)
    assert (float(pinned["prefix"]["stem"]), float(pinned["index"])) == (1, 2)


READERS = """
from torch.utils.data import DataLoader
from tlx.base.compat import torch as compat
loader = DataLoader(range(4), num_workers=2, persistent_workers=True, multiprocessing_context="fork")
assert not compat.has_readers(loader)
batches = iter(loader)
assert compat.has_readers(loader)
workers = list(batches._workers)
assert compat.reader_of_next(batches) == workers[0].pid
next(batches)
assert compat.reader_of_next(batches) == workers[1].pid
compat.stop_readers(loader)
del batches
assert not compat.has_readers(loader)
assert not any(worker.is_alive() for worker in workers)
"""


@pytest.mark.slow
def test_readers_of_a_loader_are_known_and_stopped():
    """Guards against readers of an earlier stage that stay, and against the log naming another process."""
    # In a process of its own: where others have threads, a forked process may wait for ever.
    done = subprocess.run([sys.executable, "-c", READERS], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_writer_takes_any_summary(tmp_path):
    """Guards against a version of torch in which a run's row of the hparams tab goes nowhere."""
    writer = SummaryWriter(str(tmp_path))
    compat.summary_writer(writer).add_summary(Summary(value=[Summary.Value(tag="x", simple_value=0.5)]), 3)
    writer.close()
    (point,) = EventAccumulator(str(tmp_path)).Reload().Scalars("x")
    assert (point.step, point.value) == (3, 0.5)
