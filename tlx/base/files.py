"""Files that are whole at any moment (written beside their place, synced to the disk, renamed), and locks on them.

Nothing is written through a link: what is opened for writing is a new file under a name that nobody can foresee, or is
refused where a link or anything else that is no file lies in its place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tlx.base.errors import CannotWrite
from tlx.base.legible import ESCAPED
from tlx.base.lock_holder import holder
from tlx.base.printable import one_line
from tlx.base.waiting import waiting_for

_TEMPORARY = re.compile(r"(.+?)(\.tlx-[0-9a-f]{12}|\.\d+)?\.tmp", re.DOTALL)  # tlx 0.1: NAME.PROCESS.tmp, NAME.tmp


def write_text(path: Path, text: str) -> None:
    """Write a text file; its folder is made where it is missing. What UTF-8 cannot hold is escaped.

    Raises:
        CannotWrite: It cannot be written; what stood there before is left as it was.
    """
    with writing(path) as file:
        file.write(text.encode("utf-8", ESCAPED))


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be written whole: it is in its place once the block has ended without an error.

    Raises:
        CannotWrite: It cannot be written; what stood there before is left as it was.
    """
    temporary = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with create(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, CannotWrite):
            raise cannot_write(path, error) from error
        raise


def beside(path: Path) -> Path:
    """Return a path in the same folder under which a file is written first; nobody can foresee it."""
    name = os.fsdecode(os.fsencode(path.name)[:200])  # a name has 255 bytes at most
    return path.with_name(f"{name}.tlx-{secrets.token_hex(6)}.tmp")


def temporary_of(name: str) -> str | None:
    """Return the name of the file that a temporary one was to become; None for other names.

    Whether it is tlx's own, that name says: other programs write `NAME.tmp`, too.
    """
    found = _TEMPORARY.fullmatch(name)
    return found[1] if found else None


def create(path: Path) -> IO[bytes]:
    """Open a new file for writing; one that is there already, a link included, is an error (FileExistsError)."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "w+b")


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; opening a pipe would wait for ever, and a device may have no end.

    Raises:
        OSError: It cannot be opened, or it is something else.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file, but a folder, a pipe or a device", str(path))
    return file


def open_to_append(path: Path) -> int:
    """Open a file for writing at its end and return its handle; it is made where it is missing.

    A file of which another name is known (a hard link) is replaced by a copy of it, so that the other one stays as it
    is.

    Raises:
        CannotWrite: It cannot be opened, or it is a link, a folder, a pipe or a device.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, flags, 0o666)
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "no regular file")
        if told.st_nlink > 1:
            os.close(handle)
            held = path.read_bytes()
            with writing(path) as file:
                file.write(held)
            handle = os.open(path, flags, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    return handle


def cannot_write(path: Path, error: OSError) -> CannotWrite:
    """Return the message for a file that cannot be written."""
    if isinstance(error, CannotWrite):
        return error
    reason = "a link is in its place" if error.errno == errno.ELOOP else error.strerror or str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return CannotWrite(f"cannot write {one_line(path)}: {reason}" + ("; make room, then start again" if full else ""))


def sync(path: Path) -> None:
    """Have what was written to a file, or which names a folder holds, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold a file as the only process, of this machine and of those that share the file system; yield its handle.

    The kernel holds the lock (flock): however its process ends, the lock ends with it. A file system without locks is
    passed over.

    Args:
        path: The file; made where it is missing.
        waiting: Called once if another process holds it, which is then waited for.

    Raises:
        CannotWrite: It cannot be made or opened, or it is a link.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            with waiting_for(lambda: f"{one_line(path)} is held by {holder(path)}"):
                fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        yield handle
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the file."""
    try:
        handle = _open_to_look(path)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _open_to_look(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
