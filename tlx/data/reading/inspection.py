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
from typing import Any

from tlx.data.reading.facts import Facts, examine
from tlx.data.reading.facts_store import FactsStore, Stamp
from tlx.data.reading.pixels import why_no_file
from tlx.data.reading.workers import examine_all

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
    """Return the facts of files, in order. Those that are in the cache and have not changed cost a stat each."""
    decode = _decoding.get()
    names = [os.path.abspath(path) for path in paths]
    known: dict[str, Facts] = {}
    stamps: dict[str, Stamp] = {}
    for name in dict.fromkeys(names):
        try:
            stat = os.stat(name)
        except OSError as error:
            known[name] = _unreadable("there is no such file" if isinstance(error, FileNotFoundError) else str(error))
            continue
        no_file = why_no_file(stat.st_mode)
        if no_file:
            known[name] = _unreadable(no_file)
        else:
            stamps[name] = stat.st_size, stat.st_mtime_ns
    store = FactsStore()
    known |= store.get(stamps, decode)
    if stamps.keys() - known.keys():
        # Of several processes that check one set (a sweep, torchrun) the first opens the files, the others wait for it.
        with store.alone(os.path.commonpath([os.path.dirname(name) for name in stamps])):
            known |= store.get({name: stamp for name, stamp in stamps.items() if name not in known}, decode)
            _open({name: stamp for name, stamp in stamps.items() if name not in known}, decode, known, store)
    return [known[name] for name in names]


def _unreadable(reason: str) -> Facts:
    return Facts(None, reason, lasting=False)


def _open(stamps: dict[str, Stamp], decode: bool, known: dict[str, Facts], store: FactsStore) -> None:
    """Add the facts of files to `known` and to the store."""
    names = list(stamps)
    fresh: list[tuple[str, Stamp, Facts]] = []
    written = time.monotonic()
    try:
        with _progress(len(names)) as bar, closing(examine_all(names) if decode else _hash_all(names)) as results:
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


def _hash_all(names: list[str]) -> Generator[tuple[int, Facts], None, None]:
    with ThreadPoolExecutor(8) as threads:  # reading waits for the disk, and hashing lets other threads run
        yield from enumerate(threads.map(lambda name: examine(name, decode=False), names))


def _progress(files: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=files, desc="opening images", unit=" images", leave=False, disable=not sys.stderr.isatty())
