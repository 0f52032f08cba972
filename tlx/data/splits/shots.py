"""Several shots of one thing: pictures found by a network and confirmed by aligned correlation.

A pretrained network gives each picture a vector. Each picture is compared with those of the nearest vectors: they are
shots of the same thing if their details agree once the pictures are aligned (`aligned.py`). The network alone cannot
decide: to it two ants are alike. Digits, letters and other drawings resemble many others more or less; shots resemble
one another very much and everything else much less. So two pictures are shots only if both agree far less with all
others that they were compared with.

Vectors and small grey images are kept by the content of the pictures, and what was found by the content of the set, so
that a set is compared once.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tlx.base.errors import TlxError
from tlx.base.files import write_text
from tlx.base.printable import duration
from tlx.data.reading.facts_store import cache_folder
from tlx.data.splits.aligned import SIDE, agreement
from tlx.data.splits.similar import is_picture
from tlx.data.splits.similar_groups import Pair

log = logging.getLogger("tlx")

AGREE = 0.85  # correlation of the details; docs/datasets.md has what is found in sets
APART = 0.3  # by which the pictures of a pair agree less with those that they do not belong to
_AGAIN = 0.6  # from this on a pair is aligned in the other direction too
NEAR = 0.6  # cosine of the vectors of pictures that are compared
NEIGHBOURS = 8  # of each picture
SECONDS = 0.1  # for a picture on one core, about
_INPUT = 160  # pixels of the network's input
_WIDTH = 256  # numbers of a vector, projected at random
_AT_ONCE = 32  # pictures through the network
_ROWS = 512  # vectors compared at once
_RULES = "1"  # changes with the numbers above
_PATIENCE = 30.0  # seconds that another process may be writing

Looks = tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]  # vectors (N, 256) of length 1, grey images (N, 64, 64)


def shots(paths: Sequence[Path], keys: Sequence[bytes], say: Callable[[str], None] = log.info) -> list[Pair]:
    """Return pairs of pictures that show the same, with different content, sorted.

    Args:
        paths: The pictures, all readable.
        keys: Content hash of each; of pictures with equal content only the first is compared.
        say: Is given a line on how long it takes, if it takes long.

    Raises:
        TlxError: The package with the weights of the network is not installed, or a file is broken.
    """
    first: dict[bytes, int] = {}
    for position, key in enumerate(keys):
        first.setdefault(key, position)
    if len(first) < 2:
        return []
    known = known_shots(list(first))
    if known is None:
        vectors, grey = _looks([paths[i] for i in first.values()], list(first), say)
        known = _found(vectors, grey, list(first))
        _keep(list(first), known)
    places = ((first[one], first[other], score) for one, other, score in known)
    return sorted(Pair(min(one, other), max(one, other), score) for one, other, score in places)


def shot_pairs(
    paths: Mapping[int, Path],
    keys: Sequence[bytes],
    thumbnails: Sequence[str],
    known: bool = False,
    say: Callable[[str], None] = log.info,
) -> list[Pair]:
    """Return the shots among the samples of a set; small images and drawings are not compared.

    Args:
        paths: File of each sample that has one, by position.
        keys: Content hash of each sample.
        thumbnails: Thumbnail of each sample; '' if it is not compared.
        known: Whether to return only what was found before; an empty list if the set was not compared.
        say: As for `shots`.

    Raises:
        TlxError: As for `shots`.
    """
    if known and not were_compared(paths, keys, thumbnails):
        return []
    compared = _pictures(paths, thumbnails)
    found = shots([paths[i] for i in compared], [keys[i] for i in compared], say)
    return [Pair(compared[one], compared[other], score) for one, other, score in found]


def were_compared(paths: Mapping[int, Path], keys: Sequence[bytes], thumbnails: Sequence[str]) -> bool:
    """Return whether the pairs that `shot_pairs` returns for a set are stored."""
    return known_shots([keys[i] for i in _pictures(paths, thumbnails)]) is not None


def _pictures(paths: Mapping[int, Path], thumbnails: Sequence[str]) -> list[int]:
    return [i for i in paths if is_picture(thumbnails[i])]


def known_shots(keys: Sequence[bytes]) -> list[tuple[bytes, bytes, float]] | None:
    """Return the pairs that were found in pictures with this content, and their scores; None: not compared yet."""
    place = _place(keys)
    if place is None or not place.is_file():
        return None
    try:
        read = json.loads(place.read_text())
        own = set(keys)
        found = [(bytes.fromhex(one), bytes.fromhex(other), float(score)) for one, other, score in read]
    except (OSError, ValueError, TypeError):
        return None
    return found if all(one in own and other in own for one, other, _ in found) else None


def _place(keys: Sequence[bytes]) -> Path | None:
    """Return the file with what was found in a set; None: there is no cache."""
    folder = cache_folder()
    together = blake2b(_RULES.encode() + b"".join(sorted(set(keys))), digest_size=12).hexdigest()
    return None if folder is None else folder / f"shots-{together}.json"


def _keep(keys: Sequence[bytes], found: Sequence[tuple[bytes, bytes, float]]) -> None:
    place = _place(keys)
    if place is not None:
        with suppress(OSError, TlxError):  # a cache that cannot be written
            write_text(place, json.dumps([(one.hex(), other.hex(), round(score, 4)) for one, other, score in found]))


def _found(
    vectors: npt.NDArray[np.float16], grey: npt.NDArray[np.uint8], keys: Sequence[bytes]
) -> list[tuple[bytes, bytes, float]]:
    candidates = np.array(sorted(set(_near(vectors.astype(np.float32)))), dtype=int).reshape(-1, 2)
    ones, others = candidates.T
    scores = agreement(grey[ones], grey[others])
    doubtful = (scores >= _AGAIN) & (scores < AGREE)
    scores[doubtful] = np.maximum(scores[doubtful], agreement(grey[others[doubtful]], grey[ones[doubtful]]))
    agree = scores >= AGREE
    most_else = np.zeros(len(keys), np.float32)  # of each picture, with those that it does not belong to
    for side in (ones, others):
        np.maximum.at(most_else, side[~agree], scores[~agree])
    agree &= scores - np.maximum(most_else[ones], most_else[others]) >= APART
    return [
        (keys[one], keys[other], float(score))
        for (one, other), score in zip(candidates[agree].tolist(), scores[agree], strict=True)
    ]


def _near(vectors: npt.NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of each vector and its nearest ones, the smaller position first."""
    most = min(NEIGHBOURS + 1, len(vectors))
    for start in range(0, len(vectors), _ROWS):
        cosine = vectors[start : start + _ROWS] @ vectors.T
        nearest = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        for row, others in enumerate(nearest.tolist(), start):
            for other in others:
                if other != row and cosine[row - start, other] >= NEAR:
                    yield min(row, other), max(row, other)


