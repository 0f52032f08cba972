"""Folds: images that train and validate in turn."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tests.data import mask_trees
from tests.data.test_groups import cohort
from tlx import compose
from tlx.base.errors import ConfigError, TlxError
from tlx.config.naming import identity_hash
from tlx.data import load_checked
from tlx.data.splits.folds import divide_into_folds
from tlx.data.splits.groups import blocks_of


def folds_of(keys: list[bytes], targets: list[int], groups: list[str | None], folds: int, seed: int) -> list[list[int]]:
    return divide_into_folds(blocks_of(keys, [(target,) for target in targets], groups), folds, seed)


def tree(root: Path, images: dict[str, int], split: str = "") -> Path:
    """Different images of classes, `images` of each."""
    for number, (name, count) in enumerate(images.items()):
        folder = root / split / name
        folder.mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (10 * number + len(split), i, 0)).save(folder / f"p{i // 2}_{i}.png")
    return root


@pytest.mark.parametrize("counts", [(100, 57, 12), (7, 6, 5), (11, 11, 11)])
def test_every_class_and_the_whole_are_even(counts):
    """Guards against folds without a rare class, and against a first fold that gets what is left of every class."""
    targets = [label for label, count in enumerate(counts) for _ in range(count)]
    parts = folds_of([f"content {i}".encode() for i in range(len(targets))], targets, [None] * len(targets), 5, seed=0)
    assert sorted(i for part in parts for i in part) == list(range(len(targets)))
    for label in range(3):
        inside = [sum(targets[i] == label for i in part) for part in parts]
        assert max(inside) - min(inside) <= 1, label
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_no_group_and_no_copy_is_in_two_folds(seed, mixed):
    """Guards against a validation on patients that were trained on, through a group, a copy, or a chain of both; and
    against groups that make classes far more uneven than they must."""
    keys, targets, groups = cohort(seed, mixed, patients=60)
    parts = folds_of(keys, targets, groups, 5, seed)
    assert sorted(i for part in parts for i in part) == list(range(len(keys)))
    for what in (keys, groups):
        assert sum(len({what[i] for i in part} - {None}) for part in parts) == len(set(what) - {None})
    for label, size in Counter(targets).items():
        inside = [sum(targets[i] == label for i in part) for part in parts]
        assert max(inside) - min(inside) <= max(3, 0.05 * size), (label, inside)


def test_folds_follow_content_and_seed_alone():
    """Guards against folds that change with the order of the files, and against a seed without effect."""
    keys, targets, groups = cohort(1, mixed=True, patients=40)
    order = list(range(len(keys)))
    random.Random(0).shuffle(order)
    shuffled = folds_of([keys[i] for i in order], [targets[i] for i in order], [groups[i] for i in order], 4, seed=3)
    first = folds_of(keys, targets, groups, 4, seed=3)
    assert [sorted(order[i] for i in part) for part in shuffled] == first
    assert folds_of(keys, targets, groups, 4, seed=4) != first


def test_folds_validate_in_turn_beside_one_test_split(node, tmp_path):
    """Guards against a test split that moves with the fold, and images that no fold or two folds validate."""
    root = str(tree(tmp_path, {"a": 20, "b": 11}))
    plain = load_checked(node("folder", root=root))
    sets = [load_checked(node("folder", root=root, folds=3, fold=fold)).splits for fold in (1, 2, 3)]
    held_out = [sample.name for one in sets for sample in one["val"].samples]
    rest = sorted(sample.name for part in ("train", "val") for sample in plain.splits[part].samples)
    assert sorted(held_out) == rest
    for one in sets:
        assert one["test"].samples == plain.splits["test"].samples
        assert sorted(sample.name for part in ("train", "val") for sample in one[part].samples) == rest
    line = load_checked(node("folder", root=root, folds=3, fold=2)).describe()[0]
    assert line.endswith("; val is fold 2 of 3 of train and val together, class by class, by content, seed 0")


def test_an_official_val_split_is_pooled_and_said(node, tmp_path):
    """Guards against images of an official split that are never trained on, unsaid."""
    for split, count in (("train", 8), ("val", 4), ("test", 2)):
        tree(tmp_path, {"a": count, "b": count}, split)
    checked = load_checked(node("folder", root=str(tmp_path), folds=4, fold=1, group_pattern=r"/(p\d+)_"))
    assert {part: len(split) for part, split in checked.splits.items()} == {"train": 16, "val": 8, "test": 4}
    assert checked.describe()[0].endswith(
        "official train, val and test folders; val is fold 1 of 4 of train and the official val together, keeping 4 "
        "groups whole, seed 0"
    )
    groups = [{sample.group for sample in checked.splits[part].samples} for part in ("train", "val")]
    assert not groups[0] & groups[1]


def test_folds_of_images_in_memory(node):
    """Guards against pixels of other images behind the labels of a pooled set."""
    plain, fold = (load_checked(node("digits", **more)) for more in ({}, {"folds": 5, "fold": 2}))
    pixels = {sample.name: plain.images.train.pixels[sample.source] for sample in plain.images.train.samples}
    val = fold.splits["val"]
    known = [sample for sample in val.samples if sample.name in pixels]
    assert len(val) == 288
    assert known
    assert all(bool((val.pixels[sample.source] == pixels[sample.name]).all()) for sample in known)


def test_masks_are_divided_with_their_images(tmp_path):
    """Guards against a division that knows only one class an image."""
    mask_trees.tree(tmp_path, "images/{}.png", "masks/{}.png")
    sets = [mask_trees.loaded(tmp_path, folds=2, fold=fold) for fold in (1, 2)]
    names = [[sample.name for sample in one.splits["val"].samples] for one in sets]
    assert names[0]
    assert not set(names[0]) & set(names[1])
    assert [sorted(sample.name for sample in one.splits["train"].samples) for one in sets] == [
        sorted(names[1]), sorted(names[0])
    ]  # fmt: skip


def test_too_few_images_or_groups_of_a_class(node, tmp_path):
    """Guards against folds in which a class is never validated, and against an error that does not say what to type."""
    root = str(tree(tmp_path, {"a": 20, "rare": 5}))
    with pytest.raises(TlxError, match=r"different images of each class .* got 5; too few in: rare 4; for example data"
                       r"set\.folds=4"):  # fmt: skip
        load_checked(node("folder", root=root, folds=5, fold=1))
    with pytest.raises(TlxError, match=r"groups of images of each class .*: rare 2; for example dataset\.folds=2$"):
        load_checked(node("folder", root=root, folds=8, fold=1, group_pattern=r"\w+/p\d+", test_fraction=0.05))
    lonely = str(tree(tmp_path / "other", {"a": 20, "one": 1}))
    with pytest.raises(TlxError, match=r"one 1; add images, or leave the class out: dataset\.classes="):
        load_checked(node("folder", root=lonely, folds=2, fold=1))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["dataset.fold=2"], "dataset.folds: expected a number of folds with dataset.fold=2, got null"),
        (["dataset.folds=3"], "dataset.fold: expected the fold that validates, from 1 to 3, got null"),
        (["dataset.folds=3"], "-m dataset.fold=1,2,3"),
        (["dataset.folds=3", "dataset.fold=4"], "dataset.fold: expected 1 to dataset.folds=3, got 4"),
        (["dataset.folds=1", "dataset.fold=1"], "dataset.folds: expected a number at least 2"),
        (["target=letters", "target.folds=3", "target.fold=1"], "target.folds: expected null"),
    ],
)
def test_keys_that_contradict_one_another(typed, expected):
    """Guards against a fold that is silently ignored."""
    with pytest.raises(ConfigError) as found:
        compose(["dataset=digits", *typed])
    assert expected in str(found.value)


def test_names_say_the_fold():
    """Guards against runs of five folds that only a hash tells apart, and other names of runs without folds."""
    one = compose(["dataset=digits", "dataset.folds=5", "dataset.fold=3"])
    assert "-fold3-of5-s0-" in one.run_name
    assert identity_hash(one) != identity_hash(compose(["dataset=digits", "dataset.folds=5", "dataset.fold=2"]))
    assert "fold" not in compose(["dataset=digits"]).run_name
