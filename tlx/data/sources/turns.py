"""Which masks and boxes turn with the EXIF orientation of their image. Only the standard library.

The image in such a file is rotated or mirrored before it is shown. Some programs annotate it so, others as stored.
The size that the annotation has or names says which, unless both sizes are equal or it names none: then coordinates
outside one of the two frames do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tlx.base.printable import counted

Frame = Literal["upright", "raw"] | None


@dataclass(frozen=True)
class Sizes:
    """Sizes of an image and of what was drawn on it, width and height in pixels.

    Args:
        image: As it lies in the file; (0, 0): not known.
        turn: Its EXIF orientation, 1 to 8.
        drawn: Of the mask, or of the image that the annotation names; (0, 0): not known.
    """

    image: tuple[int, int]
    turn: int
    drawn: tuple[int, int]

    @property
    def shown(self) -> tuple[int, int]:
        """The size of the image as it is shown."""
        width, height = self.image
        return (height, width) if self.turn >= 5 else (width, height)

    @property
    def frame(self) -> Literal["upright", "raw", "either"] | None:
        """As what the image was when it was annotated; None: the annotation has the size of neither."""
        if 0 in self.image or self.turn == 1:
            return "upright" if 0 in self.image or self.drawn in (self.image, (0, 0)) else None
        if self.drawn == (0, 0):
            return "either"
        fits = self.drawn == self.shown, self.drawn == self.image
        return "either" if all(fits) else "upright" if fits[0] else "raw" if fits[1] else None

    def by_corners(self, corners: Iterable[tuple[float, float]]) -> Sizes:
        """Return the sizes with the frame that holds all corners as drawn; unchanged if both frames hold them.

        Args:
            corners: x and y in pixels; up to a pixel outside counts as inside.
        """
        known = list(corners)

        def holds(frame: tuple[int, int]) -> bool:
            return all(x <= frame[0] + 1 and y <= frame[1] + 1 for x, y in known)

        raw, shown = holds(self.image), holds(self.shown)
        return self if raw and shown else replace(self, drawn=self.image if raw else self.shown)


def turns(
    sizes: Sequence[Sizes], exif: Frame = None, named: tuple[str, str] = ("mask", "masks")
) -> tuple[list[int], list[str]]:
    """Return for each annotation the EXIF orientation by which it turns, 1 for none, and remarks for the user.

    Args:
        sizes: Of images and what was drawn on them.
        exif: As what images were when they were annotated, where sizes leave that open; None: as those whose sizes say
            it, if these agree, otherwise as shown.
        named: What was drawn, in the singular and plural.
    """
    frames = [one.frame for one in sizes]
    open_ones = [place for place, frame in enumerate(frames) if frame == "either"]
    raw = frames.count("raw")
    decided = {frame for frame, one in zip(frames, sizes, strict=True) if frame in ("raw", "upright") and one.turn > 1}
    choice = exif or ("raw" if decided == {"raw"} else "upright")
    found = [
        one.turn if frame == "raw" or (frame == "either" and choice == "raw") else 1
        for frame, one in zip(frames, sizes, strict=True)
    ]
    remarks = []
    if raw:
        verb = "lies" if raw == 1 else "lie"
        remarks.append(
            f"{counted(raw, *named)} {verb} as the file of an image with an EXIF orientation: turned with it"
        )
    if open_ones:
        drawn = "as the image is shown" if choice == "upright" else "as it lies in its file"
        what = counted(len(open_ones), "image with an EXIF orientation has", "images with an EXIF orientation have")
        other = "raw" if choice == "upright" else "upright"
        sized = any(sizes[place].drawn != (0, 0) for place in open_ones)
        size = "one size either way" if sized else "no size in the annotations"
        remarks.append(f"{what} {size}: {named[1]} are taken {drawn} (dataset.exif={other} for the other way)")
    return found, remarks
