"""What names the classes and splits of a YOLO set: `data.yaml`, `classes.txt`, `obj.names`. No torch here."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tlx.base.errors import TlxError
from tlx.base.files import open_regular
from tlx.base.legible import composed, legible
from tlx.data.sources.split_folders import SPLIT_NAMES

_MOST_BYTES = 2**20
_MOST_CLASSES = 100_000
NAME_FILES = ("classes.txt", "_darknet.labels", "predefined_classes.txt")  # and files that end in .names


@dataclass(frozen=True)
class YoloData:
    """What a YAML file says of a set.

    Args:
        file: The file.
        names: Class names by number; None: it has none.
        splits: Split -> folders, or lists of images, as written.
        base: Folder that these are relative to, as written; '' if it is not named.
        task: `detect`, `segment`, `pose`, `obb`; '' if it is not named.
        keypoints: Whether key points follow each box.
    """

    file: Path
    names: tuple[str, ...] | None
    splits: tuple[tuple[str, tuple[str, ...]], ...]
    base: str
    task: str
    keypoints: bool


def read_data(path: Path) -> YoloData:
    """Read a YAML file; one that has not changed is read once.

    Raises:
        TlxError: It is missing, broken or too large, or names no classes and no images.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise TlxError(f"dataset.data: expected a file such as data.yaml, got {path}, not there") from error
    return _read(path, (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=8)
def _read(path: Path, _: tuple[int, int]) -> YoloData:
    import yaml

    try:
        # all values as text: a class called `no` or 007 keeps its name
        held = yaml.load(_text(path), Loader=yaml.BaseLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise _broken(path, str(getattr(error, "strerror", None) or error)) from error
    if not isinstance(held, Mapping):
        raise _broken(path, "something else")
    splits: dict[str, tuple[str, ...]] = {}
    for key, value in held.items():
        part = SPLIT_NAMES.get(str(key).lower())
        entries = [value] if isinstance(value, str) else value
        if part is None or not entries:
            continue
        if not isinstance(entries, list) or not all(isinstance(one, str) for one in entries):
            raise _broken(path, f"no folders for {part}")
        splits[part] = tuple(one for one in entries if one)
    names = _names(path, held)
    if names is None and not splits:
        raise _broken(path, "neither")
    base, task = (held.get(key) if isinstance(held.get(key), str) else "" for key in ("path", "task"))
    return YoloData(path, names, tuple(splits.items()), base or "", (task or "").lower(), "kpt_shape" in held)


def _names(path: Path, held: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = held.get("names")
    try:
        if isinstance(names, Mapping):
            numbered = {int(number): name for number, name in names.items()}
            if not numbered or min(numbered) < 0 or max(numbered) >= _MOST_CLASSES:
                raise ValueError
            names = [numbered.get(number, str(number)) for number in range(max(numbered) + 1)]
        elif not names:
            count = int(held.get("nc") or 0)
            if not 0 <= count <= _MOST_CLASSES:
                raise ValueError
            names = [str(number) for number in range(count)]
        if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError
    except (ValueError, TypeError) as error:
        raise _broken(path, "other names") from error
    return tuple(composed(name.strip()) for name in names) or None


def read_names(path: Path) -> tuple[str, ...]:
    """Return class names by number from a file with a name a line, or from Label Studio's `notes.json`.

    Raises:
        TlxError: It cannot be read, or has no names.
    """
    try:
        text = _text(path)
        if path.suffix.lower() == ".json":
            listed = {int(one["id"]): str(one["name"]) for one in json.loads(text)["categories"]}
            if listed and max(listed) >= _MOST_CLASSES:
                raise ValueError("numbers that are too large")
            lines = [listed.get(number, str(number)) for number in range(max(listed, default=-1) + 1)]
        else:
            lines = text.rstrip().splitlines()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TlxError(f"{path}: expected class names, one a line, got '{legible(error)}'") from error
    names = tuple(composed(line.strip()) for line in lines)
    if not names or not all(names):
        raise TlxError(f"{path}: expected class names, one a line, got {'an empty line' if names else 'none'}")
    return names


def find_data(files: Sequence[Path], root: Path, data: str | None) -> YoloData | None:
    """Return what a YAML file of a set says; None: there is none.

    Args:
        files: The YAML files below the root.
        root: The set's folder.
        data: The file, relative to the root or absolute; None: `data.yaml`, `dataset.yaml` or the only one that fits.

    Raises:
        TlxError: The file is broken, or several fit.
    """
    if data is not None:
        return read_data(root / Path(data).expanduser())
    ranked = sorted(files, key=lambda file: (len(file.parts), str(file)))
    called = [file for file in ranked if file.stem.lower() in ("data", "dataset")]
    if called:
        return read_data(called[0])
    found = []
    for file in ranked:
        try:
            read = read_data(file)
        except TlxError:
            continue
        if read.names is not None and read.splits:
            found.append(read)
    if len(found) > 1:
        names = ", ".join(legible(read.file.relative_to(root)) for read in found[:5])
        raise TlxError(
            f"dataset.data: expected one file of classes and splits, got {names}; say which: dataset.data=FILE"
        )
    return found[0] if found else None


def _text(path: Path) -> str:
    with open_regular(path) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB")
    return data.decode("utf-8-sig")


def _broken(path: Path, got: str) -> TlxError:
    return TlxError(
        f"{path}: expected YAML with class names (names: [cat, dog]) and folders (train: train/images), "
        f"got {legible(' '.join(got.split()))}"
    )
