"""Where multiprocessing has its sockets: the path of one has at most 107 bytes, however long TMPDIR is.

A reading process hands tensors over through a socket, and the server that forks the jobs of a sweep listens on one.
With a longer path multiprocessing fails, for a reading process in a thread where nobody hears of it, and the one who
waits for its batches waits for ever.
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

_LONGEST = 107 - len("/listener-12345678")  # of the folder, in bytes
_ELSEWHERE = ("/tmp", "/var/tmp", "/dev/shm")
ABSTRACT = sys.platform == "linux"  # sockets can do without a path


def socket_folder() -> str:
    """Have multiprocessing of this process, and of those that it forks, use a private folder; return it.

    It is removed when this process ends; should it be killed, by the processes that watch it.

    Raises:
        TlxError: No folder with a short path can be written to.
    """
    settings = process_settings()
    folder = settings.get("tempdir")
    if folder is None or len(os.fsencode(folder)) > _LONGEST:
        folder = settings["tempdir"] = _make()
        Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
    return str(folder)


def leave_folder() -> None:
    """Do not use the folder of the process that had this one started: it may be removed at any moment."""
    process_settings()["tempdir"] = None


def use_no_path() -> None:
    """Let sockets that this process makes from now on have no path, where the system has such sockets.

    Every user of the machine can reach them. So they are for connections that ask for the key of the process, as those
    through which tensors pass do; the server that forks jobs asks for none.
    """
    if ABSTRACT:
        connection.arbitrary_address = lambda family: f"\0tlx-{secrets.token_hex(16)}"  # type: ignore[attr-defined]


def _make() -> str:
    wanted = tempfile.gettempdir()
    for place in dict.fromkeys([wanted, *_ELSEWHERE]):
        if len(os.fsencode(place)) + len("/tlx-12345678") <= _LONGEST:
            try:
                return tempfile.mkdtemp(prefix="tlx-", dir=place)
            except OSError:  # it is missing, full or not to be written to
                continue
    raise TlxError(
        f"TMPDIR: expected a folder that can be written, of at most {_LONGEST - len('/tlx-12345678')} bytes with its "
        f"path, for the sockets between processes, got {wanted} ({len(os.fsencode(wanted))}); /tmp, /var/tmp and "
        "/dev/shm cannot be used either"
    )
