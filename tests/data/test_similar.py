"""Pictures that are nearly the same: which are named, and on which side of a split they lie."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tlx.data.checked import CheckedSet, load_checked
from tlx.data.reading import facts
from tlx.data.reading.inspection import decoding, file_facts
from tlx.data.reading.thumbnail import SIDE
from tlx.data.splits import similar
from tlx.data.splits.similar import similar_pairs

Node = Callable[..., dict[str, Any]]


def picture(seed: int, size: tuple[int, int] = (160, 108)) -> Image.Image:
    """Smooth colours with a little noise, as a photograph has."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 10, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse) + random.normal(0, 3, (size[1], size[0], 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve different pictures of each of two classes."""
    for seed in range(24):
        path = tmp_path / "set" / "ab"[seed % 2] / f"{seed}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
    return tmp_path / "set"


def sides(checked: CheckedSet) -> Mapping[str, str]:
    """File name -> its split."""
    return {sample.name: part for part, split in checked.images.splits.items() for sample in split.samples}


def pairs(paths: list[Path]) -> list[tuple[int, int]]:
    known = [facts.examine(str(path)) for path in paths]
    found = similar_pairs([bytes.fromhex(fact.key or "") for fact in known], [fact.thumbnail for fact in known])
    return [(one, other) for one, other, _ in found]


def again(path: Path, to: Path) -> Path:
    """Save a picture once more, without 2 pixels of two edges, as a JPEG of quality 70."""
    with Image.open(path) as image:
        image.crop((2, 2, *image.size)).save(to, quality=70)
    return to


def test_the_same_picture_again_is_named(tmp_path, node):
    """Guards against a test figure that rests on pictures that were trained on, cropped, saved again or smaller."""
    for seed, part in enumerate(("train", "train", "train", "train", "val", "val", "test", "test")):
        for label in "ab":
            folder = tmp_path / part / label
            folder.mkdir(parents=True, exist_ok=True)
            picture(100 * seed + ord(label)).save(folder / f"{seed}.jpg")
    again(tmp_path / "train/a/0.jpg", tmp_path / "test/a/again.JPG")
    picture(ord("b")).resize((80, 54)).convert("L").save(tmp_path / "test/b/small.png")  # too small to be looked at
    picture(ord("b")).resize((120, 81)).convert("L").save(tmp_path / "train/b/gray.png")
    found = load_checked(node("folder", root=str(tmp_path))).findings(None)
    assert [line for line in found if "near duplicate" in line] == [
        "1 test image is a near duplicate of images in train: test/a/again.JPG is like train/a/0.jpg; "
        "tlx does not change official splits: remove near duplicates from train",
        "1 image is a near duplicate of another in the same split: train/b/gray.png is like train/b/0.jpg",
    ]


def test_together_keeps_them_on_one_side(pictures, node):
    """Guards against carving that puts a picture into train and its crop into test, or that moves all others."""
    plain = {seed: load_checked(node("folder", root=str(pictures), split_seed=seed)) for seed in range(2)}
    for seed, before in plain.items():  # nothing is alike: nothing moves
        together = load_checked(node("folder", root=str(pictures), split_seed=seed, similar="together"))
        assert sides(together) == sides(before)
    again(pictures / "a" / "0.jpg", pictures / "a" / "again.jpg")
    divided = 0
    for seed in range(5):
        before = load_checked(node("folder", root=str(pictures), split_seed=seed))
        told = [line for line in before.findings(None) if "dataset.similar=together" in line]
        apart = sides(before)["a/0.jpg"] != sides(before)["a/again.jpg"]
        assert bool(told) == apart
        together = load_checked(node("folder", root=str(pictures), split_seed=seed, similar="together"))
        assert sides(together)["a/0.jpg"] == sides(together)["a/again.jpg"]
        assert not [line for line in together.findings(None) if "of images in" in line]
        assert {n: s for n, s in sides(together).items() if n[0] == "b"} == {
            n: s for n, s in sides(before).items() if n[0] == "b"
        }
        divided += apart
    assert divided


def test_what_is_no_picture_is_like_nothing(tmp_path):
    """Guards against digits, masks, blank and small pictures, many of which look alike, being named by the hundred."""
    paths = []
    for i in range(6):
        digit = Image.new("L", (96, 96))
        digit.paste(255, (40, 10 + i % 2, 56, 86))
        blank = picture(i).point(lambda value: 128 + value // 100)
        bits = picture(1).convert("1")
        bits.putpixel((i, 0), 1 - bits.getpixel((i, 0)) // 255)
        small = picture(2, (90 + i, 63))
        deep = Image.fromarray(np.asarray(picture(3).convert("L")).astype(np.uint16) * 257 + i)
        for name, image in {"digit": digit, "blank": blank, "bits": bits, "small": small, "deep": deep}.items():
            paths.append(tmp_path / f"{name}{i}.png")
            image.save(paths[-1])
    assert all(facts.examine(str(path)).reason is None for path in paths)
    assert pairs(paths) == []


def test_turned_pictures_are_compared_upright(tmp_path):
    """Guards against a picture that a camera marked as turned being taken for another one than its upright copy."""
    upright = picture(5)
    upright.save(tmp_path / "upright.png")
    paths = [tmp_path / "upright.png"]
    lying = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 5: Image.Transpose.TRANSPOSE}
    for turn, how in lying.items():
        exif = Image.Exif()
        exif[0x0112] = turn
        paths.append(tmp_path / f"{turn}.jpg")
        upright.transpose(how).save(paths[-1], exif=exif)
    picture(5).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(tmp_path / "other.png")
    paths.append(tmp_path / "other.png")
    assert pairs(paths) == list(combinations(range(4), 2))


def test_all_pairs_are_found(monkeypatch):
    """Guards against pairs that are missed because not all pictures are compared with all."""
    random = np.random.default_rng(0)
    base = [np.asarray(picture(seed).convert("L").resize((SIDE, SIDE))).astype(float) for seed in range(40)]
    grey = [values + random.normal(0, noise, values.shape) for values in base for noise in (0, 2, 6, 12, 20)]
    written = [f"100x70 {values.clip(0, 255).astype(np.uint8).tobytes().hex()}" for values in grey]
    keys = [bytes([i]) for i in range(len(written))]
    found = similar_pairs(keys, written)
    assert 40 < len(found) < 400
    monkeypatch.setattr(similar, "_APART", 100.0)  # all with all
    assert similar_pairs(keys, written) == found
    assert similar_pairs([b"a"] * len(keys), written) == []  # copies of a file are no matter here


def test_facts_without_thumbnails_are_found_out_once_more(pictures, cache, monkeypatch):
    """Guards against a cache of an older tlx, by which no picture would ever be like another."""
    files, opened = sorted(pictures.rglob("*.jpg")), []
    with sqlite3.connect(cache / "facts.sqlite") as database:
        database.execute(
            "CREATE TABLE facts_2 (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, rules TEXT, key TEXT, "
            "reason TEXT, width INTEGER, height INTEGER, decoded INTEGER, peak INTEGER) WITHOUT ROWID"
        )
        rows = [(os.fsencode(f), f.stat().st_size, f.stat().st_mtime_ns, facts.Facts.rules(), "00") for f in files]
        database.executemany("INSERT INTO facts_2 VALUES (?, ?, ?, ?, ?, NULL, 160, 108, 1, 0)", rows)
    database.close()
    with decoding(True):
        found = file_facts(files)
        assert all(fact.thumbnail for fact in found)
        monkeypatch.setattr("tlx.data.reading.inspection._open", lambda stamps, *_: opened.extend(stamps))
        assert file_facts(files) == found
    assert not opened
