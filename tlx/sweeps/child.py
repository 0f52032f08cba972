"""Train each job in its own process, so that a crash or a kill affects no other job.

The processes are forked from a server that has only imported torch, and scikit-learn if the first job needs it. These
libraries are thus imported once per sweep, and the fork loses no threads. If the process that started the jobs dies,
the jobs notice, save and end.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tlx.base import children
from tlx.base.files import open_to_append
from tlx.base.legible import escape_what_terminals_lack
from tlx.base.sockets import leave_folder, socket_folder
from tlx.procedures import procedure_module
from tlx.sweeps.records import State
from tlx.sweeps.stopping import Stop

_CONTEXT = multiprocessing.get_context("forkserver")
_STARTING = threading.Lock()
GRACE = 20.0  # seconds that the helper processes of a killed job get to end
SAVING = 120.0  # seconds that a job may take to save after the sweep has died
Outcome = tuple[State, str]


class Child:
    """The process that trains one configuration.

    Args:
        config: Resolved configuration, as plain values.
        environment: All environment variables of the process.
    """

    def __init__(self, config: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._ours, theirs = _CONTEXT.Pipe()
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TLX_SOCKETS")
        with _STARTING:
            folder = socket_folder()
        arguments = (config, children.environment(environment), theirs, folder)
        self._process = _CONTEXT.Process(target=_main, args=arguments)
        with _STARTING, children.inherited(), _variables({**environment, "TLX_SOCKETS": folder}, *names):
            # the imports in the server create the thread pools of numpy and torch
            _CONTEXT.set_forkserver_preload(["tlx.sweeps.server", "tlx.train", procedure_module(config)])
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    def wait(self, stop: Stop) -> Outcome:
        """Wait for the job and return its outcome; relay the signal of `stop`, so that the job saves and ends."""
        outcome: Outcome | None = None
        signalled = False
        while self._process.exitcode is None:
            if stop.number is not None and not signalled:
                self.ask(stop.number)
                signalled = True
            ready = wait([self._process.sentinel, *([] if outcome else [self._ours])], timeout=0.2)
            if self._ours in ready:
                outcome = self._receive() or outcome
                if outcome is None:  # its end of the pipe is closed: the process is about to end
                    self._process.join(timeout=1)
            if self._process.sentinel in ready:
                self._process.join()
        outcome = outcome or self._receive()
        code = self._process.exitcode
        if outcome is None:
            self._end_helpers()
        self._ours.close()
        if outcome is not None:
            return outcome
        if signalled:
            return "interrupted", f"stopped by {stop.number.name if stop.number else 'a signal'} before it began"
        if code < 0:
            number = signal.Signals(-code)
            hint = ", perhaps out of memory" if number == signal.SIGKILL else ""
            return "killed", f"killed by signal {-code} ({number.name}){hint}"
        return "killed", f"its process ended with exit code {code} and without a message; see job.log of the run"

    def ask(self, number: signal.Signals) -> None:
        """Send the job a signal, on which it saves and ends."""
        with suppress(OSError):
            self._ours.send(int(number))

    def _receive(self) -> Outcome | None:
        try:
            return self._ours.recv() if self._ours.poll() else None
        except (EOFError, OSError):
            return None

    def _end_helpers(self) -> None:
        """End the processes that a killed job has left: image readers, torchrun and its workers."""
        until = time.monotonic() + GRACE
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid or -1, number)
                while time.monotonic() < until:
                    os.killpg(self._process.pid or -1, 0)
                    time.sleep(0.05)
            except (ProcessLookupError, PermissionError):
                return


def _main(config: Mapping[str, Any], environment: dict[str, str], parent: Connection, sockets: str) -> None:
    gc.freeze()  # a collection would traverse everything that the server has imported, and copy its memory pages
    leave_folder()
    os.setsid()  # Ctrl-C reaches only the sweep, which then signals each job once
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # SIGUSR1 and 2 stay ignored: the sweep handles them
    os.environ.clear()
    os.environ.update(environment)
    os.environ["TLX_CONSOLE"] = "0"
    directory = Path(config["run_dir"])
    directory.mkdir(parents=True, exist_ok=True)
    log = open_to_append(directory / "job.log")  # output of other libraries; tlx's own lines are in tlx.log
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    escape_what_terminals_lack()
    threading.Thread(target=_relay_signals, args=(parent, sockets), daemon=True).start()
    with suppress(OSError):  # the parent may be gone
        parent.send(_train(config))


def _train(config: Mapping[str, Any]) -> Outcome:
    from tlx.base.errors import Interrupted, Pruned, TlxError
    from tlx.config.stored import as_config
    from tlx.train import train

    try:
        train(as_config(config))
    except Pruned as error:
        return "pruned", error.reason
    except Interrupted as error:
        return "interrupted", error.reason
    except KeyboardInterrupt:
        return "interrupted", "stopped by SIGINT before it began"
    except BaseException as error:
        traceback.print_exc()
        cause = error.__cause__ if type(error).__name__ == "InstantiationException" and error.__cause__ else error
        return "failed", str(cause) if isinstance(cause, TlxError) else f"{type(cause).__name__}: {cause}"
    return "finished", ""


def _relay_signals(parent: Connection, sockets: str) -> None:
    """Turn the parent's message into a signal to this process; if the parent dies, send SIGTERM, later SIGKILL.

    The folder of its sockets is removed here: Ray kills the server, which normally removes it, with the parent.
    """
    number: signal.Signals | None = None
    try:
        number = signal.Signals(parent.recv())
        os.kill(os.getpid(), number)
        parent.recv()  # the parent sends nothing more, so this returns when it has died
    except (EOFError, OSError):
        if number is None:  # a second signal would interrupt the saving
            os.kill(os.getpid(), signal.SIGTERM)
        shutil.rmtree(sockets, ignore_errors=True)
    time.sleep(SAVING)
    os.killpg(0, signal.SIGKILL)


class _variables:
    """Temporarily set environment variables of this process to the values of another environment."""

    def __init__(self, environment: Mapping[str, str], *names: str) -> None:
        self.wanted = {name: environment.get(name) for name in names}

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.wanted}
        self._set(self.wanted)

    def __exit__(self, *exc: object) -> None:
        self._set(self.before)

    @staticmethod
    def _set(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
