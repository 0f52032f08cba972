"""Fork commands of tlx from a process that has imported torch, so that each command need not import it.

The import takes seconds, and the suite starts a hundred processes. A fork has pipes, signals, an exit code, a session
and standard streams of its own, as with `subprocess.Popen`, and ends as an interpreter does. It differs in its start,
and /proc shows the server's command line and environment: tests of these start real processes.
"""

from __future__ import annotations

import array
import fcntl
import gc
import inspect
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

# The modules that can be forked; each has a function `main`.
MODULES = (
    "tlx", "tlx.training.process_group", "tlx.worker", "torch.distributed.run", "tests.distributed.spying_worker",
    "tests.features.slow_prefix", "tests.run_notebook",
)  # fmt: skip
_REAL = subprocess.Popen
_address = ""  # of the server; set in the tests' process and in the server, whose forks also start processes


class Popen(_REAL):  # type: ignore[type-arg]
    """`subprocess.Popen` that starts `python -m tlx …` as a fork of the server."""

    _server: socket.socket | None = None

    def _execute_child(self, *values: Any) -> None:  # type: ignore[override]
        given = _SIGNATURE.bind(self, *values).arguments
        words = _module_and_words(given["args"])
        if words is None or not _address:
            super()._execute_child(*values)  # type: ignore[misc]
            return
        request = {
            "words": words,
            "directory": os.fspath(given["cwd"] or os.getcwd()),
            "environment": dict(os.environ if given["env"] is None else given["env"]),
            "session": bool(given["start_new_session"]),
            "group": os.getpgrp(),
            "kept": list(given["pass_fds"]),
        }
        streams = [given[name] if given[name] != -1 else own for name, own in _STREAMS.items()]
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(_address)
        with tempfile.TemporaryFile() as file:  # the size of a packet is limited, that of an environment is not
            file.write(json.dumps(request).encode())
            file.flush()
            socket.send_fds(self._server, [b"x"], [file.fileno(), *streams, *given["pass_fds"]])
        self.pid = int(self._server.recv(100))
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._server is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc]
        try:
            status = self._server.recv(100, socket.MSG_DONTWAIT if wait_flags & os.WNOHANG else 0)
        except BlockingIOError:
            return 0, 0
        return self.pid, int(status or signal.SIGKILL)  # nothing received: the server has ended

    def _internal_poll(self, *arguments: Any, **more: Any) -> int | None:
        if self._server is None:
            return super()._internal_poll(*arguments, **more)  # type: ignore[misc]
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


_SIGNATURE = inspect.signature(_REAL._execute_child)  # type: ignore[attr-defined]
_STREAMS = {"p2cread": 0, "c2pwrite": 1, "errwrite": 2}


def _module_and_words(args: Any) -> list[str] | None:
    """Return module and arguments of a command `python [-u] -m MODULE …` that can be forked; None for others."""
    words = [args] if isinstance(args, str | bytes | os.PathLike) else [os.fspath(word) for word in args]
    if words[:1] != [sys.executable]:
        return None
    rest = words[2:] if words[1:2] == ["-u"] else words[1:]
    return rest[1:] if rest[:1] == ["-m"] and rest[1:2] and rest[1] in MODULES else None


def started() -> list[dict[str, Any]]:
    """Return the `pid`, `words` (module and arguments) and `RANK` of each fork of the server, in order."""
    return [json.loads(line) for line in Path(f"{_address}.started").read_text().splitlines()]


@contextmanager
def forking() -> Iterator[None]:
    """Replace `subprocess.Popen` by the class above inside the block."""
    before = subprocess.Popen
    subprocess.Popen = Popen  # type: ignore[misc]
    try:
        yield
    finally:
        subprocess.Popen = before  # type: ignore[misc]


@contextmanager
def serving() -> Iterator[None]:
    """Run a server for `Popen` inside the block; it ends with this process at the latest."""
    global _address
    with tempfile.TemporaryDirectory(prefix="forks-") as folder:
        address = str(Path(folder, "socket"))
        command = [sys.executable, "-m", "tests.fork_server", address]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        server = _REAL(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=Path(__file__).parents[1]
        )
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == b"ready\n"
            _address = address
            yield
        finally:
            _address = ""
            server.kill()  # it has nothing to save; closing its input is not enough, because forks may hold it
            server.wait()
            server.stdin.close()
            server.stdout.close()


