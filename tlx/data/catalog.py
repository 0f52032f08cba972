"""What is known of a data set before anything heavy is imported: its classes, and what is wrong with its node."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tlx.base.errors import Mistake, TlxError, did_you_mean
from tlx.base.legible import legible
from tlx.data.files.image_files import DICOM, INSTALL_DICOM, closest_file, images_below, why_no_folder
from tlx.data.files.walk import files_below, passing_over
from tlx.data.sources.arrayfile import class_names_of
from tlx.data.sources.glyphs import alphabet
from tlx.data.sources.identity import content_identity
from tlx.data.sources.layout import read_layout
from tlx.data.sources.table_images import extension_of, locate
from tlx.data.sources.tablefile import Columns, Table, image_root, read_table
from tlx.data.sources.torchvision_table import TORCHVISION, TorchvisionSet, missing_files
from tlx.data.splits.groups import groups_by_pattern
from tlx.data.splits.typed_classes import class_called

__all__ = ["TORCHVISION", "TorchvisionSet", "class_names", "content_identity", "mistakes", "num_classes"]

DIGITS = "tlx.data.digits"
FOLDER = "tlx.data.folder"
TABLE = "tlx.data.table"
TORCHVISION_SET = "tlx.data.torchvision_set"
ARRAYS = "tlx.data.arrays"
UNLABELLED = "tlx.data.unlabelled"
DRAWN = {"tlx.data.plates", "tlx.data.letters"}


def class_names(dataset: Mapping[str, Any]) -> list[str] | None:
    """Class names of a composed dataset node, in the order of targets, or None where only loading it tells them."""
    with passing_over(dataset.get("on_bad") == "skip"):
        known = _all_class_names(dataset)
    if dataset.get("_target_") != DIGITS and dataset.get("classes") is not None:
        return [class_called(name, known or ()) for name in dataset["classes"]]
    return known


def _all_class_names(dataset: Mapping[str, Any]) -> list[str] | None:
    target = dataset.get("_target_")
    if target == DIGITS:
        classes = dataset.get("classes")
        return [str(c) for c in (range(10) if classes is None else classes)]
    if target == TORCHVISION_SET:
        known = TORCHVISION.get(str(dataset.get("name")))
        return list(known.names) if known and known.names else None
    try:
        if target == FOLDER:
            return read_layout(dataset["root"], dataset.get("splits")).class_names if _is_set(dataset, "root") else None
        if target == TABLE:
            return _table(dataset).class_names if _is_set(dataset, "path") else None
        if target == ARRAYS:
            return class_names_of(_path(dataset)) if _is_set(dataset, "path") else None
        if target in DRAWN:
            return list(alphabet(dataset.get("characters", "digits")))
    except TlxError:
        return None
    return None


def num_classes(dataset: Mapping[str, Any]) -> int | None:
    """Number of classes of a composed dataset node, or None where only loading it tells."""
    if dataset.get("_target_") == TORCHVISION_SET and dataset.get("classes") is None:
        known = TORCHVISION.get(str(dataset.get("name")))
        return known.num_classes if known else None
    names = class_names(dataset)
    return None if names is None else len(names)


def mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    """What is wrong with a dataset node whose keys are all there and of the right type; a key `???` is passed over."""
    checks = {
        DIGITS: _digits_mistakes,
        FOLDER: _folder_mistakes,
        TABLE: _table_mistakes,
        ARRAYS: _arrays_mistakes,
        UNLABELLED: _unlabelled_mistakes,
        **dict.fromkeys(DRAWN, _drawn_mistakes),
        TORCHVISION_SET: _torchvision_mistakes,
    }
    check = checks.get(str(dataset.get("_target_")))
    with passing_over(dataset.get("on_bad") == "skip"):
        found = check(dataset) if check else []
        return [*found, *_mistakes_of_any(dataset), *(() if found else _without_pydicom(dataset))]


def _digits_mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    classes = dataset.get("classes")
    if classes is None:
        return []
    unknown = [c for c in classes if c not in range(10)]
    if unknown or len(set(classes)) != len(classes) or len(classes) < 2:
        expected = "at least two different digits from 0 to 9"
        return [Mistake("dataset.classes", expected, str(list(classes)), "such as dataset.classes=[0,1,2,3,4]")]
    return []


def _folder_mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    if not _is_set(dataset, "root"):
        return []
    if missing := _no_folder(dataset):
        return missing
    root = Path(dataset["root"]).expanduser()
    try:
        layout = read_layout(root, dataset.get("splits"))
    except TlxError as error:
        if str(error).startswith("dataset.splits: "):
            return [_of_error("dataset.splits", error)]
        return [
            Mistake("dataset.root", "train/CLASS/… and val or test, or CLASS/…", f"'{dataset['root']}'", str(error))
        ]
    pattern = dataset.get("group_pattern")
    if pattern is None:
        return []
    names = [legible(file.relative_to(root).as_posix()) for place in layout.places for file in images_below(place)]
    try:
        groups_by_pattern(names, pattern)
    except TlxError as error:
        return [_of_error("dataset.group_pattern", error)]
    return []


def _of_error(path: str, error: TlxError) -> Mistake:
    """A mistake from a message of the form `path: expected …, got …; hint`."""
    expected, _, rest = str(error).removeprefix(f"{path}: expected ").rpartition(", got ")
    got, _, hint = rest.partition("; ")
    return Mistake(path, expected, got, hint)


def _table_mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    if not _is_set(dataset, "path"):
        return []
    path = Path(dataset["path"]).expanduser()
    expected = "a table of images and labels"
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        return [Mistake("dataset.path", expected, f"'{dataset['path']}', which {what}", closest_file(path))]
    base = image_root(dataset["path"], dataset.get("root"))
    try:
        located = locate(path, _table(dataset).rows, base, dataset.get("extension"))
    except TlxError as error:
        return [Mistake("dataset.path", expected, f"'{dataset['path']}'", str(error))]
    rows, missing = located.rows, located.missing
    if missing and (dataset.get("on_bad") != "skip" or len(missing) == len(rows)):
        few = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        got = f"{len(missing):,} of {len(rows):,} that are not there: {few}"
        extension = extension_of(missing, base)
        if extension is not None:
            hint = f"files of these names are there with {extension}: type dataset.extension={extension}"
            return [Mistake("dataset.extension", f"the images of the table in {base}", got, hint)]
        hint = "name the folder that holds them: dataset.root=DIR"
        if len(missing) < len(rows):
            hint += ", or leave them out: dataset.on_bad=skip"
        return [Mistake("dataset.root", f"the images of the table in {base}", got, hint)]
    return []


def _arrays_mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    try:
        if _is_set(dataset, "path"):
            class_names_of(_path(dataset))
    except TlxError as error:
        expected, _, hint = str(error).partition("; ")
        return [Mistake("dataset.path", "a .npz file of images and labels", f"'{dataset['path']}': {expected}", hint)]
    return []


def _no_folder(dataset: Mapping[str, Any]) -> list[Mistake]:
    root = Path(dataset["root"]).expanduser()
    if root.is_dir():
        return []
    why, _, hint = why_no_folder(root).partition("; ")
    return [Mistake("dataset.root", "a folder of images", f"'{dataset['root']}', which {why}", hint)]


def _unlabelled_mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    if not _is_set(dataset, "root"):
        return []
    if missing := _no_folder(dataset):
        return missing
    root = Path(dataset["root"]).expanduser()
    return [] if images_below(root) else [Mistake("dataset.root", "a folder of images", "one without any")]


def _drawn_mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    try:
        alphabet(dataset.get("characters", "digits"))
    except TlxError as error:
        return [Mistake("dataset.characters", "characters to draw", f"'{dataset['characters']}'", str(error))]
    return []


def _path(dataset: Mapping[str, Any]) -> Path:
    return Path(dataset["path"]).expanduser()


def _table(dataset: Mapping[str, Any]) -> Table:
    return read_table(dataset["path"], Columns.of(dataset))


def _torchvision_mistakes(dataset: Mapping[str, Any]) -> list[Mistake]:
    name = str(dataset.get("name"))
    known = TORCHVISION.get(name)
    if known is None:
        return [Mistake("dataset.name", "one of torchvision's sets", f"'{name}'", did_you_mean(name, TORCHVISION))]
    root = Path(dataset.get("root") or "data").expanduser()
    missing = missing_files(known, root)
    if missing and not (dataset.get("download") and known.download):
        hint = "dataset.download=true" if known.download else "torchvision cannot fetch it: put it there by hand"
        got = f"'{dataset.get('root')}' without {missing[0]}"
        return [Mistake("dataset.root", f"a folder that holds {known.cls}", got, hint)]
    return []


def _without_pydicom(dataset: Mapping[str, Any]) -> Iterator[Mistake]:
    """Said once and at once, not of each of ten thousand files; nothing is imported."""
    if find_spec("pydicom") is not None:
        return
    target = dataset.get("_target_")
    files: Iterable[str] = ()
    if target == TABLE and _is_set(dataset, "path"):
        files = (row.path for row in _table(dataset).rows)
    elif target in (FOLDER, UNLABELLED) and _is_set(dataset, "root"):
        files = (name for _, name in files_below(Path(dataset["root"]).expanduser()))
    first = next((file for file in files if os.path.splitext(file)[1].lower() in DICOM), None)
    if first is not None:
        yield Mistake("dataset", f"pydicom, to read DICOM files such as {first}", "none", f"type: {INSTALL_DICOM}")


def _mistakes_of_any(dataset: Mapping[str, Any]) -> list[Mistake]:
    found = []
    carved = {"val": dataset.get("val_fraction") or 0, "test": dataset.get("test_fraction") or 0}
    if sum(carved.values()) >= 1:
        got = " + ".join(str(v) for v in carved.values())
        expected = "val_fraction + test_fraction below 1, so that images are left for training"
        found.append(Mistake("dataset.val_fraction", expected, got, "such as dataset.val_fraction=0.2"))
    if dataset.get("labels_per_class") is not None and dataset.get("fraction") is not None:
        got = f"labels_per_class={dataset['labels_per_class']} and fraction={dataset['fraction']}"
        expected = "one of labels_per_class and fraction"
        found.append(Mistake("dataset.labels_per_class", expected, got, "set the other to null"))
    found += _classes_mistakes(dataset)
    window = dataset.get("window")
    if isinstance(window, list) and (len(window) != 2 or window[1] <= 0):
        expected = "a centre and a width above 0"
        found.append(Mistake("dataset.window", expected, str(window), "such as dataset.window=[40,400], or null"))
    if dataset.get("augment") == "trivial" and dataset.get("channels") not in (1, 3, None):
        got = f"trivial with channels={dataset['channels']}"
        found.append(Mistake("dataset.augment", "none, light or strong where channels is not 1 or 3", got))
    return found


def _classes_mistakes(dataset: Mapping[str, Any]) -> Iterator[Mistake]:
    classes = dataset.get("classes")
    if dataset.get("_target_") == DIGITS or not isinstance(classes, list):
        return
    known = _all_class_names(dataset)
    chosen = [class_called(name, known or ()) for name in classes]
    unknown = [name for name in chosen if known is not None and name not in known]
    if unknown or len(set(chosen)) != len(chosen) or len(chosen) < 2:
        expected = "at least two different classes" + ("" if known is None else f" of {', '.join(known[:40])}")
        hint = did_you_mean(unknown[0], known or []) if unknown else ""
        yield Mistake("dataset.classes", expected, str(chosen), hint)


def _is_set(dataset: Mapping[str, Any], key: str) -> bool:
    return dataset.get(key) not in (None, "", "???")
