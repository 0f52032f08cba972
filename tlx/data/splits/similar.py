"""Pictures that are nearly the same: saved again, resized, cropped a little. Copies of a file are no matter here.

Two pictures are nearly the same where their thumbnails (`thumbnail.py`) have values of a cosine of at least 0.97,
brightness and contrast taken out, sides whose ratios differ by 4 % at most, and either

- steps from value to value of a cosine of at least 0.95; or
- steps of at least 0.85, and one thumbnail, moved and stretched a little to first order, leaves at most 9 % of the
  other unexplained: so most of a picture is found, and not another picture of its kind.

The limits were found by looking at pairs of photographs, scans and cells. Steps of different photographs are below
0.65, those of different scans and cells below 0.945, and moving them leaves more than 10 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import numpy.typing as npt

from tlx.data.reading.thumbnail import SIDE

ALIKE_VALUES = 0.97
ALIKE_STEPS = 0.95
ALIKE_MOVED = 0.85
UNEXPLAINED = 0.09
RATIO = 0.04
LEAST_CONTRAST = 6.0  # standard deviation of the grey values of a thumbnail, of 255
_APART = float(np.sqrt(2 - 2 * ALIKE_VALUES))  # thumbnails further apart than this along any axis are not alike
_ROWS = 256  # pictures compared at once
_COMPARED = 32  # of those with values like a picture's, the nearest: frames of a film are all alike

Values = npt.NDArray[np.float32]
_together: ContextVar[bool] = ContextVar("together", default=False)


@contextmanager
def keeping_together(wanted: bool) -> Iterator[None]:
    """Inside, splits that are carved do not divide pictures that are nearly the same (`dataset.similar=together`)."""
    token = _together.set(wanted)
    try:
        yield
    finally:
        _together.reset(token)


def is_kept_together() -> bool:
    """Whether pictures that are nearly the same stay on one side of a split."""
    return _together.get()


def with_one_key(keys: Sequence[bytes], thumbnails: Sequence[str]) -> list[bytes]:
    """Give samples that hang together by looking nearly the same one key: the smallest of theirs.

    Args:
        keys: Content of each sample.
        thumbnails: As of `similar_pairs`.
    """
    parents: dict[bytes, bytes] = {}

    def root(key: bytes) -> bytes:
        while (above := parents.get(key, key)) != key:
            parents[key] = parents.get(above, above)
            key = above
        return key

    for one, other in similar_pairs(keys, thumbnails):
        low, high = sorted((root(keys[one]), root(keys[other])))
        if low != high:
            parents[high] = low
    return [root(key) for key in keys]


def similar_pairs(keys: Sequence[bytes], thumbnails: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions of pictures of different content that are nearly the same, the smaller one first, sorted.

    Of files of equal content the first one is compared. Of a picture that is like very many, some pairs are left out.

    Args:
        keys: Content of each sample.
        thumbnails: Of each sample, as `tlx.data.reading.thumbnail.written` returns them; '': it is not compared.
    """
    first: dict[bytes, int] = {}
    for position, (key, thumbnail) in enumerate(zip(keys, thumbnails, strict=True)):
        if thumbnail:
            first.setdefault(key, position)
    if len(first) < 2:
        return []
    places = np.array(list(first.values()))
    ratios, values = zip(*(_read(thumbnails[place]) for place in places), strict=True)
    grey = np.stack(values).astype(np.float32)  # (N, SIDE, SIDE)
    kept = grey.std(axis=(1, 2)) >= LEAST_CONTRAST
    places, grey, ratio = places[kept], grey[kept], np.log(np.array(ratios)[kept])
    if len(places) < 2:
        return []
    pairs = (sorted((int(places[i]), int(places[j]))) for i, j in _near(grey, ratio))
    return sorted((one, other) for one, other in pairs)


def _read(thumbnail: str) -> tuple[float, npt.NDArray[np.uint8]]:
    """The ratio of width to height, and the grey values (SIDE, SIDE)."""
    size, text = thumbnail.split()
    width, height = map(int, size.split("x"))
    return width / height, np.frombuffer(bytes.fromhex(text), dtype=np.uint8).reshape(SIDE, SIDE)


