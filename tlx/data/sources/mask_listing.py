"""The files of a set with masks, and what the names of their folders say. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from tlx.base.errors import TlxError, closest
from tlx.base.legible import legible
from tlx.base.printable import enumerated
from tlx.data.files.walk import descended, files_below
from tlx.data.sources.mask_names import MASK_EXTENSIONS, Role, said_by


@dataclass(frozen=True)
class ListedFile:
    """A file that may be an image or a mask.

    Args:
        path: Where it is.
        folder: Its folder.
        role: What the names of its folders say that it is; None: nothing.
        split: Of which split, likewise.
        rest: The names of its folders that say neither, in small letters.
    """

    path: Path
    folder: str
    role: Role | None
    split: str | None
    rest: tuple[str, ...] = ()


def listed(root: Path) -> list[ListedFile]:
    """All files that may be images or masks; of folders that all of them share, the name says nothing."""
    found = [(here, name) for here, name in files_below(root) if os.path.splitext(name)[1].lower() in MASK_EXTENSIONS]
    folders = {here: Path(here).relative_to(root).parts for here in {here for here, _ in found}}
    levels = zip(*folders.values(), strict=False)
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    meanings = {here: _folder_meaning(parts[shared:]) for here, parts in folders.items()}
    return [ListedFile(Path(here, name), here, *meanings[here]) for here, name in found]


def _folder_meaning(parts: Sequence[str]) -> tuple[Role | None, str | None, tuple[str, ...]]:
    role, split, rest = None, None, []
    for part in parts:
        own, of_split = said_by(part)
        role, split = own or role, of_split or split
        if not own and not of_split:
            rest.append(part.lower())
    return role, split, tuple(rest)


def with_named_folders(
    root: Path, files: list[ListedFile], image_folder: str | None, mask_folder: str | None
) -> list[ListedFile]:
    """Give the files in named folders their role; those in no named folder have none, or that of their names."""
    named: dict[Role, str | None] = {"image": image_folder, "mask": mask_folder}
    found: dict[Path, ListedFile] = {file.path: file for file in files}
    roles: dict[str, set[Path]] = {}
    for role, name in named.items():
        if name is None:
            continue
        own = [file for file in _in_folder(root, files, name) if file.role != "other"]
        if not own:
            near = closest(name, {part for file in files for part in file.path.parent.relative_to(root).parts})
            hint = f"did you mean {near}?" if near else f"its names are relative to {root}, or absolute"
            raise TlxError(f"dataset.{role}_folder: expected a folder with images, got '{name}'; {hint}")
        roles[role] = {file.path for file in own}
        found |= {file.path: replace(file, role=role) for file in own}
    if roles.get("image") == roles.get("mask"):
        return [replace(file, role=None) for file in found.values() if file.path in roles["image"]]
    kept = []
    inside = set().union(*roles.values())
    for file in found.values():
        if file.path in inside:
            kept.append(file)
        elif len(roles) == 1:
            kept.append(replace(file, role=None if file.role in roles else file.role))
    return kept


def _in_folder(root: Path, files: list[ListedFile], name: str) -> Iterator[ListedFile]:
    folder = Path(name).expanduser()
    if folder.is_absolute() and not folder.is_relative_to(root):
        if folder.is_dir():
            yield from listed(descended(folder))
        return
    parts = (folder.relative_to(root) if folder.is_absolute() else folder).parts
    whole = Path(root, *parts)
    for file in files:
        own = file.path.parent.relative_to(root).parts
        inside = file.path.is_relative_to(whole) if whole.is_dir() else _contains(own, parts)
        if inside:
            place = 0 if whole.is_dir() else next(i for i in range(len(own)) if own[i : i + len(parts)] == parts)
            around = own[len(parts) :] if whole.is_dir() else (*own[:place], *own[place + len(parts) :])
            _, split, rest = _folder_meaning(around)
            yield replace(file, split=split or _folder_meaning(parts)[1], rest=rest)


def _contains(own: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    return any(own[i : i + len(parts)] == parts for i in range(len(own)))


def folder_names(files: Sequence[ListedFile]) -> str:
    """Return the names of the folders that some files are in."""
    return enumerated(sorted({Path(file.folder).name for file in files}), 3)


def names_of(paths: Iterable[Path], root: Path) -> str:
    """Return the first names of some files, relative to the set's root."""
    return enumerated([legible(p.relative_to(root) if p.is_relative_to(root) else p) for p in paths], 3)
