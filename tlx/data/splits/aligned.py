"""Whether two pictures show the same thing from slightly different places: aligned correlation of small grey images.

One picture is moved onto the other: first by the shift at which they correlate most, then by an affine map that is
refined from coarse to fine (Lucas and Kanade; Baker and Matthews, IJCV 2004). What then counts is how far the details
agree. Details are what is left of a picture without a blurred copy of it: two faces, cells or letters have the same
coarse shape, two photographs of one object have the same details.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDE = 64  # pixels of a grey image; pictures are squeezed to squares
_LEVELS = ((16, 8), (32, 6), (64, 4))  # pixels of a side, steps of refinement
_MOST_SHIFT = 0.3  # of a side, between the centres
_STRETCH = 1.35  # by which a picture is at most enlarged or reduced along any axis
_LEAST_SHARED = 0.5  # of the area, where both pictures are
_BLUR = 3.0  # standard deviation of the blurred copy, in pixels
_AT_ONCE = 128  # pairs
_DAMPING = 1e-3

Values = npt.NDArray[np.float32]


def agreement(ones: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]) -> Values:
    """Return how far the details of pictures agree once they are aligned, from -1 to 1 (N,); -1: nothing aligns them.

    Args:
        ones: Grey images, uint8 (N, 64, 64).
        others: Those to compare them with, in the same form.
    """
    starts = range(0, len(ones), _AT_ONCE)
    found = [_agreement(ones[at : at + _AT_ONCE], others[at : at + _AT_ONCE]) for at in starts]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _agreement(ones: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]) -> Values:
    one, other = _normal(ones), _normal(others)
    maps = _shifts(_reduced(one, 32), _reduced(other, 32))  # (N, 2, 3)
    for side, steps in _LEVELS:
        small, wanted = _reduced(one, side), _reduced(other, side)
        for _ in range(steps):
            maps = np.clip(maps + _step(small, wanted, maps), -2, 2)
    moved, inside = _moved(_details(one), maps)
    score = _correlation(moved, _details(other), inside)
    return np.where(_plausible(maps, inside), score, -1).astype(np.float32)


def _normal(grey: npt.NDArray[np.uint8]) -> Values:
    """Return images of mean 0 and standard deviation 1."""
    values = grey.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    normal: Values = values / np.maximum(values.std(axis=(1, 2), keepdims=True), 1e-3)
    return normal


def _reduced(images: Values, side: int) -> Values:
    times = images.shape[1] // side
    reduced: Values = images.reshape(len(images), side, times, side, times).mean(axis=(2, 4), dtype=np.float32)
    return reduced


def _details(images: Values) -> Values:
    """Return images without their blurred copies."""
    return images - _blurred(_blurred(images, 1), 2)


def _blurred(images: Values, axis: int) -> Values:
    reach = int(3 * _BLUR)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _BLUR) ** 2).astype(np.float32)
    weights /= weights.sum()
    room = [(0, 0), (0, 0), (0, 0)]
    room[axis] = (reach, reach)
    padded = np.pad(images, room, mode="reflect")
    length = images.shape[axis]
    parts = (w * np.take(padded, range(i, i + length), axis=axis) for i, w in enumerate(weights))
    blurred: Values = np.sum(np.stack(list(parts)), axis=0, dtype=np.float32)
    return blurred


def _shifts(ones: Values, others: Values) -> npt.NDArray[np.float64]:
    """Return affine maps (N, 2, 3), on coordinates from -1 to 1, of the shifts at which images correlate most."""
    side = ones.shape[1]
    room = 2 * side
    window = np.hanning(side + 2)[1:-1]
    window = (window[:, None] * window).astype(np.float32)
    spectra = [np.fft.rfft2(images * window, s=(room, room)) for images in (ones, others)]
    correlation = np.fft.irfft2(spectra[0] * spectra[1].conj(), s=(room, room))
    most = int(_MOST_SHIFT * side)
    near = np.r_[-most : most + 1]
    correlation = correlation[:, near[:, None], near]
    best = correlation.reshape(len(ones), -1).argmax(axis=1)
    down, right = near[best // len(near)], near[best % len(near)]
    maps = np.zeros((len(ones), 2, 3))
    maps[:, 0, 0] = maps[:, 1, 1] = 1
    maps[:, 0, 2], maps[:, 1, 2] = 2 * right / side, 2 * down / side
    return maps


def _grid(side: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return x and y of the pixels, from -1 to 1, each (side * side,)."""
    line = (np.arange(side) + 0.5) * 2 / side - 1
    y, x = np.meshgrid(line, line, indexing="ij")
    return x.ravel(), y.ravel()


