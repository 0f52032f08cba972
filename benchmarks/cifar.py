"""The images of the speed benchmarks: a part of CIFAR-10 as JPEG files of 32 px, from TLX_TEST_DATA, see the tests."""

from __future__ import annotations

import csv
import os
import re
import zipfile
from collections import defaultdict
from pathlib import Path

from report import ROOT

DATA = Path(os.environ.get("TLX_TEST_DATA", ROOT.parent / "shared" / "data"))
_MEMBER = re.compile(r"(?:.*/)?(train|test)/(\w+)/[^/]+\.jpg$")


def write_images(folder: Path, per_class: int) -> None:
    """Write `per_class` images of each class to FOLDER/train and FOLDER/val, one to FOLDER/test, and table.csv.

    Training images come from CIFAR's training images, the others from its test images.
    """
    with _archive() as archive:
        members = _members(archive)
        rows = []
        for (part, label), names in sorted(members.items()):
            parts = {"train": names[:per_class]} if part == "train" else {"val": names[:per_class], "test": names[-1:]}
            for split, taken in parts.items():
                rows += [(_extract(archive, name, folder / split / label), label, split) for name in taken]
    write_table(folder / "table.csv", rows)


def write_all(folder: Path) -> list[tuple[Path, str]]:
    """Write all 20,000 images; return the file and the class of each, taking one image of each class in turn."""
    with _archive() as archive:
        members = _members(archive)
        turns = zip(*(members[key] for key in sorted(members)), strict=True)
        labels = [(part, label) for part, label in sorted(members)]
        return [
            (_extract(archive, name, folder / part / label), label)
            for turn in turns
            for name, (part, label) in zip(turn, labels, strict=True)
        ]


def write_table(path: Path, rows: list[tuple[Path, str, str]]) -> None:
    """Write a table for dataset=table: one row per image, with paths relative to the table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows([image.relative_to(path.parent), label, split] for image, label, split in rows)


def write_weights(path: Path) -> None:
    """Write EfficientNet-Lite0's ImageNet weights under timm's names; both networks have the same order of tensors."""
    import timm
    import torch

    from tlx.backbones.lite0 import weights_file

    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    state = torch.load(weights_file(), map_location="cpu", weights_only=True)
    torch.save(dict(zip(names, state.values(), strict=True)), path)


def _archive() -> zipfile.ZipFile:
    path = DATA / "cifar10_jpg" / "cifar10_jpg_subset.zip"
    if not path.is_file():
        raise SystemExit(f"expected {path}, got no such file; set TLX_TEST_DATA")
    return zipfile.ZipFile(path)


def _members(archive: zipfile.ZipFile) -> dict[tuple[str, str], list[str]]:
    """Return (train or test, class) -> its files, sorted by name."""
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(archive.namelist()):
        if match := _MEMBER.match(name):
            members[match[1], match[2]].append(name)
    return dict(members)


def _extract(archive: zipfile.ZipFile, member: str, folder: Path) -> Path:
    path = folder / Path(member).name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive.read(member))
    return path
