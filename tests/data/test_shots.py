"""Several shots of one thing: found by a network and aligned correlation, kept together, not found in drawings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance

from tests.data.mask_trees import examined_here
from tlx.base.errors import ConfigError
from tlx.config import compose
from tlx.data.checked import load_checked
from tlx.data.reading import inspection
from tlx.data.splits import shots
from tlx.data.splits.aligned import SIDE, agreement
from tlx.data.splits.similar import merged_keys
from tlx.data.splits.similar_groups import Pair, linked


def thing(seed: int, side: int = 240) -> Image.Image:
    """A picture with details of all sizes, as a photograph has."""
    random = np.random.default_rng(seed)
    total = np.full((side, side, 3), 128.0)
    for level in (1, 2, 4, 8):
        layer = random.normal(0, 40 / level**0.5, (3, 4 * level, 4 * level)).astype(np.float32)
        grey = [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in layer]
        total += np.stack([np.asarray(one) for one in grey], axis=-1)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def shot(picture: Image.Image, number: int) -> Image.Image:
    """Return a picture turned by up to 6 degrees, shifted, enlarged and brightened."""
    random = np.random.default_rng(number)
    angle, right, down = random.uniform(-6, 6), *random.uniform(-10, 10, 2)
    turned = picture.rotate(angle, Image.Resampling.BICUBIC, translate=(round(right), round(down)))
    edge = round(picture.width * random.uniform(0.08, 0.13))
    cut = turned.crop((edge, edge, picture.width - edge, picture.height - edge))
    return ImageEnhance.Brightness(cut).enhance(random.uniform(0.8, 1.2))


def grey(pictures: list[Image.Image]) -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(one.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)) for one in pictures])


def test_shots_are_aligned_and_other_pictures_are_not() -> None:
    """Guards against an alignment that moves any picture onto any other, or that loses a turn of a few degrees."""
    things = [thing(seed) for seed in range(8)]
    assert agreement(grey(things), grey([shot(one, i) for i, one in enumerate(things)])).min() > shots.AGREE
    others = agreement(grey(things), grey([shot(one, i) for i, one in enumerate(things[1:] + things[:1])]))
    assert others.max() < shots.AGREE - shots.APART
    upside_down = [one.transpose(Image.Transpose.FLIP_TOP_BOTTOM) for one in things]
    assert agreement(grey(things), grey(upside_down)).max() < shots.AGREE - shots.APART
    flat = np.full((2, SIDE, SIDE), 90, dtype=np.uint8)
    assert agreement(flat, flat).max() < shots.AGREE
    assert agreement(flat[:0], flat[:0]).shape == (0,)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight things of two classes, four shots of each; and as many other pictures."""
    root = tmp_path_factory.mktemp("shots") / "set"
    for number in range(8):
        folder = root / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(4):
            shot(thing(number), 10 * number + i).save(folder / f"{number}_{i}.jpg", quality=70 + 8 * i)
        thing(100 + number).save(folder / f"other{number}.png")
    return root


@pytest.fixture(autouse=True, scope="module")
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all tests, so that the network runs once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspection, "examine_all", examined_here)
        yield folder


