"""Names of the files that are made from image files: their paths below the common folder, without the suffix."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = (".png", ".jpg")  # of the files that are made


def mirrored_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each image, no two alike: `a/1` and `b/1` for `x/a/1.png` and `x/b/1.png`.

    Images that differ only in their suffix keep it: `1.jpg` and `1.png`. So does `a.jpg` beside a folder `a.png`, which
    is what a file made from it would be called.

    Args:
        paths: Files; one that is given twice has one name.
    """
    places = [Path(os.path.abspath(path)) for path in paths]
    whole = dict(zip(places, below_common(paths), strict=True))
    names = {place: str(Path(name).with_suffix("")) for place, name in whole.items()}
    folders = {str(parent) for name in whole.values() for parent in Path(name).parents}
    clashing = {place for place, name in names.items() if folders & {f"{name}{suffix}" for suffix in SUFFIXES}}
    names |= {place: whole[place] for place in clashing}
    while True:  # a whole name may be another file's name without its suffix: `1.jpg` and `1.jpg.png`
        count = Counter(names.values())
        alike = [place for place, name in names.items() if count[name] > 1 and name != whole[place]]
        if not alike:
            return [names[place] for place in places]
        names |= {place: whole[place] for place in alike}


def below_common(paths: Sequence[Path]) -> list[str]:
    """Return the paths of files relative to the folder that all share."""
    places = [Path(os.path.abspath(path)) for path in paths]
    folder = os.path.commonpath([place.parent for place in places]) if places else ""
    return [str(place.relative_to(folder)) for place in places]
