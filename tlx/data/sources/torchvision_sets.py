"""torchvision's data sets as `ImageSet`: with official splits, files for `read_image`, and arrays without a copy."""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlx.base.compat.torchvision import samples_of_fer2013, samples_of_gtsrb, samples_of_pets
from tlx.base.errors import Mistake, TlxError, did_you_mean
from tlx.data.sources.archives import unpacking_safely
from tlx.data.sources.base import Source
from tlx.data.sources.keys import CARVED, Classes, SourceKeys
from tlx.data.sources.torchvision_table import TORCHVISION, TorchvisionSet, missing_files
from tlx.data.splits.samples import ImageSet, Sample, Split

if TYPE_CHECKING:
    from torch import Tensor

_SILENCE_AT_MOST = 10.0  # seconds without an answer from the server, after which a download fails


@dataclass
class TorchvisionKeys(SourceKeys):
    """One of torchvision's data sets."""

    classes: Classes | None = None
    root: str = "data"
    download: bool = True
    test_fraction: float = field(default=0.2, metadata=CARVED)


class TorchvisionSource(Source):
    """The torchvision data set that `name` names."""

    keys = TorchvisionKeys
    lists_files = False
    chooses_classes = True

    def all_class_names(self) -> list[str] | None:
        """Return the class names if they are known without the files."""
        known = self._known
        return list(known.names) if known and known.names else None

    def num_classes(self) -> int | None:
        """Return the number of classes, which is known for every set."""
        if self.node.get("classes") is not None:
            return super().num_classes()
        return self._known.num_classes if self._known else None

    def own_mistakes(self) -> list[Mistake]:
        """Return a mistake if the set does not exist, or if it is not on disk and cannot be downloaded."""
        name, known = str(self.node.get("name")), self._known
        if known is None:
            return [Mistake("dataset.name", "one of torchvision's sets", f"'{name}'", did_you_mean(name, TORCHVISION))]
        missing = missing_files(known, Path(self.node.get("root") or "data").expanduser())
        if not missing or (self.node.get("download") and known.download):
            return []
        hint = "dataset.download=true" if known.download else "torchvision cannot download it: put it there by hand"
        got = f"'{self.node.get('root')}' without {missing[0]}"
        return [Mistake("dataset.root", f"a folder that contains {known.cls}", got, hint)]

    def content(self) -> dict[str, Any]:
        """Return {}: the name identifies the set."""
        return {}

    def read(self) -> ImageSet:
        """Load the set with `torchvision_set`."""
        return torchvision_set(**self.arguments)

    @property
    def _known(self) -> TorchvisionSet | None:
        return TORCHVISION.get(str(self.node.get("name")))


def torchvision_set(
    name: str,
    root: str | os.PathLike[str] = "data",
    download: bool = True,
    test_fraction: float = 0.2,
    *,
    val_fraction: float = 0.2,
    split_seed: int = 0,
) -> ImageSet:
    """Return one of torchvision's data sets, with its official splits if it has them.

    Args:
        name: A key of `tlx.data.sources.torchvision_table.TORCHVISION`.
        root: Folder that contains the set, or to which it is downloaded; `~` is expanded.
        download: Whether to download missing files.
        test_fraction: Fraction of all images for the test split, if there is no official one.
        val_fraction: Fraction for validation, if there is no official split: of train, or of all images if the test
            split is carved too.
        split_seed: Seed of carved splits.

    Raises:
        TlxError: The set is unknown or damaged, or is not on disk and cannot be downloaded.
    """
    from tlx.data.splits.division import carve, carve_val

    known = TORCHVISION.get(name)
    if known is None:
        raise TlxError(
            f"dataset.name: expected one of torchvision's sets, got '{name}'; {did_you_mean(name, TORCHVISION)}"
        )
    root = Path(root).expanduser()
    fetch = bool(missing_files(known, root))
    if fetch and not (download and known.download):
        raise TlxError(_not_on_disk(name, known, root, f"and {_why_no_download(known)}"))
    train, class_names = _load(name, known, root, known.train, fetch)
    if known.test is None:
        return carve(name, class_names, train, val_fraction, test_fraction, split_seed)
    test, _ = _load(name, known, root, known.test, fetch)
    if known.val is None:
        return carve_val(name, class_names, train, test, val_fraction, split_seed)
    val, _ = _load(name, known, root, known.val, fetch)
    return ImageSet(name, class_names, train, val, test, "official train, val and test splits")


def _load(
    name: str, known: TorchvisionSet, root: Path, arguments: Mapping[str, Any], fetch: bool
) -> tuple[Split, list[str]]:
    import torchvision.datasets

    cls = getattr(torchvision.datasets, known.cls)
    options = dict(arguments)
    if known.download:
        options["download"] = fetch
    if known.cls in _BY_PATH:
        options["loader"] = str  # items are then (path, label), and no file is opened
    try:
        with _download_timeout(), unpacking_safely() if fetch else nullcontext():
            dataset = cls(root, **options)
    except Exception as error:  # torchvision raises any error of the network, the archive or the parser
        reason = f"and the download failed: {error}" if fetch else f"and torchvision cannot read it: {error}"
        raise TlxError(_not_on_disk(name, known, root, reason)) from error
    split = _SPLITS.get(known.cls, _from_arrays)(dataset, root, known)
    return split, list(known.names or _class_names(dataset))


