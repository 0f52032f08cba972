"""Give multiprocessing a folder for its sockets, whose paths may have 107 bytes, however long TMPDIR is.

A reading process passes tensors through a socket, and the server that forks the jobs of a sweep listens on one. With a
longer path multiprocessing fails. In a reading process it fails in a thread, unnoticed, and the process that waits for
its batches waits forever.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from multiprocessing import connection
from multiprocessing.util import Finalize

from tlx.base.compat.python import process_settings
from tlx.base.errors import TlxError

_LONGEST = 107 - len("/listener-12345678")  # bytes of the folder's path
_ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")
ABSTRACT = sys.platform == "linux"  # sockets need no path


def socket_folder() -> str:
    """Make multiprocessing in this process and its forks use a private folder; return it.

    The folder is removed when this process ends or, if it is killed, by the processes that watch it.

    Raises:
        TlxError: No folder with a short path is writable.
    """
    settings = process_settings()
    folder = settings.get("tempdir")
    if folder is None or len(os.fsencode(folder)) > _LONGEST:
        folder = settings["tempdir"] = _make()
        Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
    return str(folder)


def leave_folder() -> None:
    """Stop using the folder of the process that started this one: it may be removed at any moment."""
    process_settings()["tempdir"] = None


def use_no_path() -> None:
    """Create sockets without a path from now on in this process, if the system supports them.

    Every user of the machine can connect to such a socket. So they are only for connections that require the key of the
    process, as those that pass tensors do. The server that forks jobs requires none.
    """
    if ABSTRACT:
        connection.arbitrary_address = lambda family: f"\0tlx-{secrets.token_hex(16)}"  # type: ignore[attr-defined]


def _make() -> str:
    wanted = tempfile.gettempdir()
    for place in dict.fromkeys([wanted, *_ELSEWHERE]):
        if len(os.fsencode(place)) + len("/tlx-12345678") <= _LONGEST:
            try:
                return tempfile.mkdtemp(prefix="tlx-", dir=place)
            except OSError:  # it is missing, full or not writable
                continue
    raise TlxError(
        f"TMPDIR: expected a writable folder for sockets, with a path of at most {_LONGEST - len('/tlx-12345678')} "
        f"bytes, got {wanted} ({len(os.fsencode(wanted))} bytes); /tmp, /var/tmp and /dev/shm cannot be used either"
    )
