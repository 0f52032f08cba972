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
from tlx.data import workers
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
from tlx.data import facts
facts._LIMIT = 1.0
facts.examine = lambda path: re.match("(a|aa)*$", "a" * 100 + "b")  # for ever, and no other thread runs meanwhile
facts.main()
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
    until = time.monotonic() + 10
    while is_alive(reader) and time.monotonic() < until:
        time.sleep(0.05)
    left = is_alive(reader)
    if left:
        os.kill(reader, signal.SIGKILL)
    assert not left


def test_a_reader_whose_decoder_lets_no_thread_run_is_ended_by_the_kernel():
    """Guards against a decoder that never lets the interpreter go: no thread of the process would see its owner end."""
    done = subprocess.run([sys.executable, "-c", ALONE], input=b'"x.png"\n', capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"ready\n")