def _serve(address: str) -> list[str] | None:
    """Fork requested commands until standard input ends; in a fork, return its module and arguments."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening, selectors.DefaultSelector() as waiting:
        listening.bind(address)
        listening.listen(64)
        waiting.register(listening, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        print("ready", flush=True)
        children: dict[int, tuple[int, socket.socket]] = {}  # descriptor of a child -> its pid, and who waits for it
        while True:
            for key, _ in waiting.select():
                if key.fd == 0:
                    return None
                if key.fd in children:
                    waiting.unregister(key.fd)
                    pid, connection = children.pop(key.fd)
                    os.close(key.fd)
                    with suppress(OSError), connection:
                        connection.send(str(os.waitpid(pid, 0)[1]).encode())
                    continue
                connection, _ = listening.accept()
                request, descriptors = _receive(connection)
                pid = os.fork()
                if pid == 0:
                    waiting.close()
                    for other in (listening, connection, *(one for _, one in children.values())):
                        other.detach()  # otherwise it would later close a descriptor of the command
                    _become(request, descriptors)
                    return request["words"]
                for descriptor in descriptors:
                    os.close(descriptor)
                with Path(f"{address}.started").open("a") as file:
                    entry = {"pid": pid, "words": request["words"], "RANK": request["environment"].get("RANK")}
                    print(json.dumps(entry), file=file)
                connection.send(str(pid).encode())
                watched = os.pidfd_open(pid)
                children[watched] = pid, connection
                waiting.register(watched, selectors.EVENT_READ)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return a request and its descriptors: the standard streams, then those that the command inherits."""
    size = array.array("i").itemsize
    _, control, _, _ = connection.recvmsg(10, socket.CMSG_SPACE(64 * size))
    numbers = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % size])
    with os.fdopen(numbers[0], "rb") as file:
        file.seek(0)
        return json.loads(file.read()), list(numbers[1:])


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Take over the command's streams, process group, directory and environment; close the server's descriptors."""
    high = [fcntl.fcntl(one, fcntl.F_DUPFD, 500) for one in descriptors]  # to numbers that are not overwritten below
    wanted = [0, 1, 2, *request["kept"]]
    for source, target in zip(high, wanted, strict=True):
        os.dup2(source, target)
    kept = sorted(wanted)
    for low, above in zip(kept, [*kept[1:], 4096], strict=True):
        os.closerange(low + 1, above)
    with suppress(OSError):
        os.setsid() if request["session"] else os.setpgid(0, request["group"])
    _open_streams()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    named = [entry for entry in request["environment"].get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = list(dict.fromkeys([*named, *sys.path]))
    module, *words = request["words"]
    sys.argv = [module, *words]
    sys.orig_argv = [sys.executable, "-m", module, *words]


def _open_streams() -> None:
    """Open new streams on the descriptors: those of the server remember its position and whether it could seek."""
    errors, modes = ("surrogateescape", "strict", "backslashreplace"), ("r", "w", "w")
    new = [os.fdopen(fd, modes[fd], 1 if fd == 2 else -1, "utf-8", errors[fd], closefd=False) for fd in (0, 1, 2)]
    sys.stdin, sys.stdout, sys.stderr = new
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = new  # type: ignore[misc]


def main() -> None:
    """Import once and serve; in a fork, run the requested command. Forks end as commands do: at once."""
    from tlx.base import ending

    ending.run(_main)


def _main() -> None:
    from tlx.base.imports import start_lean

    start_lean()
    global _address
    _address = sys.argv[1]
    subprocess.Popen = Popen  # type: ignore[misc]  # before other modules import it by name
    ours = ("launch", "procedures.classical", "procedures.stages", "train", "training.planning", "worker")
    for module in ("torch.distributed.run", "torch.utils.tensorboard", "hydra.main", *(f"tlx.{one}" for one in ours)):
        import_module(module)
    gc.freeze()  # otherwise a collection in a fork would copy the memory pages of all imports

    words = _serve(_address)
    if words is not None:
        import_module("tlx.cli" if words[0] == "tlx" else words[0]).main()


if __name__ == "__main__":
    # `__main__` is another module than the one that others import, and there must be one `_address`.
    from tests import fork_server

    fork_server.main()
