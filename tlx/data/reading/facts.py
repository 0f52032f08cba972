"""What is known of an image file after it was looked at; and the process: `python -m tlx.data.reading.facts`.

The process says that it is ready, reads a line of JSON for each file, its path or `["mask", path]`, and answers each
with a line. It is one of its own so that a decoder that crashes, hangs or fills the memory takes nothing with it
(`tlx.data.reading.workers`). It ends with the process that asks, even in the middle of a file, and by itself where a
file takes much too long.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Self

import PIL

from tlx.base import owner
from tlx.base.errors import MissingPackage, TlxError
from tlx.data.reading.file_facts import FileFacts
from tlx.data.reading.pixels import max_pixels, memory_limit, verify, why_no_file

PATIENCE = 60.0  # seconds that one file may take; who asks keeps count
_LIMIT = 1.5 * PATIENCE  # seconds after which the process ends by itself
READY = b"ready\n"
_AT_ONCE = 2**20  # bytes read and hashed


@dataclass(frozen=True, slots=True)
class Facts(FileFacts):
    """What was found out about an image file.

    Args:
        key: Hash of its bytes, hexadecimal, as `tlx.data.splits.division` uses it; None where they cannot be read.
        reason: Why it is broken; None where it is not, or was not decoded.
        width: In pixels, as it lies in the file; 0 where it was not decoded or is broken.
        height: Likewise.
        decoded: Whether decoding it was tried.
        lasting: Whether looking again would find the same; not so for a file that could not be read this time.
        peak: The greatest value of grey of whole numbers of more than 8 bits; 0 of other images.
        thumbnail: By it pictures are compared (`thumbnail.py`); '' where it was not decoded or is no picture.
        turn: EXIF orientation, 1 to 8: how the image as it lies in the file becomes upright.
    """

    table: ClassVar[str] = "facts_4"
    question: ClassVar[str] = "image"

    key: str | None
    reason: str | None
    width: int = 0
    height: int = 0
    decoded: bool = False
    lasting: bool = True
    peak: int = 0
    thumbnail: str = ""
    turn: int = 1

    @property
    def short_side(self) -> int:
        """The shorter side in pixels."""
        return min(self.width, self.height)

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width in pixels of the upright image."""
        return (self.width, self.height) if self.turn > 4 else (self.height, self.width)

    @classmethod
    def rules(cls) -> str:
        """By what verdicts are reached: with another Pillow or another limit they may differ."""
        return f"2 {PIL.__version__} {max_pixels()}"

    @classmethod
    def failed(cls, reason: str, decoded: bool = False) -> Self:
        """Return the facts of a file that could not be looked at this time."""
        return cls(None, reason, decoded=decoded, lasting=False)


def examine(path: str, decode: bool = True) -> Facts:
    """Read a file whole, and decode it unless told not to. Nothing is raised: what is wrong becomes the reason."""
    try:
        key = file_hash(path)
    except OSError as error:
        return Facts(None, error.strerror or str(error), lasting=False)
    if not decode:
        return Facts(key, None)
    try:
        width, height, peak, thumbnail, turn = verify(path)
    except TlxError as error:
        lasting = not isinstance(error, MissingPackage)
        return Facts(key, str(error).removeprefix(f"cannot read image {path}: "), decoded=True, lasting=lasting)
    return Facts(key, None, width, height, decoded=True, peak=peak, thumbnail=thumbnail, turn=turn)


def file_hash(path: str | os.PathLike[str]) -> str:
    """Hash of the bytes of a file, hexadecimal.

    Raises:
        OSError: There is no such file, it may not be read, or it is a folder, a pipe or a device.
    """
    no_file = why_no_file(os.stat(path).st_mode)  # opening a pipe would wait for ever
    if no_file:
        raise OSError(no_file)
    digest = blake2b(digest_size=16)
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


def _limit_memory() -> None:
    try:
        import resource

        limit = memory_limit()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    except (ImportError, ValueError, OSError):  # a system without such limits: the one on pixels remains
        return


@contextmanager
def _limited_time() -> Iterator[None]:
    """Inside, the kernel ends the process after a while: a decoder may hold the interpreter, so that no thread runs."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, _LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end_with_owner() -> None:
    """Watch the process whose handle is the argument, if there is one."""
    if len(sys.argv) > 1:
        owner.watch(int(sys.argv[1]), lambda: os._exit(1))


@contextmanager
def _answers() -> Iterator[int]:
    """Standard output for answers alone: what a decoder prints there goes to standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        yield answers
    finally:
        os.close(answers)


def _answer(asked: str | list[str]) -> Any:
    if isinstance(asked, str):
        return examine(asked)
    from tlx.data.reading.mask_facts import examine_mask  # which needs NumPy

    return examine_mask(asked[1])


def main() -> None:
    """Answer until standard input ends."""
    _end_with_owner()
    _limit_memory()
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process; it may have been ignored by its parent
    with _answers() as answers:
        os.write(answers, READY)
        for line in sys.stdin.buffer:
            with _limited_time():
                facts = _answer(json.loads(line))
            os.write(answers, json.dumps(astuple(facts)).encode() + b"\n")


if __name__ == "__main__":
    main()
