"""Convert the real data sets in TLX_TEST_DATA to .npz files for `dataset=arrays`. Each file is written once.

python benchmarks/real_sets.py notmnist       writes the file and prints its path
"""

from __future__ import annotations

import gzip
import io
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from report import ROOT

DATA = Path(os.environ.get("TLX_TEST_DATA", ROOT.parent / "shared" / "data"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tlx-benchmarks"


def npz(name: str, folder: Path = CACHE / "sets") -> Path:
    """Return the .npz file of a set; write it if it is missing."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{name}.{os.getpid()}.npz")
        np.savez(beside, **SETS[name]())
        beside.replace(path)
    return path


def chosen(key: str, name: str, classes: list[int] | None = None) -> list[str]:
    """Return the overrides that select a set, or some of its classes, as `dataset` or as `target`.

    `plates` and `letters` are drawn by tlx, `digits` is scikit-learn's.
    """
    if name in ("plates", "letters"):
        return [f"{key}={name}", *([f"{key}.characters={classes}"] if classes is not None else [])]
    some = [f"{key}.classes={classes}"] if classes is not None else []
    return [f"{key}=digits", *some] if name == "digits" else [
        f"{key}=arrays", f"{key}.name={name}", f"{key}.path={npz(name)}", *some
    ]  # fmt: skip


def korean(folder: Path = CACHE / "sets") -> Path:
    """Return the folder of Omniglot's Korean alphabet, with one folder per character."""
    root = folder / "images_background_small1" / "Korean"
    if not root.is_dir():
        with zipfile.ZipFile(DATA / "omniglot_small" / "python" / "images_background_small1.zip") as archive:
            archive.extractall(folder)
    return root


def _mnist() -> dict[str, np.ndarray]:
    return _class_folders("mnist_png", "L")[0]


def _usps() -> dict[str, np.ndarray]:
    with np.load(DATA / "usps" / "usps.npz") as held:
        return dict(held)


def _plate_characters(names: str) -> dict[str, np.ndarray]:
    """Return the characters without duplicates, and without pictures that have two labels."""
    found: dict[bytes, set[str]] = {}
    with zipfile.ZipFile(DATA / "plate_chars" / "plate_chars.zip") as held:
        for member in sorted(held.namelist()):
            if match := re.search(r"chars2/(\w)/[^/]+\.jpg$", member):
                found.setdefault(held.read(member), set()).add(match[1])
    kept = [(content, *labels) for content, labels in found.items() if len(labels) == 1 and labels <= {*names}]
    arrays = _named([_pixels(content) for content, _ in kept], [names.index(label) for _, label in kept])
    return {**dict(arrays), "class_names": np.array(list(names))}


def _blood_cells() -> dict[str, np.ndarray]:
    """Return the cells of BCCD, cropped by their boxes, 64 px, in official splits; at most 400 per kind and split."""
    kinds = ["RBC", "WBC", "Platelets"]
    found: dict[str, np.ndarray] = {"class_names": np.array(kinds)}
    for part in ("train", "val", "test"):
        listed = DATA / "bccd" / "BCCD" / "ImageSets" / "Main" / f"{part}.txt"
        images: list[np.ndarray] = []
        labels: list[int] = []
        for name in listed.read_text(encoding="utf-8").split():
            for kind, cell in _cells(name):
                if labels.count(kinds.index(kind)) < 400:
                    images.append(np.asarray(cell.resize((64, 64))))
                    labels.append(kinds.index(kind))
        found |= {f"{part}_{key}": value for key, value in _named(images, labels)}
    return found


def _cells(name: str) -> Iterator[tuple[str, Image.Image]]:
    """Yield the kind of each cell in a picture and the square around its box."""
    folder = DATA / "bccd" / "BCCD"
    picture = Image.open(folder / "JPEGImages" / f"{name}.jpg").convert("RGB")
    for one in ElementTree.parse(folder / "Annotations" / f"{name}.xml").iter("object"):
        box = [int(one.findtext(f"bndbox/{key}", "0")) for key in ("xmin", "ymin", "xmax", "ymax")]
        left, top, right, bottom = box
        if right > left and bottom > top:
            x, y, half = (left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top) / 2
            yield one.findtext("name", ""), picture.crop(tuple(map(round, (x - half, y - half, x + half, y + half))))


def _notmnist() -> dict[str, np.ndarray]:
    folder = DATA / "notmnist_t10k"
    images, labels = (_idx(folder / f"t10k-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return {"images": images, "labels": labels.astype(np.int64), "class_names": np.array(list("ABCDEFGHIJ"))}


def _omniglot() -> dict[str, np.ndarray]:
    """Return all characters of all available alphabets, white on black, in the size of MNIST."""
    images, labels, names = [], [], []
    for archive in sorted((DATA / "omniglot_small" / "python").glob("*.zip")):
        with zipfile.ZipFile(archive) as held:
            for name in sorted(n for n in held.namelist() if n.endswith(".png")):
                character = "/".join(name.split("/")[-3:-1])
                if character not in names:
                    names.append(character)
                small = Image.open(io.BytesIO(held.read(name))).convert("L").resize((28, 28), Image.Resampling.BOX)
                images.append(255 - np.asarray(small))
                labels.append(names.index(character))
    return {**dict(_named(images, labels)), "class_names": np.array(names)}


def _cifar10() -> dict[str, np.ndarray]:
    """Return all training images, and 200 test images per class."""
    arrays, names = _class_folders("cifar10_jpg", "RGB", most={"test": 200})
    return {**arrays, "class_names": np.array(names)}


def _class_folders(name: str, mode: str, most: dict[str, int] | None = None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return arrays and class names of a zip with train/CLASS and test/CLASS; at most `most[split]` images a class."""
    most = most or {}
    parts: dict[str, tuple[list[np.ndarray], list[int]]] = {"train": ([], []), "test": ([], [])}
    names: list[str] = []
    (archive,) = (DATA / name).glob("*.zip")
    with zipfile.ZipFile(archive) as held:
        for member in sorted(held.namelist()):
            if found := re.search(r"(train|test)\w*/(\w+)/[^/]+\.(?:png|jpg)$", member):
                part, label = found[1], found[2]
                names += [] if label in names else [label]
                images, labels = parts[part]
                if part not in most or labels.count(names.index(label)) < most[part]:
                    images.append(_pixels(held.read(member), mode))
                    labels.append(names.index(label))
    arrays = {f"{part}_{key}": np.stack(values) for part, pair in parts.items() for key, values in _named(*pair)}
    return arrays, names


def _named(images: list[np.ndarray], labels: list[int]) -> list[tuple[str, np.ndarray]]:
    return [("images", np.stack(images)), ("labels", np.array(labels, dtype=np.int64))]


def _pixels(content: bytes, mode: str = "L") -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def _idx(path: Path) -> np.ndarray:
    """Read MNIST's file format: a magic number, whose last byte is the number of axes; lengths of the axes; values."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


SETS: dict[str, Callable[[], dict[str, np.ndarray]]] = {
    "mnist": _mnist,
    "usps": _usps,
    "plate_digits": partial(_plate_characters, "0123456789"),
    "plate_letters": partial(_plate_characters, "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"),
    "blood_cells": _blood_cells,
    "notmnist": _notmnist,
    "omniglot": _omniglot,
    "cifar10": _cifar10,
}


def main() -> None:
    for name in sys.argv[1:] or SETS:
        print(npz(name))


if __name__ == "__main__":
    main()
