"""A mask that is drawn from the objects that COCO's annotations list for an image."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from tlx.base.errors import TlxError
from tlx.data.mask_labels import Mask
from tlx.data.reading.mask_facts import counted_values
from tlx.data.reading.mask_values import upright
from tlx.data.reading.polygons import fill
from tlx.data.reading.rle import decoded
from tlx.data.sources.coco_file import CocoObject


@dataclass(frozen=True)
class CocoMask(Mask):
    """The objects of an image, drawn when the mask is read; where objects overlap, the smaller one is on top.

    Args:
        name: What a person calls the image.
        size: Width and height of the image as it was annotated, in pixels.
        objects: Each with its class; other pixels are class 0.
        turn: EXIF orientation, 1 to 8, of the image that lay as in its file when it was annotated.
        fault: Why the mask cannot be used; None: nothing is known to be wrong.
        known: Pixels of each class, where they were counted before.
    """

    name: str
    size: tuple[int, int]
    objects: tuple[tuple[CocoObject, int], ...]
    turn: int = 1
    fault: str | None = None
    known: Mapping[int, int] | None = None

    @property
    def pixel_counts(self) -> Mapping[int, int]:
        """Pixels of each class that the mask shows."""
        return {} if self.fault is not None else self._counts if self.known is None else self.known

    @functools.cached_property
    def _counts(self) -> Mapping[int, int]:
        found, counts = counted_values(self.drawn())
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    @property
    def problem(self) -> str | None:
        """Why the mask cannot be used."""
        return self.fault

    def drawn(self) -> np.ndarray:
        """Return the class of each pixel, uint8 (H, W), as the image was annotated.

        Raises:
            ValueError: An outline has a corner that is no number, or runs do not fill the image.
        """
        width, height = self.size
        canvas = np.zeros((height, width), dtype=np.uint8)
        for one, number in sorted(self.objects, key=lambda pair: -pair[0].area):
            if one.runs is not None:
                counts, wide, high = one.runs
                if (wide, high) != self.size:
                    raise ValueError(f"a mask of {wide} x {high} pixels is no mask of an image of {width} x {height}")
                canvas[decoded(counts, self.size)] = number
                continue
            # The parts of one object are drawn one by one: where they overlap, all of it is inside.
            for corners in one.outlines:
                fill(canvas, list(zip(corners[::2], corners[1::2], strict=True)), number)
        return canvas

    def read(self) -> np.ndarray:
        """Return the class of each pixel, uint8 (H, W), upright like its image.

        Raises:
            TlxError: The mask has a fault.
        """
        if self.fault is not None:
            raise TlxError(f"{self.name}: {self.fault}")
        return upright(self.drawn(), self.turn)

    def __repr__(self) -> str:
        """Return what the label depends on, the same wherever the set lies."""
        digest = blake2b(repr((self.size, self.turn)).encode(), digest_size=8)
        for one, number in self.objects:
            digest.update(repr((number, one.area, one.runs)).encode())
            for corners in one.outlines:
                digest.update(corners.tobytes() + b"|")
        return f"CocoMask({self.name!r}, {digest.hexdigest()})"
