"""Look at many files in several processes. Whatever a file does to its process, the others are looked at.

Processes and not threads: decoding 20,000 pictures of 32 pixels took 1.2 s in two processes, 1.9 s one by one and 4.1 s
in two threads, which wait for the interpreter's lock; of pictures of 512 pixels both take equally long.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from tlx.base import owner
from tlx.base.children import environment
from tlx.base.errors import TlxError
from tlx.base.machine import memory_available
from tlx.data.reading.facts import PATIENCE, Facts
from tlx.data.reading.file_facts import FileFacts
from tlx.data.reading.pixels import memory_limit

MOST = 16  # processes: beyond that it is the disk that is waited for
_BATCH = 32  # files asked for at once

_Job = tuple[int, str]  # position, path
F = TypeVar("F", bound=FileFacts)


def examine_all(
    paths: Sequence[str],
    processes: int | None = None,
    kind: type[F] = Facts,  # type: ignore[assignment]
) -> Generator[tuple[int, F], None, None]:
    """Read and decode files; yield (position in `paths`, facts) in the order in which they come.

    Args:
        paths: Files.
        processes: How many look; None: as many as there are cores and memory for.
        kind: Which facts are wanted.

    Raises:
        TlxError: A process cannot be started.
    """
    jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
    found: queue.SimpleQueue[tuple[int, F] | BaseException] = queue.SimpleQueue()
    count = min(processes or how_many(), -(-len(paths) // _BATCH))
    numbered = list(enumerate(paths))
    for start in range(0, len(numbered), _BATCH):
        jobs.put(numbered[start : start + _BATCH])
    workers = [_Worker(kind) for _ in range(count)]
    threads = [threading.Thread(target=_work, args=(worker, jobs, found), daemon=True) for worker in workers]
    for _ in threads:
        jobs.put(None)
    try:
        for thread in threads:
            thread.start()
        for _ in paths:
            result = found.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        for worker in workers:
            worker.close()


def cores_here() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def how_many() -> int:
    """Processes that this machine has cores for, and memory if each meets the largest image allowed."""
    return max(1, min(cores_here(), MOST, memory_available() // memory_limit()))


def _work(
    worker: _Worker,
    jobs: queue.SimpleQueue[list[_Job] | None],
    found: queue.SimpleQueue[Any],
) -> None:
    try:
        while (batch := jobs.get()) is not None:
            for result in worker.examine(batch):
                found.put(result)
    except BaseException as error:  # told to the one who waits for results
        found.put(error)


class _Worker:
    """A process that examines files, and its successors."""

    def __init__(self, kind: type[FileFacts]) -> None:
        self.kind = kind
        self.closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def examine(self, batch: list[_Job]) -> Iterator[tuple[int, FileFacts]]:
        """Yield the facts of a batch, in order. The file at which the process ends is named; a new one goes on."""
        while batch and not self.closed:
            process = self._started()
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # whether it has answered some before shows now
                process.stdin.write(b"".join(json.dumps(self._asked(path)).encode() + b"\n" for _, path in batch))
            while batch:
                line, gone = self._line(process)
                position, _ = batch.pop(0)
                if gone:
                    self._end()
                    yield position, self.kind.failed(f"reading it {gone}", decoded=True)
                    break
                yield position, self.kind.of(json.loads(line))

    def _asked(self, path: str) -> str | list[str]:
        return path if self.kind is Facts else [self.kind.question, path]

    def close(self) -> None:
        """End the process."""
        self.closed = True
        self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._rest = b""
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tlx.data.reading.facts", str(owner.handle())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders complain there about what the reasons say
                env=environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"),
                bufsize=0,
                pass_fds=[owner.handle()],
                start_new_session=True,  # Ctrl-C is for the one who waits: it ends these
            )
            _, gone = self._line(self._process)
            if gone and not self.closed:
                raise TlxError(
                    f"expected a process that reads images, got one that {gone}: python -m tlx.data.reading.facts"
                )
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> tuple[bytes, str]:
        """The next line, or what became of the process instead."""
        assert process.stdout is not None
        waiting = select.poll()
        waiting.register(process.stdout, select.POLLIN)
        while b"\n" not in self._rest:
            if not waiting.poll(1000 * PATIENCE):
                return b"", f"took longer than {PATIENCE:.0f} seconds"
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                code = process.wait()
                return b"", f"ended the process ({f'signal {-code}' if code < 0 else f'exit code {code}'})"
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        return line, ""

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
