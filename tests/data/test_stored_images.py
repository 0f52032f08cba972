"""Decoded images in the cache: the same batches as from files, for every kind of label and of file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.mask_trees import examined_here, halves, picture, save
from tlx.backbones.preprocessing import Preprocessing
from tlx.cli import main
from tlx.data import ImageDataModule
from tlx.data.reading import inspection
from tlx.features.image_shelf import ImageShelf
from tlx.features.store import Store

Node = dict[str, Any]


def photographs(root: Path, count: int = 12, size: tuple[int, int] = (160, 120)) -> Path:
    for number in range(count):
        save(root / "ab"[number % 2] / f"{number}.jpg", picture(number, size), quality=95)
    return root


def classes(root: Path) -> Node:
    return {"_target_": "tlx.data.folder", "root": str(photographs(root)), "test_fraction": 0.2}


def deep_grey(root: Path) -> Node:
    for number in range(12):
        values = np.random.default_rng(number).integers(0, 4096, (20, 24)).astype(np.uint16)
        save(root / "ab"[number % 2] / f"{number}.png", Image.fromarray(values))
    return {
        "_target_": "tlx.data.folder",
        "root": str(root),
        "test_fraction": 0.2,
        "window": [2048, 4096],
        "channels": 1,
    }


def dicom(root: Path) -> Node:
    from tests.data.dicom_files import write

    for number in range(12):
        path = root / "ab"[number % 2] / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, np.random.default_rng(number).integers(0, 4096, (20, 24)).astype(np.uint16))
    return {"_target_": "tlx.data.folder", "root": str(root), "test_fraction": 0.2}


def masks(root: Path) -> Node:
    for number in range(10):
        save(root / "images" / f"{number}.jpg", picture(number, (48, 40)))
        mask = Image.fromarray(halves(0, 255)).resize((48, 40), Image.Resampling.NEAREST)
        save(root / "masks" / f"{number}.png", mask)
    return {"_target_": "tlx.data.masks", "root": str(root), "repeats": 2}


def boxes(root: Path) -> Node:
    for number in range(10):
        save(root / f"{number}.jpg", picture(number, (160, 120)))
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 160, "height": 120} for i in range(10)]
    marked = [{"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 60, 50 + i]} for i in range(10)]
    held = {"images": images, "annotations": marked, "categories": [{"id": 1, "name": "square"}]}
    (root / "annotations.json").write_text(json.dumps(held))
    return {"_target_": "tlx.data.coco", "root": str(root), "labels": "boxes", "repeats": 1, "augment": "mosaic"}


def crops_of_objects(root: Path) -> Node:
    return {**boxes(root), "augment": "light", "labels": "classes", "crops": True}


def batches(node: Node, shelf: ImageShelf | None) -> tuple[ImageDataModule, list[dict[str, Any]]]:
    """Return two epochs of training and validation."""
    common = {
        **{"name": "set", "channels": 3, "image_size": None, "batch_size": 4, "num_workers": 0, "augment": "light"},
        **{"horizontal_flip": True, "val_fraction": 0.3, "split_seed": 0, "check": True, "on_bad": "stop"},
        "decode": "reduced",
    }
    data = ImageDataModule({**common, **node}, Preprocessing(16, (0.5,) * 3, (0.5,) * 3), seed=0, shelf=shelf)
    found = []
    loaders = [data.train_dataloader(), data.val_dataloader()]
    for epoch in range(2):
        data.set_epoch(epoch)
        found += [batch for loader in loaders for batch in loader]
    return data, found


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("written", [classes, deep_grey, dicom, masks, boxes, crops_of_objects])
def test_stored_images_are_the_images(tmp_path, monkeypatch, written: Callable[[Path], Node]):
    """Guards against other pixels, boxes or masks in a run that finds the images of an earlier one, for any label."""
    if written is dicom:
        pytest.importorskip("pydicom")
    monkeypatch.setattr(inspection, "examine_all", examined_here)
    root = tmp_path / "set"
    root.mkdir()
    node = written(root)
    with monkeypatch.context() as inside:
        inside.setattr("tlx.data.batches.kept.memory_available", lambda: 0)
        _, expected = batches(node, None)
    shelf = ImageShelf(Store(tmp_path / "cache"), "run", "set")
    first, seen = batches(node, shelf)
    assert same(expected, seen)
    assert all(kept.count for kept in first._kept.values())
    monkeypatch.setattr("tlx.data.batches.dataset.read_pixels", None)  # nothing is decoded any more
    again, seen = batches(node, ImageShelf(Store(tmp_path / "cache"), "other", "set"))
    assert same(expected, seen)
    assert sum(kept.added for kept in again._kept.values()) == 0


def test_images_and_outputs_share_the_room_of_the_cache(tmp_path, capsys):
    """Guards against images that fill the cache or the disk, stay for ever, or that `tlx cache` does not know."""
    store = Store(tmp_path, max_gb=100e-6)  # 100 kB
    rows = store.entry("0" * 32)
    (rows.folder / "x.rows").write_bytes(bytes(70_000))
    shelf = ImageShelf(store, "run", "pets")
    folder = shelf.folder("1" * 32, {"images": "decoded, RGB"})
    assert shelf.room(folder, 0, 20_000) == 20_000
    assert rows.exists
    assert shelf.room(folder, 0, 80_000) == 50_000, "outputs of layer groups find room beside them"
    assert not rows.exists
    assert shelf.room(folder, 50_000, 1) == 0
    (folder / "images.pixels").write_bytes(bytes(40_000))
    main(["cache", "--dir", str(tmp_path)])
    assert "images, decoded, RGB  pets: run" in capsys.readouterr().out
    main(["cache", "clear", "--dir", str(tmp_path)])
    assert "1 entry removed" in capsys.readouterr().out
    assert not folder.exists()


def test_a_disk_without_room_keeps_nothing(tmp_path, monkeypatch):
    """Guards against a cache that takes the last gigabyte, or counts places without images as taken twice."""
    store = Store(tmp_path, max_gb=100)
    shelf = ImageShelf(store, "run", "pets")
    folder = shelf.folder("1" * 32, {"images": "decoded, RGB"})
    free = 2_500_000_000
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert shelf.room(folder, 0, 2_000_000_000) == 1_500_000_000
    left = shelf.room(folder, 1_000_000_000, 2_000_000_000)  # the gigabyte of places is still to be written
    assert left == pytest.approx(500_000_000, abs=1000)


READER = """
import sys
from tests.data.test_stored_images import batches, classes, Store, ImageShelf, Path
import torch
root, cache, result = map(Path, sys.argv[1:])
node = {"_target_": "tlx.data.folder", "root": str(root), "test_fraction": 0.2, "num_workers": 2}
data, found = batches(node, ImageShelf(Store(cache), str(result), "set"))
torch.save([batch["image"] for batch in found], result)
"""


@pytest.mark.nightly
def test_processes_at_once_and_killed_ones(tmp_path):
    """Guards against pixels of another image, or none, where jobs share a file, and are killed while they write."""
    root = photographs(tmp_path / "set", count=400)
    _, expected = batches({"_target_": "tlx.data.folder", "root": str(root), "test_fraction": 0.2}, None)

    def start(name: str) -> subprocess.Popen[bytes]:
        arguments = [str(root), str(tmp_path / "cache"), str(tmp_path / name)]
        return subprocess.Popen([sys.executable, "-c", READER, *arguments], stderr=subprocess.PIPE)

    for seconds in (6.0, 7.0, 8.0):
        killed = start("killed")
        try:
            killed.wait(seconds)
        except subprocess.TimeoutExpired:
            killed.kill()
            killed.wait()
    both = [start("one"), start("two")]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
    for name in ("one", "two"):
        images = torch.load(tmp_path / name, weights_only=True)
        assert all(torch.equal(a["image"], b) for a, b in zip(expected, images, strict=True))
    shutil.rmtree(tmp_path / "cache")
