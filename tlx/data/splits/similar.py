"""Near duplicates: pictures saved again, resized or cropped a little. Exact copies are not compared here.

Two pictures are near duplicates if the cosine of their thumbnails (`thumbnail.py`), without brightness and contrast, is
at least 0.97, their aspect ratios differ by at most 4 %, and either

- the cosine of the differences between neighbouring values is at least 0.95; or
- it is at least 0.85, and one thumbnail, shifted and stretched to first order, leaves at most 9 % of the other
  unexplained: this finds crops, but not other pictures of the same kind.

The thresholds were chosen by looking at pairs of photographs, scans and cells. For different photographs the cosine of
the differences is below 0.65, for different scans and cells below 0.945, and a shift leaves more than 10 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import numpy.typing as npt

from tlx.data.reading.thumbnail import SIDE
from tlx.data.splits.similar_groups import Pair, linked

ALIKE_VALUES = 0.97
ALIKE_STEPS = 0.95
ALIKE_MOVED = 0.85
UNEXPLAINED = 0.09
RATIO = 0.04
LEAST_CONTRAST = 6.0  # standard deviation of the grey values of a thumbnail, of 255
_APART = float(np.sqrt(2 - 2 * ALIKE_VALUES))  # thumbnails further apart than this along any axis are not similar
_ROWS = 256  # pictures compared at once
_COMPARED = 32  # nearest neighbours compared further, because all frames of a film are similar

Values = npt.NDArray[np.float32]
_grouping: ContextVar[bool] = ContextVar("grouping", default=False)


@contextmanager
def grouping_near_duplicates(wanted: bool) -> Iterator[None]:
    """Inside, carved splits do not divide near duplicates if `wanted` (`dataset.similar=together`)."""
    token = _grouping.set(wanted)
    try:
        yield
    finally:
        _grouping.reset(token)


def groups_near_duplicates() -> bool:
    """Return whether carved splits do not divide near duplicates."""
    return _grouping.get()


def merged_keys(keys: Sequence[bytes], pairs: Sequence[Pair]) -> list[bytes]:
    """Give all samples of a group of near duplicates the same key: the smallest of their keys.

    Args:
        keys: Content hash of each sample.
        pairs: Near duplicates; `similar_groups.linked` limits what they link.
    """
    merged = {key: key for key in keys}
    for group in linked(keys, pairs):
        merged.update(dict.fromkeys((keys[i] for i in group), min(keys[i] for i in group)))
    return [merged[key] for key in keys]


def similar_pairs(keys: Sequence[bytes], thumbnails: Sequence[str]) -> list[Pair]:
    """Return sorted pairs of near duplicates with different content.

    Of files with equal content only the first is compared. Some pairs of a picture with very many near duplicates are
    left out.

    Args:
        keys: Content hash of each sample.
        thumbnails: Thumbnail of each sample, from `tlx.data.reading.thumbnail.as_text`; '' if it is not compared.
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
    return sorted(Pair(one, other, 1.0) for one, other in pairs)


def is_picture(thumbnail: str) -> bool:
    """Return whether an image with this thumbnail is compared: it has one, and some contrast."""
    return bool(thumbnail) and float(_read(thumbnail)[1].std()) >= LEAST_CONTRAST


def _read(thumbnail: str) -> tuple[float, npt.NDArray[np.uint8]]:
    """Return the ratio of width to height, and the grey values (SIDE, SIDE)."""
    size, text = thumbnail.split()
    width, height = map(int, size.split("x"))
    return width / height, np.frombuffer(bytes.fromhex(text), dtype=np.uint8).reshape(SIDE, SIDE)


def _near(grey: Values, ratio: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Yield pairs of positions. Each picture is compared only with those near it along two axes.

    Args:
        grey: Thumbnails (N, SIDE, SIDE).
        ratio: Logarithm of width / height (N,).
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
    """Return orthonormal axes (SIDE * SIDE, 2), close to the first two principal axes (power iteration)."""
    axes: Values = np.random.default_rng(0).normal(size=(values.shape[1], 2)).astype(np.float32)
    for _ in range(8):
        axes = np.linalg.qr(values.T @ (values @ axes))[0]
    return axes


def _same(ones: Values, others: Values, cosine: Values) -> npt.NDArray[np.bool_]:
    """Return which pairs are near duplicates: by the cosine of their steps, or after a shift."""
    same: npt.NDArray[np.bool_] = cosine >= ALIKE_STEPS
    maybe = np.flatnonzero((cosine >= ALIKE_MOVED) & ~same)
    if len(maybe):
        same[maybe] = _unexplained(ones[maybe], others[maybe]) <= UNEXPLAINED
    return same


def _unexplained(ones: Values, others: Values) -> Values:
    """Return the part of the second thumbnails that the first do not explain, shifted and stretched (Lucas, Kanade).

    Args:
        ones: Thumbnails (N, SIDE * SIDE) of mean 0 and length 1.
        others: The thumbnails to explain, of the same shape, mean and length.

    Returns:
        Norm of the residual / norm of the second thumbnail, both without the edges (N,).
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
    """Scale rows to length 1."""
    scaled: Values = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return scaled
