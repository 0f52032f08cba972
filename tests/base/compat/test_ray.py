"""What tlx uses of Ray beyond its documentation is still there, and does what tlx takes it for."""

from __future__ import annotations

import inspect

import pytest

from tlx.base.compat.ray import job_config

pytest.importorskip("ray", reason="hydra/launcher=ray needs the package ray")


def test_workers_get_this_path_in_its_order():
    """Guards against workers that import another module of the same name, from the working directory."""
    config = job_config(["/first", "/second"])
    given = config._py_driver_sys_path
    given.extend(["/cwd"])
    assert list(given) == ["/second", "/first"]
    from ray._private import worker

    source = inspect.getsource(worker.connect)
    assert "_py_driver_sys_path.extend(" in source  # what Ray adds goes through the list that tlx gives
