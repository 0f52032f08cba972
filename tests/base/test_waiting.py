"""Who is waited for is named."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path

import pytest

from tlx.base import waiting
from tlx.base.files import locked
from tlx.base.lock_holder import holder
from tlx.base.waiting import waiting_for


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(waiting, "FIRST", 0.2)
    monkeypatch.setattr(waiting, "_watched_by", None)  # a thread that looks as often
    caplog.set_level(logging.INFO, logger="tlx")
    return caplog


@pytest.mark.slow
def test_a_long_wait_is_told_at_growing_intervals_and_a_short_one_is_not(lines: pytest.LogCaptureFixture) -> None:
    """Guards against a run that stands still without a word, and against a log full of one line."""
    with waiting_for(lambda: "somebody"):
        pass
    with waiting_for(lambda: ""):
        time.sleep(0.5)
    assert not lines.messages
    with waiting_for(lambda: "somebody"):
        time.sleep(1.2)
    told = lines.messages
    assert len(told) == 3  # after 0.2, 0.4 and 0.8 seconds
    assert told[0].endswith("seconds: somebody")
    time.sleep(0.5)
    assert lines.messages == told


def test_the_holder_of_a_lock_is_named_and_its_death_ends_the_wait(
    lines: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Guards against a second run that waits for a first one of which nobody knows where it is."""
    path = tmp_path / ".lock"
    holding, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(ready, b"1")
        time.sleep(1)
        os._exit(0)
    os.read(holding, 1)
    assert holder(path) == f"process {pid}"
    with locked(path, lambda: None):
        assert holder(path) == "this process"
    os.waitpid(pid, 0)
    assert lines.messages
    assert lines.messages[0].endswith(f"{path} is held by process {pid}")
    assert holder(path) == "a process on another machine or in another container"


def test_a_forked_process_has_a_watch_of_its_own(lines: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Guards against waits that nobody looks at: a thread is lost in a fork."""
    with waiting_for(lambda: "the parent's"):
        pid = os.fork()
        if pid == 0:
            logging.getLogger("tlx").addHandler(logging.FileHandler(tmp_path / "log"))
            with waiting_for(lambda: "the child's"):
                time.sleep(0.5)
            os._exit(0)
        os.waitpid(pid, 0)
    assert "the child's" in (tmp_path / "log").read_text()
    assert "the parent's" not in (tmp_path / "log").read_text()
