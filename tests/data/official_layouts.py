"""Write torchvision's sets to disk in their official layout, tiny: what each looks like after a download.

Four images of each class in each split, of one gray level that tells class and split (`level`), so that a test can see
whether image, label and split belong together. Files that a split does not need are left out.
"""

from __future__ import annotations

import bz2
import csv
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io
import torch
from PIL import Image

CLASSES = 3  # of each set, except where a set cannot have fewer
EACH = 4
Build = Callable[[Path], None]
BUILDERS: dict[str, Build] = {}


def level(target: int, part: str) -> int:
    """Gray level of the images of a class in a split: train, val or test."""
    return 20 + 60 * target + 20 * ("train", "val", "test").index(part)


def builds(*names: str) -> Callable[[Callable[[Path, str], None]], Callable[[Path, str], None]]:
    def register(build: Callable[[Path, str], None]) -> Callable[[Path, str], None]:
        for name in names:
            BUILDERS[name] = lambda root, name=name: build(root, name)
        return build

    return register


def targets(classes: int = CLASSES) -> list[int]:
    return [c for _ in range(EACH) for c in range(classes)]


def flat(side: int, part: str) -> np.ndarray:
    """uint8 (N, side, side); the first pixel counts the images, so that no two are alike."""
    pixels = np.array([np.full((side, side), level(c, part)) for c in targets()], dtype=np.uint8)
    pixels[:, 0, 0] = np.arange(len(pixels))
    return pixels


def photo(path: Path, target: int, count: int, part: str = "train") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (40, 30), (level(target, part),) * 3)
    image.paste((10 * count,) * 3, (0, 0, 8, 8))  # no two alike
    image.save(path)


