"""The real sets of TLX_TEST_DATA as .npz files that `dataset=arrays` reads: written once, into a folder of theirs."""

from __future__ import annotations

import gzip
import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from report import ROOT

DATA = Path(os.environ.get("TLX_TEST_DATA", ROOT.parent / "shared" / "data"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tlx-benchmarks"


def npz(name: str, folder: Path = CACHE / "sets") -> Path:
    """Return the .npz file of a set."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{name}.{os.getpid()}.npz")
        np.savez(beside, **SETS[name]())
        beside.replace(path)
    return path


def chosen(key: str, name: str, classes: list[int] | None = None) -> list[str]:
    """Return the overrides that make a set the `dataset` or the `target`, with some of its classes.

    `plates` and `letters` are drawn by tlx, `digits` is scikit-learn's.
    """
    if name in ("plates", "letters"):
        return [f"{key}={name}", *([f"{key}.characters={classes}"] if classes is not None else [])]
    some = [f"{key}.classes={classes}"] if classes is not None else []
    return [f"{key}=digits", *some] if name == "digits" else [
        f"{key}=arrays", f"{key}.name={name}", f"{key}.path={npz(name)}", *some
    ]  # fmt: skip


def _mnist() -> dict[str, np.ndarray]:
    parts: dict[str, tuple[list[np.ndarray], list[int]]] = {"train": ([], []), "test": ([], [])}
    (archive,) = (DATA / "mnist_png").glob("*.zip")
    with zipfile.ZipFile(archive) as held:
        for name in sorted(held.namelist()):
            if found := re.search(r"(train|test)\w*/(\d)/[^/]+\.png$", name):
                images, labels = parts[found[1]]
                images.append(_pixels(held.read(name)))
                labels.append(int(found[2]))
    return {f"{part}_{key}": np.stack(values) for part, pair in parts.items() for key, values in _named(*pair)}


def _usps() -> dict[str, np.ndarray]:
    with np.load(DATA / "usps" / "usps.npz") as held:
        return dict(held)


def _plate_digits() -> dict[str, np.ndarray]:
    """The digits 0 to 9, each picture once, without those that lie under two labels."""
    found: dict[bytes, set[int]] = {}
    with zipfile.ZipFile(DATA / "plate_chars" / "plate_chars.zip") as held:
        for name in sorted(held.namelist()):
            if match := re.search(r"chars2/(\w)/[^/]+\.jpg$", name):
                found.setdefault(held.read(name), set()).add(int(match[1]) if match[1].isdigit() else -1)
    kept = [(content, labels) for content, labels in found.items() if len(labels) == 1 and labels != {-1}]
    return dict(_named([_pixels(content) for content, _ in kept], [next(iter(labels)) for _, labels in kept]))


def _notmnist() -> dict[str, np.ndarray]:
    folder = DATA / "notmnist_t10k"
    images, labels = (_idx(folder / f"t10k-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return {"images": images, "labels": labels.astype(np.int64), "class_names": np.array(list("ABCDEFGHIJ"))}


def _omniglot() -> dict[str, np.ndarray]:
    """All characters of all alphabets at hand, white on black, as small as MNIST's pictures."""
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


def _named(images: list[np.ndarray], labels: list[int]) -> list[tuple[str, np.ndarray]]:
    return [("images", np.stack(images)), ("labels", np.array(labels, dtype=np.int64))]


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def _idx(path: Path) -> np.ndarray:
    """Read MNIST's file format: a magic number whose last byte is the number of axes, their lengths, the values."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


SETS: dict[str, Callable[[], dict[str, np.ndarray]]] = {
    "mnist": _mnist,
    "usps": _usps,
    "plate_digits": _plate_digits,
    "notmnist": _notmnist,
    "omniglot": _omniglot,
}
