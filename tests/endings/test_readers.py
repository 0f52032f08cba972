"""Processes that look at files of others end with the one who asks, and by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ASKS = """
import os, sys, threading
from tlx.data.reading import workers
started = workers._Worker._started
def told(self):
    process = started(self)
    print(process.pid, flush=True)
    return process
workers._Worker._started = told
list(workers.examine_all(sys.argv[1:], processes=1))
"""
ALONE = """
import re
from tlx.data.reading import facts
facts._LIMIT = 1.0
facts.examine = lambda path: re.match("(a|aa)*$", "a" * 100 + "b")  # for ever, and no other thread runs meanwhile
facts.main()
"""
FORKS = """
import os, time
from tlx.base import owner
owner.handle()
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        owner.watch_forker(lambda: os._exit(0))
        time.sleep(60)
        os._exit(1)
    print(pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_reader_ends_in_the_middle_of_a_file_when_the_one_who_asks_is_killed(tmp_path):
    """Guards against a reader that hashes a sparse file of two terabytes to its end, for nobody."""
    file = tmp_path / "sparse.png"
    file.touch()
    os.truncate(file, 2**41)
    with subprocess.Popen([sys.executable, "-c", ASKS, str(file)], stdout=subprocess.PIPE, text=True) as asks:
        assert asks.stdout is not None
        reader = int(asks.stdout.readline())
        time.sleep(0.5)  # it is at the file by now
        assert is_alive(reader)
        asks.kill()
    assert not left_of([reader])


def left_of(pids: list[int]) -> list[int]:
    """Wait until they are gone; return those that are left, and end them."""
    until = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    left = [pid for pid in pids if is_alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


def test_forked_helpers_end_with_the_one_who_forked_them():
    """Guards against helpers that hold the end by which they would notice, each for the others."""
    with subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE, text=True) as forks:
        assert forks.stdout is not None
        helpers = [int(forks.stdout.readline()) for _ in range(2)]
        assert all(map(is_alive, helpers))
        forks.kill()
    assert not left_of(helpers)


def test_a_reader_whose_decoder_lets_no_thread_run_is_ended_by_the_kernel():
    """Guards against a decoder that never lets the interpreter go: no thread of the process would see its owner end."""
    done = subprocess.run([sys.executable, "-c", ALONE], input=b'"x.png"\n', capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"ready\n")