def _not_on_disk(name: str, known: TorchvisionSet, root: Path, reason: str) -> str:
    missing = missing_files(known, root)
    problem = f"{root / missing[0]} is missing" if missing else f"it is in {root}, but damaged or incomplete"
    if known.download:
        arguments = "".join(f"{key}={_literal(value)}, " for key, value in known.train.items())
        code = f"from torchvision.datasets import {known.cls} as D; D({_literal(str(root))}, {arguments}download=True)"
        todo = f"on a machine with a network, type: python -c {shlex.quote(code)}"
    else:
        todo = (
            f"put it there by hand: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.{known.cls}"
        )
    return (
        f"dataset '{name}' ({known.cls}): {problem}, {reason}\n{todo}\n"
        "or name the folder that contains it: dataset.root=DIR"
    )


def _literal(value: str | bool) -> str:
    """Return a value as a Python literal, with double quotes, because the shell quotes the command with single ones."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _why_no_download(known: TorchvisionSet) -> str:
    return "dataset.download is false" if known.download else "torchvision cannot download it"


@contextmanager
def _download_timeout() -> Iterator[None]:
    """Make a download fail if the server does not answer, instead of waiting for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_AT_MOST)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _class_names(dataset: Any) -> list[str]:
    names = dataset.classes if hasattr(dataset, "classes") else dataset.categories
    # ImageNet's class names are tuples of synonyms; the first one is not unique (crane, maillot).
    return [", ".join(name) if isinstance(name, tuple) else str(name) for name in names]


# Find the samples of each kind of torchvision data set


def _from_arrays(dataset: Any, root: Path, known: TorchvisionSet) -> Split:
    """Return the samples of a set with an array of images: (N, H, W), (N, H, W, 3) or (N, 3, H, W)."""
    import numpy as np
    import torch

    targets = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    pixels = torch.as_tensor(dataset.data)
    if pixels.ndim == 3:
        pixels = pixels.mT[:, None] if known.transposed else pixels[:, None]
    elif pixels.shape[1] != 3:
        pixels = pixels.permute(0, 3, 1, 2)
    targets = np.asarray(targets)
    if targets.ndim == 2:  # QMNIST: the class, then the origin of the digit
        targets = targets[:, 0]
    return _rows(targets.tolist(), pixels, known.first_target)


def _from_fer2013(dataset: Any, root: Path, known: TorchvisionSet) -> Split:
    import torch

    pixels, targets = zip(*samples_of_fer2013(dataset), strict=True)
    return _rows(targets, torch.stack(pixels)[:, None], 0)


def _from_paths(dataset: Any, root: Path, known: TorchvisionSet) -> Split:
    return _files(root, (dataset[i] for i in range(len(dataset))))


def _from_pets(dataset: Any, root: Path, known: TorchvisionSet) -> Split:
    return _files(root, samples_of_pets(dataset))


def _from_gtsrb(dataset: Any, root: Path, known: TorchvisionSet) -> Split:
    return _files(root, samples_of_gtsrb(dataset))


def _from_caltech101(dataset: Any, root: Path, known: TorchvisionSet) -> Split:
    folder = Path(dataset.root) / "101_ObjectCategories"
    pairs = zip(dataset.index, dataset.y, strict=True)
    return _files(root, ((folder / dataset.categories[y] / f"image_{i:04d}.jpg", y) for i, y in pairs))


def _from_caltech256(dataset: Any, root: Path, known: TorchvisionSet) -> Split:
    folder = Path(dataset.root) / "256_ObjectCategories"
    pairs = zip(dataset.index, dataset.y, strict=True)
    return _files(root, ((folder / dataset.categories[y] / f"{y + 1:03d}_{i:04d}.jpg", y) for i, y in pairs))


_BY_PATH = {
    *("Country211", "DTD", "EuroSAT", "FGVCAircraft", "Flowers102", "Food101", "ImageNet", "Imagenette"),
    *("RenderedSST2", "StanfordCars", "SUN397"),
}
_SPLITS: dict[str, Callable[[Any, Path, TorchvisionSet], Split]] = {
    **dict.fromkeys(_BY_PATH, _from_paths),
    "OxfordIIITPet": _from_pets,
    "GTSRB": _from_gtsrb,
    "Caltech101": _from_caltech101,
    "Caltech256": _from_caltech256,
    "FER2013": _from_fer2013,
}


def _rows(targets: Sequence[int], pixels: Tensor, first_target: int) -> Split:
    return Split([Sample(row, int(t) - first_target, str(row)) for row, t in enumerate(targets)], pixels)


def _files(root: Path, pairs: Any) -> Split:
    """Return samples sorted by path, because some of torchvision's sets are in the order of the file system."""
    named = sorted((Path(path).relative_to(root).as_posix(), int(target)) for path, target in pairs)
    return Split([Sample(root / name, target, name) for name, target in named])
