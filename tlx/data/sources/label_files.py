"""Find the image that a file of labels belongs to, by name and folder. Only the standard library."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tlx.data.sources.mask_names import said_by, stem_of

_RANKS = {"image": 0, None: 1, "mask": 2, "other": 3}  # folders called so hold images, the first the most likely


class ImageIndex:
    """The images of a set, to be found by names.

    Args:
        images: Their files.
        root: The set's folder.
    """

    def __init__(self, images: Sequence[Path], root: Path) -> None:
        self._root = root
        self._folders: dict[str, tuple[tuple[str, ...], int]] = {}
        self._called: dict[str, list[Path]] = defaultdict(list)  # file name, or stem -> images
        for image in images:
            name = image.name.lower()
            for key in dict.fromkeys((name, os.path.splitext(name)[0])):
                self._called[key].append(image)

    def of_file(self, file: Path, inside: str = "") -> Path | None:
        """Return the image that a file of labels belongs to; None: there is none, or several.

        Images in the same folder come first, then those in the folder that corresponds (`labels/a` to `images/a`), then
        one alone anywhere. If no image has the name of the file, the name that is written in it decides.

        Args:
            file: The file of labels.
            inside: Name or path of the image, as the file says; it also decides between `a.jpg` and `a.png`.
        """
        stem = stem_of(file.name)
        named = _last(inside)
        found = self._called.get(stem) or self._called.get(named) or self._called.get(os.path.splitext(named)[0]) or []
        if len(found) == 1:
            return found[0]
        here, place = str(file.parent), self._place(file)[0]
        near = [image for image in found if str(image.parent) == here]
        near = near or [image for image in found if self._place(image)[0] == place] or found
        best = min((self._place(image)[1] for image in near), default=0)
        near = [image for image in near if self._place(image)[1] == best]
        if len(near) > 1:
            near = [image for image in near if image.name.lower() == named] or near
        alone = len(near) == 1 or (near and len({image.parent for image in near}) == 1)
        return near[0] if alone else None

    def called(self, written: str, near: Path) -> Path | None:
        """Return the image that a path means, as a table or a list writes it; None: there is none, or several.

        Upper and lower case, `\\`, drives, folders that are not there and the extension may differ; of several images
        of that name it is the one whose path agrees in the most folders.

        Args:
            written: The path.
            near: Folder of the file that names it.
        """
        parts = [part for part in written.replace("\\", "/").lower().split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        found = self._called.get(parts[-1]) or self._called.get(os.path.splitext(parts[-1])[0]) or []
        if len(found) < 2:
            return found[0] if found else None
        ranked: dict[tuple[int, bool], list[Path]] = defaultdict(list)
        for image in found:
            own = [part.lower() for part in image.parts]
            same = 1
            while same < min(len(parts), len(own)) and parts[-1 - same] == own[-1 - same]:
                same += 1
            ranked[same, image.is_relative_to(near)].append(image)
        best = ranked[max(ranked)]
        exact = [image for image in best if image.name.lower() == parts[-1]] or best
        return exact[0] if len(exact) == 1 else None

    def _place(self, file: Path) -> tuple[tuple[str, ...], int]:
        """Names of a file's folders but those that say what is in them, and the rank of what that is."""
        here = str(file.parent)
        if here not in self._folders:
            inner = file.parent.is_relative_to(self._root)
            parts = file.parent.relative_to(self._root).parts if inner else file.parent.parts
            roles = {part: said_by(part)[0] for part in parts}
            rank = max((_RANKS[role] for role in roles.values() if role in ("mask", "other")), default=1)
            rank = 0 if rank == 1 and "image" in roles.values() else rank
            self._folders[here] = tuple(part.lower() for part in parts if roles[part] is None), rank
        return self._folders[here]


def _last(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].strip().lower()
