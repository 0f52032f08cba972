"""The facts of files: from the cache where they have not changed, otherwise by opening them, with a progress bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from tlx.data.reading.facts import Facts, examine
from tlx.data.reading.facts_store import FactsStore, Stamp
from tlx.data.reading.file_facts import FileFacts
from tlx.data.reading.pixels import why_no_file
from tlx.data.reading.workers import examine_all

F = TypeVar("F", bound=FileFacts)
_KEPT_EVERY = 2.0  # seconds after which what was found is written, so that a process that is killed loses no more
_decoding: ContextVar[bool] = ContextVar("decoding", default=False)


@contextmanager
def decoding(wanted: bool) -> Iterator[None]:
    """Decode files inside whenever their content is asked for, so that a set is read once and not twice.

    Splits are keyed by content, so a source reads its files before there is a set whose files could be checked.
    """
    token = _decoding.set(wanted)
    try:
        yield
    finally:
        _decoding.reset(token)


def is_decoding() -> bool:
    """Whether files are decoded where only their content is asked for."""
    return _decoding.get()


def file_facts(paths: Sequence[Path]) -> list[Facts]:
    """Return the facts of images, in order. Those that are in the cache and have not changed cost a stat each."""
    return facts_of(Facts, paths, _decoding.get())


def facts_of(kind: type[F], paths: Sequence[Path], decode: bool = True) -> list[F]:
    """Return the facts of one kind of files, in order, as `file_facts` does.

    Args:
        kind: Which facts.
        paths: The files.
        decode: Whether facts of images that were only hashed are not enough.
    """
    names = [os.path.abspath(path) for path in paths]
    known: dict[str, F] = {}
    stamps: dict[str, Stamp] = {}
    for name in dict.fromkeys(names):
        try:
            stat = os.stat(name)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            known[name] = kind.failed("there is no such file" if gone else str(error))
            continue
        no_file = why_no_file(stat.st_mode)
        if no_file:
            known[name] = kind.failed(no_file)
        else:
            stamps[name] = stat.st_size, stat.st_mtime_ns
    store = FactsStore(kind)
    known |= store.get(stamps, decode)
    if stamps.keys() - known.keys():
        # Of several processes that check one set (a sweep, torchrun) the first opens the files, the others wait for it.
        with store.alone(os.path.commonpath([os.path.dirname(name) for name in stamps])):
            known |= store.get({name: stamp for name, stamp in stamps.items() if name not in known}, decode)
            _open({name: stamp for name, stamp in stamps.items() if name not in known}, decode, known, store)
    return [known[name] for name in names]


def _open(stamps: dict[str, Stamp], decode: bool, known: dict[str, F], store: FactsStore[F]) -> None:
    """Add the facts of files to `known` and to the store."""
    names = list(stamps)
    fresh: list[tuple[str, Stamp, F]] = []
    written = time.monotonic()
    try:
        with _progress(len(names)) as bar, closing(_looking(names, decode, store.kind)) as results:
            for position, facts in results:
                name = names[position]
                known[name] = facts
                fresh.append((name, stamps[name], facts))
                bar.update()
                if time.monotonic() - written > _KEPT_EVERY:
                    store.put(fresh)
                    fresh, written = [], time.monotonic()
    finally:
        store.put(fresh)


def _looking(names: list[str], decode: bool, kind: type[F]) -> Generator[tuple[int, F], None, None]:
    return examine_all(names, kind=kind) if decode else _hash_all(names)  # type: ignore[return-value]


def _hash_all(names: list[str]) -> Generator[tuple[int, Facts], None, None]:
    with ThreadPoolExecutor(8) as threads:  # reading waits for the disk, and hashing lets other threads run
        yield from enumerate(threads.map(lambda name: examine(name, decode=False), names))


def _progress(files: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=files, desc="opening images", unit=" images", leave=False, disable=not sys.stderr.isatty())