@pytest.fixture(autouse=True)
def cache(one_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLX_CACHE", str(one_cache))


def node(root: Path, **keys: Any) -> dict[str, Any]:
    return {"_target_": "tlx.data.folder", "name": "set", "root": str(root), **keys}


def test_check_names_the_groups_and_stores_them(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a validation of 97 % on shots of what was trained on, and a network that runs in training."""
    plain = load_checked(node(tree))
    assert not [line for line in plain.findings(None) if "near dup" in line], "training compares nothing by a network"
    said: list[str] = []
    assert plain.compared(said.append, most=10) is plain
    assert "type --similar all" in said[-1]
    checked = plain.compared(said.append, most=None)
    groups = checked.groups_alike
    assert [len(group) for group in groups] == [4] * 8
    assert all(len({sample.name.rpartition("_")[0] for _, sample in group}) == 1 for group in groups)
    found = checked.findings(None)
    (line,) = [line for line in found if "near duplicates form" in line]
    assert line.startswith("near duplicates form 8 groups of 4 images: ")
    across = [line for line in found if "near duplicate" in line and " of images in " in line]
    assert across
    assert all("dataset.similar=together" in line for line in across)

    def no_network(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(shots, "_looks", no_network)
    assert load_checked(node(tree)).findings(None) == found, "training reports what the check has found"
    assert plain.compared(said.append, most=10).groups_alike == groups


@pytest.mark.parametrize("pattern", [None, r"(\d_?\d?)\."])
def test_together_keeps_groups_on_one_side(tree: Path, pattern: str | None) -> None:
    """Guards against a carved split that divides shots, also beside groups that names give, and that loses a class."""
    checked = load_checked(node(tree, similar="together", group_pattern=pattern, split_seed=3))
    sides: dict[str, set[str]] = {}
    for part, split in checked.images.splits.items():
        assert len(checked.images.counts(split)) == 2, "both classes are in each split"
        for sample in split.samples:
            if "other" not in sample.name:
                sides.setdefault(sample.name.rpartition("_")[0], set()).add(part)
    assert len(sides) == 8
    assert {len(parts) for parts in sides.values()} == {1}
    assert not [line for line in checked.findings(None) if " of images in " in line]


def test_nothing_is_found_in_drawings(tmp_path: Path) -> None:
    """Guards against digits that resemble one another being taken for shots of one digit."""
    from sklearn.datasets import load_digits

    paths, keys = [], []
    for i, digit in enumerate(load_digits().images[:32]):
        paths.append(tmp_path / f"{i}.png")
        keys.append(i.to_bytes(16, "big"))
        Image.fromarray((digit * 15).astype(np.uint8)).resize((96, 96), Image.Resampling.BICUBIC).save(paths[-1])
    assert shots.shots(paths, keys) == []


def test_what_is_no_picture_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a network that is loaded for small images."""
    monkeypatch.setattr(shots, "_looks", None)
    for i in range(6):
        (tmp_path / "set" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        thing(i, 48).save(tmp_path / "set" / "ab"[i % 2] / f"{i}.png")
    said: list[str] = []
    assert load_checked(node(tmp_path / "set")).compared(said.append, None).groups_alike == []
    assert not said


def test_a_damaged_cache_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against a check that ends because what it stores cannot be read."""
    monkeypatch.setenv("TLX_CACHE", str(tmp_path))
    keys = [b"1" * 16, b"2" * 16]
    (tmp_path / "looks.sqlite").write_text("this is no database, only some text of a user")
    assert shots._kept(keys) == {}
    shots._keep_looks({keys[0]: (b"", b"")})
    place = shots._place(keys)
    assert place is not None
    for text in ("{", '[["00", "01", 1]]', "[1]"):
        place.write_text(text)
        assert shots.known_shots(keys) is None
    (tmp_path / "looks.sqlite").unlink()
    shots._keep_looks({keys[0]: (b"short", b"short")})
    assert (tmp_path / "looks.sqlite").stat().st_size
    assert shots._kept(keys) == {}


def test_groups_do_not_chain_without_end() -> None:
    """Guards against a film of a thousand frames becoming one group, which no split can hold."""
    keys = [bytes([i // 256, i % 256]) for i in range(1000)]
    groups = linked(keys, [Pair(i, i + 1, 1 - i / 2000) for i in range(999)], most=50)
    assert max(map(len, groups)) == 50
    assert sum(map(len, groups)) == 1000
    assert linked([b"a", b"b", b"a", b"c"], [Pair(0, 1, 0.9)]) == [[0, 1, 2]]
    assert merged_keys([b"b", b"a", b"b", b"c"], [Pair(0, 1, 0.9)]) == [b"a", b"a", b"a", b"c"]


def test_another_name_of_the_key_is_understood() -> None:
    """Guards against `group_similar=true` being refused without a word on what does it."""
    with pytest.raises(ConfigError, match=r"dataset\.similar=together"):
        compose(["dataset.group_similar=true"])
