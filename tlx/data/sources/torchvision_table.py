"""torchvision's classification sets: their names, splits and files. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TorchvisionSet:
    """One of torchvision's sets.

    Args:
        cls: Name of its class in torchvision.datasets.
        title: Content of the pictures.
        num_classes: Number of classes.
        channels: Channels of its images.
        files: Files or folders below `root` that exist once it is downloaded.
        train: Arguments of `cls` for the official training split, or for the whole set if `test` is None.
        test: Arguments for the official test split, with labels; None: the test split is carved.
        val: Arguments for the official validation split; None: val is carved.
        names: Class names if they are known without the files; None: the files contain them.
        first_target: Label of the first class in the files.
        transposed: Whether rows and columns of the images are exchanged in the files.
        horizontal_flip: Whether a mirrored image is still an example of its class.
        download: Whether torchvision can download it.
    """

    cls: str
    title: str
    num_classes: int
    channels: int
    files: tuple[str, ...]
    train: Mapping[str, Any]
    test: Mapping[str, Any] | None
    val: Mapping[str, Any] | None = None
    names: tuple[str, ...] | None = None
    first_target: int = 0
    transposed: bool = False
    horizontal_flip: bool = True
    download: bool = True


_DIGITS = tuple("0123456789")  # the same names in every set, so that heads can be matched by name
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_CAPITALS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)
_IMAGENETTE = (
    *("tench", "English springer", "cassette player", "chain saw", "church"),
    *("French horn", "garbage truck", "gas pump", "golf ball", "parachute"),
)

# Arguments by which torchvision selects splits.
_FLAG: dict[str, Any] = {"train": {"train": True}, "test": {"train": False}}
_NAMED: dict[str, Any] = {"train": {"split": "train"}, "test": {"split": "test"}}
_WITH_VAL: dict[str, Any] = {**_NAMED, "val": {"split": "val"}}
_VAL_AS_TEST: dict[str, Any] = {"train": {"split": "train"}, "test": {"split": "val"}}  # no test labels published
_WHOLE: dict[str, Any] = {"train": {}, "test": None}


def _idx(cls: str, title: str, names: tuple[str, ...]) -> TorchvisionSet:
    """Return a set in MNIST's file format."""
    kinds = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    files = tuple(f"{cls}/raw/{kind}-ubyte" for kind in kinds)
    return TorchvisionSet(
        cls, f"{title}, 28 px", len(names), 1, files, names=names, horizontal_flip=cls == "FashionMNIST", **_FLAG
    )


def _emnist(split: str, title: str, names: tuple[str, ...], first_target: int = 0) -> TorchvisionSet:
    parts = [f"{part}-{kind}" for part in ("train", "test") for kind in ("images-idx3", "labels-idx1")]
    return replace(
        _idx("EMNIST", title, names),
        files=tuple(f"EMNIST/raw/emnist-{split}-{part}-ubyte" for part in parts),
        train={"split": split, "train": True},
        test={"split": split, "train": False},
        first_target=first_target,
        transposed=True,
    )


def _photos(
    cls: str, title: str, num_classes: int, files: tuple[str, ...], splits: Mapping[str, Any], **more: Any
) -> TorchvisionSet:
    return TorchvisionSet(cls, title, num_classes, 3, files, **{**splits, **more})


_QMNIST = [f"{part}-{kind}" for part in ("train", "test") for kind in ("images-idx3-ubyte", "labels-idx2-int")]
_CIFAR_BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
_BALANCED = (*_DIGITS, *_CAPITALS, *"abdefghnqrt")  # letters that look like their capitals are merged with them

