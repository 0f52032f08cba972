"""Files that are complete at any moment (written under a temporary name, synced, renamed), and locks on files.

Nothing is written through a link: new content goes to a new name that nobody can predict, and appending is refused if
the file is a link or anything but a regular file.
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


def write_text(path: Path, text: str, synced: bool = True) -> None:
    """Write a text file; create its folder if it is missing. Characters that UTF-8 cannot encode are escaped.

    Args:
        path: The file.
        text: Its content.
        synced: Whether to wait until the disk has it; a kill of this process loses nothing either way.

    Raises:
        CannotWrite: The file cannot be written; its previous content is kept.
    """
    with writing(path, synced) as file:
        file.write(text.encode("utf-8", ESCAPED))


@contextmanager
def writing(path: Path, synced: bool = True) -> Iterator[IO[bytes]]:
    """Open a file for writing; it gets its final name when the block ends without an error.

    Args:
        path: The file.
        synced: Whether to wait until the disk has its content before it gets the name.

    Raises:
        CannotWrite: The file cannot be written; its previous content is kept.
    """
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with create(temporary) as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, CannotWrite):
            raise cannot_write(path, error) from error
        raise


def temporary_path(path: Path) -> Path:
    """Return a temporary path in the same folder, for writing a file; nobody can predict it."""
    name = os.fsdecode(os.fsencode(path.name)[:200])  # a name has 255 bytes at most
    return path.with_name(f"{name}.tlx-{secrets.token_hex(6)}.tmp")


def temporary_of(name: str) -> str | None:
    """Return the final name of the file that has this temporary name; None if it is not a temporary name.

    Other programs also write `NAME.tmp`: only the final name tells whether a file is tlx's own.
    """
    found = _TEMPORARY.fullmatch(name)
    return found[1] if found else None


def create(path: Path) -> IO[bytes]:
    """Open a new file for writing; raise FileExistsError if the path exists, even as a link."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "w+b")


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading. Opening a pipe could wait forever, and a device may have no end.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file, but a folder, a pipe or a device", str(path))
    return file


def open_to_append(path: Path) -> int:
    """Open a file for appending and return its descriptor; create the file if it is missing.

    If the file has another name (a hard link), it is first replaced by a copy, so that the other one does not change.

    Raises:
        CannotWrite: It cannot be opened, or it is a link, a folder, a pipe or a device.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, flags, 0o666)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "not a regular file")
        if status.st_nlink > 1:
            os.close(handle)
            content = path.read_bytes()
            with writing(path) as file:
                file.write(content)
            handle = os.open(path, flags, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    return handle


def cannot_write(path: Path, error: OSError) -> CannotWrite:
    """Return the error for a file that cannot be written."""
    if isinstance(error, CannotWrite):
        return error
    reason = "a link is in its place" if error.errno == errno.ELOOP else error.strerror or str(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return CannotWrite(f"cannot write {one_line(path)}: {reason}" + ("; make room, then start again" if full else ""))


def sync(path: Path) -> None:
    """Flush the content of a file, or the entries of a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[int]:
    """Lock a file against all processes on this machine and on those that share the file system; yield its descriptor.

    The kernel holds the lock (flock), so it is released however the process ends. On a file system without locks,
    nothing is locked.

    Args:
        path: The file; created if it is missing.
        waiting: Called once if another process holds the lock, before waiting for it.

    Raises:
        CannotWrite: The file cannot be created or opened, or it is a link.
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
    """Return whether a process holds the lock on a file."""
    try:
        handle = _open_to_test(path)
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


def _open_to_test(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