def idx(path: Path, array: np.ndarray, kind: int = 8) -> None:
    """MNIST's file format: big-endian, `kind` 8 for uint8 and 12 for int32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    path.write_bytes(header + array.astype({8: ">u1", 12: ">i4"}[kind]).tobytes())


@builds("mnist", "fashion_mnist", "kmnist")
def _mnist(root: Path, name: str) -> None:
    raw = root / {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}[name] / "raw"
    for part, prefix in (("train", "train"), ("test", "t10k")):
        idx(raw / f"{prefix}-images-idx3-ubyte", flat(28, part))
        idx(raw / f"{prefix}-labels-idx1-ubyte", np.array(targets()))


@builds("emnist_letters", "emnist_balanced", "emnist_digits")
def _emnist(root: Path, name: str) -> None:
    split = name.removeprefix("emnist_")
    for part in ("train", "test"):
        stem = f"EMNIST/raw/emnist-{split}-{part}"
        idx(root / f"{stem}-images-idx3-ubyte", flat(28, part))
        idx(root / f"{stem}-labels-idx1-ubyte", np.array(targets()) + (split == "letters"))


@builds("qmnist")
def _qmnist(root: Path, _: str) -> None:
    for part in ("train", "test"):
        idx(root / f"QMNIST/raw/qmnist-{part}-images-idx3-ubyte", flat(28, part))
        more = np.array([[t, 99, 99, 99, 99, 99, 99, 99] for t in targets()])
        idx(root / f"QMNIST/raw/qmnist-{part}-labels-idx2-int", more, kind=12)


@builds("usps")
def _usps(root: Path, _: str) -> None:
    for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        rows = [
            " ".join([str(t + 1), *(f"{i + 1}:{v / 255 * 2 - 1 + 1e-4:.6f}" for i, v in enumerate(pixels.flatten()))])
            for t, pixels in zip(targets(), flat(16, part), strict=True)
        ]
        (root / name).write_bytes(bz2.compress("\n".join(rows).encode()))


@builds("semeion")
def _semeion(root: Path, _: str) -> None:
    """Pixels are 0 or 1 in this set: class c has c + 1 bright rows."""
    lines = []
    for n, t in enumerate(targets(10)):
        pixels = np.zeros((16, 16))
        pixels[: t + 1] = 1
        pixels[15, n % 16] = 1
        lines.append([*pixels.flatten(), *np.eye(10)[t]])
    np.savetxt(root / "semeion.data", np.array(lines), fmt="%g")


@builds("svhn")
def _svhn(root: Path, _: str) -> None:
    labels = np.array([10 if t == 0 else t for t in targets()])[:, None]  # 10 stands for the digit 0
    for part in ("train", "test"):
        pixels = np.repeat(flat(32, part)[..., None], 3, axis=3).transpose(1, 2, 3, 0)
        scipy.io.savemat(root / f"{part}_32x32.mat", {"X": pixels, "y": labels})


@builds("cifar10", "cifar100")
def _cifar(root: Path, name: str) -> None:
    folder = root / {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[name]
    folder.mkdir()
    batches = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"] if name == "cifar10" else ["train", "test"]
    for b, batch in enumerate(batches):
        pixels = flat(32, "test" if "test" in batch else "train")
        pixels[:, 0, 1] = b
        data = np.repeat(pixels[:, None], 3, axis=1).reshape(-1, 3072)
        key = "labels" if name == "cifar10" else "fine_labels"
        (folder / batch).write_bytes(pickle.dumps({"data": data, key: targets()}))
    names = [f"thing {i}" for i in range(CLASSES)]
    meta, key = ("batches.meta", "label_names") if name == "cifar10" else ("meta", "fine_label_names")
    (folder / meta).write_bytes(pickle.dumps({key: names}))


@builds("stl10")
def _stl10(root: Path, _: str) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    for part in ("train", "test"):
        np.repeat(flat(96, part)[:, None], 3, axis=1).tofile(folder / f"{part}_X.bin")
        (np.array(targets(), dtype=np.uint8) + 1).tofile(folder / f"{part}_y.bin")
    (folder / "unlabeled_X.bin").write_bytes(b"")


@builds("fer2013")
def _fer2013(root: Path, _: str) -> None:
    (root / "fer2013").mkdir()
    with (root / "fer2013" / "fer2013.csv").open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["emotion", "pixels", "Usage"])
        for part, usage in (("train", "Training"), ("test", "PrivateTest")):
            for t, pixels in zip(targets(), flat(48, part), strict=True):
                write.writerow([t, " ".join(map(str, pixels.flatten())), usage])


@builds("caltech101")
def _caltech101(root: Path, _: str) -> None:
    folder = root / "caltech101" / "101_ObjectCategories"
    photo(folder / "BACKGROUND_Google" / "image_0001.jpg", 0, 0)
    for n, t in enumerate(targets()):
        photo(folder / f"thing {t}" / f"image_{n // CLASSES + 1:04d}.jpg", t, n)


@builds("caltech256")
def _caltech256(root: Path, _: str) -> None:
    for n, t in enumerate(targets()):
        place = f"{t + 1:03d}.thing {t}/{t + 1:03d}_{n // CLASSES + 1:04d}.jpg"
        photo(root / "caltech256" / "256_ObjectCategories" / place, t, n)


@builds("country211", "rendered_sst2")
def _folders_with_val(root: Path, name: str) -> None:
    folder = root / name.replace("_", "-")
    names = ("negative", "positive") if name == "rendered_sst2" else ("AD", "AE", "ZW")
    for part, place in (("train", "train"), ("val", "valid"), ("test", "test")):
        for n, t in enumerate(targets(len(names))):
            photo(folder / place / names[t] / f"{n}.png", t, n, part)


@builds("dtd")
def _dtd(root: Path, _: str) -> None:
    folder = root / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for part in ("train", "val", "test"):
        lines = []
        for n, t in enumerate(targets()):
            photo(folder / "images" / f"thing {t}" / f"{part}_{n}.jpg", t, n, part)
            lines.append(f"thing {t}/{part}_{n}.jpg")
        (folder / "labels" / f"{part}1.txt").write_text("\n".join(lines))


@builds("eurosat")
def _eurosat(root: Path, _: str) -> None:
    for n, t in enumerate(targets()):
        photo(root / "eurosat" / "2750" / ("AnnualCrop", "Forest", "River")[t] / f"{n}.jpg", t, n)


@builds("fgvc_aircraft")
def _aircraft(root: Path, _: str) -> None:
    data = root / "fgvc-aircraft-2013b" / "data"
    data.mkdir(parents=True)
    (data / "variants.txt").write_text("\n".join(f"thing {t}" for t in range(CLASSES)))
    for p, part in enumerate(("train", "val", "test")):
        lines = []
        for n, t in enumerate(targets()):
            photo(data / "images" / f"{p}{n:06d}.jpg", t, n, part)
            lines.append(f"{p}{n:06d} thing {t}")
        (data / f"images_variant_{part}.txt").write_text("\n".join(lines))


@builds("flowers102")
def _flowers102(root: Path, _: str) -> None:
    folder = root / "flowers-102"
    labels = targets() * 3
    for n, t in enumerate(labels):
        part = ("train", "val", "test")[n // len(targets())]
        photo(folder / "jpg" / f"image_{n + 1:05d}.jpg", t, n % len(targets()), part)
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": np.array(labels) + 1})
    size = len(targets())
    ids = {key: np.arange(size) + 1 + i * size for i, key in enumerate(("trnid", "valid", "tstid"))}
    scipy.io.savemat(folder / "setid.mat", ids)


@builds("food101")
def _food101(root: Path, _: str) -> None:
    meta = root / "food-101" / "meta"
    meta.mkdir(parents=True)
    for part in ("train", "test"):
        listed: dict[str, list[str]] = {}
        for n, t in enumerate(targets()):
            photo(root / "food-101" / "images" / f"thing {t}" / f"{part}{n}.jpg", t, n, part)
            listed.setdefault(f"thing {t}", []).append(f"thing {t}/{part}{n}")
        (meta / f"{part}.json").write_text(json.dumps(listed))


@builds("gtsrb")
def _gtsrb(root: Path, _: str) -> None:
    for n, t in enumerate(targets()):
        photo(root / "gtsrb" / "GTSRB" / "Training" / f"{t:05d}" / f"{n}.ppm", t, n)
        photo(root / "gtsrb" / "GTSRB" / "Final_Test" / "Images" / f"{n:05d}.ppm", t, n, "test")
    lines = ["Filename;Width;Height;ClassId", *(f"{n:05d}.ppm;40;30;{t}" for n, t in enumerate(targets()))]
    (root / "gtsrb" / "GT-final_test.csv").write_text("\n".join(lines))


@builds("imagenet", "imagenette")
def _imagenet(root: Path, name: str) -> None:
    ids = ("n01440764", "n02102040", "n02979186")
    folder = root if name == "imagenet" else root / "imagenette2"
    for part, place in (("train", "train"), ("test", "val")):  # the labels of the official test split are secret
        for n, t in enumerate(targets()):
            photo(folder / place / ids[t] / f"{place}_{n}.JPEG", t, n, part)
    if name == "imagenet":
        words = {wnid: (f"thing {t}", "synonym") for t, wnid in enumerate(ids)}
        torch.save((words, [ids[0]]), root / "meta.bin")


@builds("oxford_iiit_pet")
def _pets(root: Path, _: str) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, listed in (("train", "trainval"), ("test", "test")):
        lines = []
        for n, t in enumerate(targets()):
            photo(folder / "images" / f"thing_{t}_{part}{n}.jpg", t, n, part)
            lines.append(f"thing_{t}_{part}{n} {t + 1} 1 1")
        (folder / "annotations" / f"{listed}.txt").write_text("\n".join(lines))


@builds("stanford_cars")
def _cars(root: Path, _: str) -> None:
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    for part, place in (("train", "devkit/cars_train_annos"), ("test", "cars_test_annos_withlabels")):
        rows = []
        for n, t in enumerate(targets()):
            photo(folder / f"cars_{part}" / f"{n:05d}.jpg", t, n, part)
            rows.append((f"{n:05d}.jpg", t + 1))
        kind = np.dtype([("fname", object), ("class", object)])
        scipy.io.savemat(folder / f"{place}.mat", {"annotations": np.array(rows, dtype=kind)})
    names = np.array([f"thing {t}" for t in range(CLASSES)], dtype=object)
    scipy.io.savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})


@builds("sun397")
def _sun397(root: Path, _: str) -> None:
    (root / "SUN397").mkdir()
    (root / "SUN397" / "ClassName.txt").write_text("\n".join(f"/t/thing {t}" for t in range(CLASSES)))
    for n, t in enumerate(targets()):
        photo(root / "SUN397" / "t" / f"thing {t}" / f"sun_{n}.jpg", t, n)