def _moved(images: Values, maps: npt.NDArray[np.float64]) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Return images sampled where the maps lead each pixel, (N, side, side), and where that is inside them."""
    side = images.shape[1]
    x, y = _grid(side)
    places = maps @ np.stack([x, y, np.ones_like(x)])  # (N, 2, P)
    right, down = ((places[:, i] + 1) * side / 2 - 0.5 for i in (0, 1))
    inside = (right >= 0) & (right <= side - 1) & (down >= 0) & (down <= side - 1)
    right, down = np.clip(right, 0, side - 1.001), np.clip(down, 0, side - 1.001)
    left, top = right.astype(int), down.astype(int)
    across, along = (right - left).astype(np.float32), (down - top).astype(np.float32)
    flat = images.reshape(len(images), -1)
    at = top * side + left
    upper, lower = (
        np.take_along_axis(flat, at + step, 1) * (1 - across) + np.take_along_axis(flat, at + step + 1, 1) * across
        for step in (0, side)
    )
    sampled = upper * (1 - along) + lower * along
    return sampled.reshape(images.shape), inside.reshape(images.shape)


def _step(images: Values, wanted: Values, maps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the change of the maps (N, 2, 3) that brings images nearest to others, to first order."""
    side = images.shape[1]
    moved, inside = _moved(images, maps)
    slopes = (np.asarray(slope) for slope in np.gradient(images, axis=(1, 2)))
    down, right = (_moved(slope, maps)[0].reshape(len(images), -1) * (side / 2) for slope in slopes)
    x, y = (part.astype(np.float32) for part in _grid(side))
    flat = moved.reshape(len(images), -1)
    columns = (x * right, y * right, right, x * down, y * down, down, flat, np.ones_like(flat))
    terms = np.stack(columns, axis=-1) * inside.reshape(len(images), -1, 1)
    rest = wanted.reshape(len(images), -1, 1) * inside.reshape(len(images), -1, 1)
    turned = terms.transpose(0, 2, 1)
    squares = (turned @ terms).astype(np.float64)
    damping = _DAMPING * squares.trace(axis1=1, axis2=2)[:, None, None] / 8 + 1e-6
    # gain and bias are found with the map: what is to be explained is the other image without this one as it is
    right_side = (turned @ (rest - terms[..., 6:7])).astype(np.float64)
    found = np.linalg.solve(squares + damping * np.eye(8), right_side)[..., 0]
    change = found[:, :6].reshape(-1, 2, 3)
    return np.clip(change, -0.2, 0.2)


def _correlation(ones: Values, others: Values, inside: npt.NDArray[np.bool_]) -> Values:
    """Return the correlation of images where both are (N,)."""
    count = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    one, other = (
        (image - (image * inside).sum(axis=(1, 2), keepdims=True) / count) * inside for image in (ones, others)
    )
    scale = np.sqrt((one**2).sum(axis=(1, 2)) * (other**2).sum(axis=(1, 2)))
    score: Values = (one * other).sum(axis=(1, 2)) / np.maximum(scale, 1e-6)
    return score


def _plausible(maps: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return whether maps only shift, turn and stretch a little, and leave enough of both pictures."""
    stretch = np.linalg.svd(maps[:, :, :2], compute_uv=False)
    turned_over = np.linalg.det(maps[:, :, :2]) <= 0
    shared = inside.mean(axis=(1, 2))
    ok: npt.NDArray[np.bool_] = (
        (stretch[:, 0] <= _STRETCH) & (stretch[:, 1] >= 1 / _STRETCH) & ~turned_over & (shared >= _LEAST_SHARED)
    )
    return ok
