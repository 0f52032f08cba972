"""Splits in folders of other names: named by `dataset.splits`, or mistaken for classes. No torch here.

Splits contain the same class folders; classes seldom contain the same folders. If all classes contain the same folders,
their names decide:

- all have names of splits (`training_set`, `seg_test`, `dev`, …) or folds (`fold1`, `split_2`, …): an error;
- otherwise a note, because cats and dogs may both have `indoor` and `outdoor`, and folds may be called 0 to 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tlx.base.errors import TlxError, closest
from tlx.base.legible import composed, legible
from tlx.base.printable import enumerated
from tlx.data.files.walk import descended, folders_in

PARTS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
Splits = Mapping[str, str | Sequence[str]]  # train, val, test -> folders relative to the root
_LIKE = {"train": r"train(ing)?", "val": r"val(id(ation)?)?|dev(elopment)?", "test": r"test(ing)?|eval(uation)?"}
_FOLD = re.compile(r"(fold|split|part|cv|k)[\W_]*\d+|\d+", re.IGNORECASE)


def split_below(root: Path, folder: Path) -> str | None:
    """Return the split that the folders from `root` down to a folder mean; None: none does, or it lies elsewhere."""
    return split_of(folder.relative_to(root).parts) if folder.is_relative_to(root) else None


def named_splits(root: Path, splits: Splits) -> dict[str, list[Path]]:
    """Return the folders of each split that `dataset.splits` names, in the order train, val, test.

    Raises:
        TlxError: A split or folder does not exist, train is missing, or a folder is named twice.
    """
    found: dict[str, list[Path]] = {}
    unknown = [part for part in splits if part not in PARTS]
    if unknown or not splits.get("train"):
        got = f"'{unknown[0]}'" if unknown else "no train"
        raise TlxError(f"dataset.splits: expected folders for train and optionally for val and test, got {got}")
    for part in PARTS:
        named = splits.get(part) or []
        for name in [named] if isinstance(named, str) else named:
            folder = root / str(name)
            if not folder.is_dir():
                near = closest(str(name), (path.name for path in folders_in(root)))
                hint = f"; did you mean '{near}'?" if near else ""
                raise TlxError(f"dataset.splits: expected a folder in {root} for {part}, got '{name}'{hint}")
            if any(descended(folder).samefile(other) for others in found.values() for other in others):
                raise TlxError(f"dataset.splits: expected each folder once, got '{name}' twice")
            found.setdefault(part, []).append(descended(folder))
    return found


def lookalikes(root: Path, classes: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    """Yield remarks about classes that look like splits.

    Args:
        root: The folder that contains the classes.
        classes: The folders of each class.

    Raises:
        TlxError: The classes also have names of splits.
    """
    contents = ([path for folder in folders for path in folders_in(descended(folder))] for folders in classes.values())
    inside = [{composed(path.name) for path in paths} for paths in contents]
    same = inside[0]
    if len(classes) < 2 or len(same) < 2 or any(one != same for one in inside):
        return
    shared = enumerated(sorted(same), 4)
    if all(part_called(name) for name in same):
        yield f"all classes contain the folders {shared}, which look like splits: tlx mixes them and carves new splits"
        return
    each = f"each of the {len(classes)} folders in {legible(root)} ({enumerated(sorted(classes), 4)}) contains {shared}"
    parts = _parts(list(classes))
    if parts is not None:
        raise TlxError(
            f"{each}: these look like splits, not like classes; type {_typed(parts)}, or, if they are classes, "
            "'dataset.splits={train: .}'; tlx recognises train, training, val, valid, validation, test and testing"
        )
    *train, test = sorted(classes)
    yield f"{each}: if these are splits and not classes, name them: {_typed({'train': train, 'test': [test]})}"


def _parts(names: Sequence[str]) -> dict[str, list[str]] | None:
    """Return the folders of each split if all have names of splits, or of folds that are more than a number."""
    parts: dict[str, list[str]] = {}
    for name in sorted(names):
        parts.setdefault(part_called(name) or "", []).append(name)
    if "" not in parts and "train" in parts:
        if "test" not in parts and "val" in parts:
            parts["test"] = parts.pop("val")
        return parts
    if all(_FOLD.fullmatch(name) and not name.isdigit() for name in names):
        *train, test = sorted(names)
        return {"train": train, "test": [test]}
    return None


def part_called(name: str) -> str | None:
    """Return the split that a name such as `seg_train`, `Training Set` or `test2` means; None if there is none."""
    words = re.findall(r"[a-z]+", name.lower())
    found = {part for part, pattern in _LIKE.items() if any(re.fullmatch(pattern, word) for word in words)}
    return found.pop() if len(found) == 1 else None


def split_of(folders: Sequence[str]) -> str | None:
    """Return the split that the names of nested folders mean, the innermost first; None: none does."""
    return next((part for name in reversed(folders) if (part := part_called(name))), None)


def _typed(parts: Mapping[str, Sequence[str]]) -> str:
    """Return `dataset.splits` as it is typed in a shell."""

    def value(name: str) -> str:
        return name if re.fullmatch(r"[\w./-]*[A-Za-z_./-][\w./-]*", name) else f'"{name}"'

    values = {
        p: value(names[0]) if len(names) == 1 else f"[{', '.join(map(value, names))}]" for p, names in parts.items()
    }
    return "'dataset.splits={" + ", ".join(f"{part}: {values[part]}" for part in PARTS if part in values) + "}'"
