"""Lists of the images of each split, as VOC and CVAT write them. Only the standard library."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from tlx.data.files.walk import files_below
from tlx.data.sources.mask_names import stem_of
from tlx.data.sources.split_folders import SPLIT_NAMES
from tlx.data.sources.yolo_file import are_labels

_MOST_BYTES = 2**26


def read_lists(
    root: Path, images: Iterable[Path], folder: str = "Segmentation", whole: str | None = None
) -> dict[str, tuple[Path, set[str]]]:
    """Return split -> its list and the stems of images in it; empty where no lists fit the images.

    Lists are `train.txt`, `val.txt` and `test.txt` in a folder of `ImageSets` anywhere, in `splits`, or in `root`
    itself; a line begins with the name of an image. Labels of an image that is called `train.jpg` are none.

    Args:
        root: The set's folder.
        images: Its images.
        folder: The folder in `ImageSets`.
        whole: The list that is `train` if there is none of that name, such as `trainval`.
    """
    places = [Path(here) for here in {here for here, _ in files_below(root)} if _is_voc(here, folder)]
    known = {stem_of(path.name) for path in images}
    for place in [*sorted(places), root / "splits", root]:
        found: dict[str, tuple[Path, set[str]]] = {}
        for path in sorted(place.glob("*.txt")) if place.is_dir() else []:
            part = SPLIT_NAMES.get(path.stem.lower())
            if part is None and path.stem.lower() == whole and "train" not in found:
                part = "train"
            if part is None or path.stat().st_size > _MOST_BYTES:
                continue
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            if are_labels(text):  # of an image that is called `train.jpg`
                continue
            stems = {_stem(line.strip(), known) for line in text.splitlines() if line.strip()}
            if stems & known:
                found[part] = path, stems
        if "train" in found and len(found) > 1:
            return found
    return {}


def _is_voc(place: str, folder: str) -> bool:
    return [part.lower() for part in place.split(os.sep)[-2:]] == ["imagesets", folder.lower()]


def _stem(line: str, known: Collection[str]) -> str:
    """Return the stem of the image that a line names: as a whole, or with its first path of several."""
    for path in (line, line.split()[0].strip(",;")):
        name = path.replace("\\", "/").rpartition("/")[2]
        for stem in (name.lower(), stem_of(name)):
            if stem in known:
                return stem
    return line
