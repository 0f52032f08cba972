"""Which masks turn with the EXIF orientation of their image. Only the standard library.

An image of that kind lies in its file otherwise than it is shown. Some programs draw masks on it as it is shown, others
as it lies. The size of the mask says which, unless both are of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tlx.base.printable import counted

Frame = Literal["upright", "raw"] | None


@dataclass(frozen=True)
class Sizes:
    """Sizes of an image and of what was drawn on it, width and height in pixels.

    Args:
        image: As it lies in the file; (0, 0): not known.
        turn: Its EXIF orientation, 1 to 8.
        mask: Of the mask.
    """

    image: tuple[int, int]
    turn: int
    mask: tuple[int, int]

    @property
    def shown(self) -> tuple[int, int]:
        """The size of the image as it is shown."""
        width, height = self.image
        return (height, width) if self.turn >= 5 else (width, height)

    @property
    def frame(self) -> Literal["upright", "raw", "either"] | None:
        """As what the image was when the mask was drawn; None: the mask has the size of neither."""
        if 0 in self.image or self.turn == 1:
            return "upright" if 0 in self.image or self.mask == self.image else None
        fits = self.mask == self.shown, self.mask == self.image
        return "either" if all(fits) else "upright" if fits[0] else "raw" if fits[1] else None


def turns(sizes: Sequence[Sizes], exif: Frame = None) -> tuple[list[int], list[str]]:
    """Return for each mask the EXIF orientation by which it turns, 1 for none, and what a person should be told.

    Args:
        sizes: Of images and masks.
        exif: As what images were when masks were drawn, where sizes leave that open; None: as those whose sizes say it,
            if these agree, otherwise as shown.
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
    told = []
    if raw:
        told.append(
            f"{counted(raw, 'mask lies', 'masks lie')} as the file of an image with an EXIF orientation: turned with it"
        )
    if open_ones:
        drawn = "as the image is shown" if choice == "upright" else "as it lies in its file"
        what = counted(len(open_ones), "image with an EXIF orientation has", "images with an EXIF orientation have")
        other = "raw" if choice == "upright" else "upright"
        told.append(f"{what} one size either way: masks are taken {drawn} (dataset.exif={other} for the other way)")
    return found, told
