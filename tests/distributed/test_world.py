"""Processes that torchrun or SLURM started, against those that the configuration asks for."""

from __future__ import annotations

import pytest

from tlx import TlxError, compose
from tlx.distributed import check_world


def test_other_processes_than_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against two processes that train alone, at once, into one directory."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_world(compose(["trainer.accelerator=cpu", "trainer.devices=2", "trainer.num_nodes=2"]))
    with pytest.raises(TlxError, match=r"expected 4.*got 2.*trainer\.num_nodes=2 trainer\.devices=2"):
        check_world(compose(["trainer.accelerator=cpu", "trainer.devices=1", "trainer.num_nodes=2"]))


def test_auto_is_refused_where_every_process_would_settle_it_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against `auto` reaching Lightning, which knows no such precision."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for key in ("precision", "channels_last"):
        with pytest.raises(TlxError, match=rf"trainer\.{key}"):
            check_world(compose(["trainer.accelerator=cpu", "trainer.devices=2", f"trainer.{key}=auto"]))
