"""Find the file that another file, or a table, means by name and folder. Only the standard library."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

from tlx.data.sources.mask_names import said_by, stem_of
from tlx.data.sources.split_folders import part_called, split_below

_RANKS = {"image": 0, None: 1, "mask": 2, "other": 3}  # folders called so hold images, the first the most likely


class FileIndex:
    """The images of a set, or its files of labels, to be found by names in upper or lower case.

    Args:
        files: The files.
        root: The set's folder.
    """

    def __init__(self, files: Collection[Path], root: Path) -> None:
        self._root = root
        self._folders: dict[str, tuple[tuple[str, ...], int]] = {}
        self._called: dict[str, list[Path]] = defaultdict(list)  # file name, or stem -> files
        for file in files:
            name = file.name.lower()
            for key in dict.fromkeys((name, os.path.splitext(name)[0])):
                self._called[key].append(file)
        self._split_folders: dict[str, str | None] = {}
        self._splits = {self._split_of(file.parent) for file in files} - {None}

    def beside(self, file: Path) -> Path | None:
        """Return the file of the same stem in the same folder or the one that corresponds: `labels/a` to `images/a`."""
        found = self._of_stem(file)
        here, place = str(file.parent), self._place(file)[0]
        near = [one for one in found if str(one.parent) == here]
        near = near or [one for one in found if self._place(one)[0] == place]
        return near[0] if near else None

    def of_file(self, file: Path, inside: str = "") -> Path | None:
        """Return the file of the same stem; None: there is none, or several. See `of_split` for files of other splits.

        Those in the same folder come first, then those in the folder that corresponds, then one alone anywhere. If no
        file has that stem, the name that is written in the other file decides.

        Args:
            file: The other file, such as one of labels.
            inside: Name or path that is written in it; it also decides between `a.jpg` and `a.png`.
        """
        named = inside.replace("\\", "/").rpartition("/")[2].strip().lower()
        found = self._of_stem(file) or self._called.get(named) or self._called.get(os.path.splitext(named)[0]) or []
        found = self.of_split(found, self._split_of(file.parent))
        if len(found) == 1:
            return found[0]
        here, place = str(file.parent), self._place(file)[0]
        near = [one for one in found if str(one.parent) == here]
        near = near or [one for one in found if self._place(one)[0] == place] or found
        best = min((self._place(one)[1] for one in near), default=0)
        near = [one for one in near if self._place(one)[1] == best]
        if len(near) > 1:
            near = [one for one in near if one.name.lower() == named] or near
        return near[0] if near and len({one.parent for one in near}) == 1 else None

    def called(self, written: str, near: Path, split: str | None = None) -> Path | None:
        """Return the file that a path means, as a table or a list writes it; None: there is none, or several.

        Upper and lower case, `\\`, drives, folders that are not there and the extension may differ; of several files
        of that name it is the one whose path agrees in the most folders, or that is in a folder of images.

        Args:
            written: The path.
            near: Folder of the file that names it.
            split: The split that the file is in, see `of_split`; None: not known.
        """
        parts = [part for part in written.replace("\\", "/").lower().split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        found = self._called.get(parts[-1]) or self._called.get(os.path.splitext(parts[-1])[0]) or []
        found = self.of_split(found, split, parts[:-1])
        if len(found) < 2:
            return found[0] if found else None
        ranked: dict[tuple[int, bool], list[Path]] = defaultdict(list)
        for file in found:
            own = [part.lower() for part in file.parts]
            same = 1
            while same < min(len(parts), len(own)) and parts[-1 - same] == own[-1 - same]:
                same += 1
            ranked[same, file.is_relative_to(near)].append(file)
        best = ranked[max(ranked)]
        best = [file for file in best if file.name.lower() == parts[-1]] or best
        likely = min(self._place(file)[1] for file in best)
        best = [file for file in best if self._place(file)[1] == likely]
        return best[0] if len(best) == 1 else None

    def of_split(self, files: Sequence[Path], split: str | None, written: Sequence[str] = ()) -> list[Path]:
        """Return the files that can be of a split: not those in the folder of another one, if the split has a folder.

        Args:
            files: Some of the files.
            split: `train`, `val` or `test`; None: all can be meant.
            written: Folders of the path that names the file, in small letters; those of another split are taken.
        """
        if split not in self._splits or all(self._split_of(file.parent) in (None, split) for file in files):
            return [*files]
        taken = {None, split, *map(part_called, written)}
        return [file for file in files if self._split_of(file.parent) in taken]

    def _split_of(self, folder: Path) -> str | None:
        here = str(folder)
        if here not in self._split_folders:
            self._split_folders[here] = split_below(self._root, folder)
        return self._split_folders[here]

    def _of_stem(self, file: Path) -> list[Path]:
        return self._called.get(stem_of(file.name)) or self._called.get(file.name.lower()) or []

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