TORCHVISION: dict[str, TorchvisionSet] = {
    "mnist": _idx("MNIST", "handwritten digits", _DIGITS),
    "fashion_mnist": _idx("FashionMNIST", "clothes", _CLOTHES),
    "kmnist": _idx("KMNIST", "old Japanese characters", _KUZUSHIJI),
    "qmnist": replace(
        _idx("QMNIST", "handwritten digits, 60,000 for testing", _DIGITS),
        files=tuple(f"QMNIST/raw/qmnist-{part}" for part in _QMNIST),
    ),
    "emnist_letters": _emnist("letters", "handwritten letters", _LETTERS, first_target=1),
    "emnist_balanced": _emnist("balanced", "handwritten digits and letters", _BALANCED),
    "emnist_digits": _emnist("digits", "handwritten digits, 280,000 of them", _DIGITS),
    "usps": TorchvisionSet(
        "USPS",
        "digits from envelopes, 16 px",
        10,
        1,
        ("usps.bz2", "usps.t.bz2"),
        names=_DIGITS,
        horizontal_flip=False,
        **_FLAG,
    ),
    "semeion": TorchvisionSet(
        "SEMEION", "handwritten digits, 16 px", 10, 1, ("semeion.data",), names=_DIGITS, horizontal_flip=False, **_WHOLE
    ),
    "svhn": TorchvisionSet(
        "SVHN",
        "house numbers, 32 px",
        10,
        3,
        ("train_32x32.mat", "test_32x32.mat"),
        names=_DIGITS,
        horizontal_flip=False,
        **_NAMED,
    ),
    "cifar10": TorchvisionSet(
        *("CIFAR10", "animals and vehicles, 32 px", 10, 3),
        files=tuple(f"cifar-10-batches-py/{batch}" for batch in _CIFAR_BATCHES),
        names=_CIFAR10,
        **_FLAG,
    ),
    "cifar100": TorchvisionSet(
        "CIFAR100",
        "animals, plants, things, 32 px",
        100,
        3,
        ("cifar-100-python/train", "cifar-100-python/test"),
        **_FLAG,
    ),
    "stl10": TorchvisionSet(
        *("STL10", "animals and vehicles, 96 px", 10, 3),
        files=tuple(f"stl10_binary/{name}.bin" for name in ("train_X", "train_y", "test_X", "test_y")),
        names=_STL10,
        **_NAMED,
    ),
    "fer2013": TorchvisionSet(
        *("FER2013", "facial expressions, 48 px", 7, 1, ("fer2013/fer2013.csv",)),
        names=_EMOTIONS,
        download=False,
        **_NAMED,
    ),
    "caltech101": _photos("Caltech101", "objects", 101, ("caltech101/101_ObjectCategories",), _WHOLE),
    "caltech256": _photos("Caltech256", "objects, and clutter", 257, ("caltech256/256_ObjectCategories",), _WHOLE),
    "country211": _photos(
        "Country211", "photographs by country", 211, ("country211",), {**_NAMED, "val": {"split": "valid"}}
    ),
    "dtd": _photos("DTD", "textures", 47, ("dtd/dtd/images", "dtd/dtd/labels"), _WITH_VAL),
    "eurosat": _photos("EuroSAT", "land use, by satellite, 64 px", 10, ("eurosat/2750",), _WHOLE, names=_EUROSAT),
    "fgvc_aircraft": _photos("FGVCAircraft", "aircraft", 100, ("fgvc-aircraft-2013b/data/images",), _WITH_VAL),
    "flowers102": _photos(
        *("Flowers102", "flowers, 10 a kind for training", 102),
        tuple(f"flowers-102/{name}" for name in ("jpg", "imagelabels.mat", "setid.mat")),
        _WITH_VAL,
    ),
    "food101": _photos("Food101", "dishes", 101, ("food-101/images", "food-101/meta"), _NAMED),
    "gtsrb": _photos(
        *("GTSRB", "traffic signs", 43),
        tuple(f"gtsrb/{name}" for name in ("GTSRB/Training", "GTSRB/Final_Test/Images", "GT-final_test.csv")),
        _NAMED,
        names=tuple(str(sign) for sign in range(43)),
        horizontal_flip=False,
    ),
    "imagenet": _photos(
        "ImageNet", "1,000 kinds of things", 1000, ("train", "val", "meta.bin"), _VAL_AS_TEST, download=False
    ),
    "imagenette": _photos(
        "Imagenette", "ten easy classes of ImageNet", 10, ("imagenette2",), _VAL_AS_TEST, names=_IMAGENETTE
    ),
    "oxford_iiit_pet": _photos(
        *("OxfordIIITPet", "breeds of cats and dogs", 37, ("oxford-iiit-pet/images", "oxford-iiit-pet/annotations")),
        {**_NAMED, "train": {"split": "trainval"}},
    ),
    "rendered_sst2": _photos(
        *("RenderedSST2", "sentences drawn as pictures, by mood", 2, ("rendered-sst2",), _WITH_VAL),
        names=("negative", "positive"),
        horizontal_flip=False,
    ),
    "stanford_cars": _photos(
        *("StanfordCars", "cars", 196),
        tuple(f"stanford_cars/{n}" for n in ("devkit", "cars_train", "cars_test", "cars_test_annos_withlabels.mat")),
        _NAMED,
        download=False,
    ),
    "sun397": _photos("SUN397", "scenes", 397, ("SUN397",), _WHOLE),
}


def missing_files(known: TorchvisionSet, root: Path) -> list[str]:
    """Return the files of a torchvision set that are missing below `root`."""
    return [name for name in known.files if not (root / name).exists()]