def _near(grey: Values, ratio: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield pairs of places. Pictures are compared with those near them along two axes, not with all.

    Args:
        grey: (N, SIDE, SIDE).
        ratio: Logarithm of width by height (N,).
    """
    flat = grey.reshape(len(grey), -1)
    values = _unit(flat - flat.mean(axis=1, keepdims=True))
    steps = _unit(np.concatenate([np.diff(grey, axis=a).reshape(len(grey), -1) for a in (1, 2)], axis=1))
    first, second = (values @ _axes(values)).T
    band = np.floor(first / _APART).astype(int)
    order = np.argsort(second)
    for low in np.unique(band):
        own, pool = order[band[order] == low], order[(band[order] == low) | (band[order] == low + 1)]
        for start in range(0, len(own), _ROWS):
            rows = own[start : start + _ROWS]
            ends = np.searchsorted(second[pool], [second[rows[0]] - _APART, second[rows[-1]] + _APART])
            others = pool[slice(*ends)]
            cosine = values[rows] @ values[others].T
            alike = cosine >= ALIKE_VALUES
            if np.count_nonzero(alike) > _COMPARED * len(rows):
                alike &= cosine >= np.partition(cosine, -_COMPARED, axis=1)[:, -_COMPARED, None]
            places, found = np.nonzero(alike)
            ones, twos = rows[places], others[found]
            once = ((ones < twos) | (band[twos] > low)) & (np.abs(ratio[ones] - ratio[twos]) <= RATIO)
            ones, twos = ones[once], twos[once]
            for at in range(0, len(ones), _ROWS):
                one, two = ones[at : at + _ROWS], twos[at : at + _ROWS]
                same = _same(values[one], values[two], np.einsum("ij,ij->i", steps[one], steps[two]))
                yield from zip(one[same].tolist(), two[same].tolist(), strict=True)


def _axes(values: Values) -> Values:
    """Two orthonormal axes (SIDE * SIDE, 2), about those along which pictures differ most (power iteration)."""
    axes: Values = np.random.default_rng(0).normal(size=(values.shape[1], 2)).astype(np.float32)
    for _ in range(8):
        axes = np.linalg.qr(values.T @ (values @ axes))[0]
    return axes


def _same(ones: Values, others: Values, cosine: Values) -> npt.NDArray[np.bool_]:
    """Whether pictures of alike values are the same: by the cosine of their steps, and where it is less, if moved."""
    same: npt.NDArray[np.bool_] = cosine >= ALIKE_STEPS
    maybe = np.flatnonzero((cosine >= ALIKE_MOVED) & ~same)
    if len(maybe):
        same[maybe] = _unexplained(ones[maybe], others[maybe]) <= UNEXPLAINED
    return same


def _unexplained(ones: Values, others: Values) -> Values:
    """What part of the second thumbnails the first do not explain, moved and stretched along both axes (Lucas, Kanade).

    Args:
        ones: Thumbnails (N, SIDE * SIDE) of mean 0 and length 1.
        others: Likewise.

    Returns:
        Length of the rest by length of the second, without their edges (N,).
    """
    one, other = (SIDE * rows.reshape(-1, SIDE, SIDE).astype(np.float64) for rows in (ones, others))
    down, right = np.gradient((one + other) / 2, axis=(1, 2))
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    terms = np.stack([right, down, x * right, y * down, one, np.ones_like(one)], axis=-1)
    terms, wanted = (part[:, 1:-1, 1:-1].reshape(len(one), (SIDE - 2) ** 2, -1) for part in (terms, other))
    turned = terms.transpose(0, 2, 1)
    found = np.linalg.solve(turned @ terms + 1e-6 * np.eye(terms.shape[-1]), turned @ wanted)
    rest, whole = wanted - terms @ found, wanted - wanted.mean(axis=1, keepdims=True)
    share: Values = np.linalg.norm(rest, axis=(1, 2)) / np.maximum(np.linalg.norm(whole, axis=(1, 2)), 1e-6)
    return share


def _unit(rows: Values) -> Values:
    """Rows of length 1."""
    scaled: Values = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return scaled