def _looks(paths: Sequence[Path], keys: Sequence[bytes], say: Callable[[str], None]) -> Looks:
    """Return the vectors and grey images of pictures, from the cache or by the network."""
    known = _kept(keys)
    missing = [i for i, key in enumerate(keys) if key not in known]
    if missing:
        known |= _made([paths[i] for i in missing], [keys[i] for i in missing], say)
    vectors = np.stack([np.frombuffer(known[key][0], dtype=np.float16) for key in keys])
    grey = np.stack([np.frombuffer(known[key][1], dtype=np.uint8).reshape(SIDE, SIDE) for key in keys])
    return vectors, grey


def _made(paths: Sequence[Path], keys: Sequence[bytes], say: Callable[[str], None]) -> dict[bytes, tuple[bytes, bytes]]:
    """Compute vectors and grey images, and keep each batch."""
    import torch

    from tlx.backbones.lite0 import efficientnet_lite0
    from tlx.base.gradients import no_gradients

    network = efficientnet_lite0().eval()
    projection = torch.randn(network.num_features, _WIDTH, generator=torch.Generator().manual_seed(0))
    made: dict[bytes, tuple[bytes, bytes]] = {}
    began = time.monotonic()
    for start in range(0, len(paths), _AT_ONCE):
        names = keys[start : start + _AT_ONCE]
        inputs, grey = zip(*map(_read, paths[start : start + _AT_ONCE]), strict=True)
        with no_gradients():
            batch = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2)  # (B, 3, H, W)
            vectors = network((batch.float() / 255 - 0.5) / 0.5) @ projection  # (B, 256)
            vectors = (vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-6)).half().numpy()
        some = {k: (v.tobytes(), g.tobytes()) for k, v, g in zip(names, vectors, grey, strict=True)}
        _keep_looks(some)
        made |= some
        if start == 0 and len(paths) > _AT_ONCE:
            seconds = (time.monotonic() - began) * (len(paths) / _AT_ONCE - 1)
            if seconds >= 3:
                say(f"comparing {len(paths):,} pictures by a network, which may take {duration(seconds)}")
    return made


def _read(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return a picture squeezed to the network's input (160, 160, 3), and to a grey image (64, 64)."""
    from PIL import Image

    from tlx.data.reading.pixels import read_pixels

    picture = Image.fromarray(read_pixels(path, min_side=_INPUT))
    small = picture.resize((_INPUT, _INPUT), Image.Resampling.BILINEAR)
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small), np.asarray(grey)


def _kept(keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
    """Return the stored vector and grey image of each picture with this content that has them."""
    found: dict[bytes, tuple[bytes, bytes]] = {}

    def look(database: sqlite3.Connection) -> None:
        for start in range(0, len(keys), _ROWS):
            some = keys[start : start + _ROWS]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, vector, grey FROM looks_{_RULES} WHERE key IN ({marks})"
            for key, vector, grey in database.execute(query, some):
                if len(vector) == 2 * _WIDTH and len(grey) == SIDE * SIDE:
                    found[key] = vector, grey

    _in_database(look)
    return found


def _keep_looks(looks: dict[bytes, tuple[bytes, bytes]]) -> None:
    rows = [(key, *parts) for key, parts in looks.items()]
    _in_database(lambda database: database.executemany(f"INSERT OR REPLACE INTO looks_{_RULES} VALUES (?,?,?)", rows))


def _in_database(action: Callable[[sqlite3.Connection], object]) -> None:
    """Run `action(database)` in a transaction; without a cache that works, nothing happens."""
    folder = cache_folder()
    if folder is None or (folder / "looks.sqlite").is_symlink():
        return
    columns = "key BLOB PRIMARY KEY, vector BLOB, grey BLOB"
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(folder / "looks.sqlite", timeout=_PATIENCE)) as database,
        database,
    ):
        database.execute(f"CREATE TABLE IF NOT EXISTS looks_{_RULES} ({columns}) WITHOUT ROWID")
        action(database)
