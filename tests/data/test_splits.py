from __future__ import annotations

import random
import shutil
import zipfile
from collections import Counter

import pytest
import torch

from tlx.base.errors import TlxError
from tlx.data import digits, folder, leaks
from tlx.data.findings import contradictions
from tlx.data.splits import division
from tlx.data.splits.division import content_keys, fewer_labels
from tlx.data.splits.samples import Sample, Split

PARTS = {"test": 0.2, "val": 0.2}


def keys_of(count: int) -> list[bytes]:
    return [f"content {i}".encode() for i in range(count)]


def divide(keys: list[bytes], targets: list[int], *how, **named) -> dict[str, list[int]]:
    return division.divide(keys, [(target,) for target in targets], *how, **named)


def gray(count: int, classes: int, distinct: int | None = None) -> Split:
    """`count` images in memory, classes in turn; only `distinct` different ones of each class."""
    samples = [Sample(i, i % classes, f"image {i:05d}") for i in range(count)]
    content = torch.arange(count) // classes
    content = (content if distinct is None else content % distinct) * classes + torch.arange(count) % classes
    pixels = torch.stack([content // 256, content % 256], dim=1)[:, None, None].to(torch.uint8)  # (N, 1, 1, 2)
    return Split(samples, pixels)


def test_shares_are_exact_in_every_class():
    """Guards against a split that is right on the whole and wrong for rare classes."""
    targets = [0] * 100 + [1] * 57 + [2] * 10
    parts = divide(keys_of(len(targets)), targets, PARTS, seed=0)
    counts = {name: Counter(targets[i] for i in positions) for name, positions in parts.items()}
    assert counts["test"] == {0: 20, 1: 11, 2: 2}
    assert counts["val"] == {0: 20, 1: 11, 2: 2}
    assert sorted(i for positions in parts.values() for i in positions) == list(range(len(targets)))


@pytest.mark.parametrize(("count", "expected"), [(1, (0, 0, 1)), (2, (0, 0, 2)), (3, (1, 1, 1)), (4, (1, 1, 2))])
def test_small_classes_keep_something_to_train_on(count, expected):
    """Guards against a class that is tested or selected on and never trained on."""
    parts = divide(keys_of(count), [0] * count, PARTS, seed=0)
    assert (len(parts["test"]), len(parts["val"]), len(parts["train"])) == expected


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_class_gives_away_its_last_image(count):
    """Guards against large fractions that leave nothing of a small class to train on."""
    parts = divide(keys_of(count), [0] * count, {"test": 0.45, "val": 0.45}, seed=0)
    assert len(parts["train"]) == 1


def test_order_of_samples_does_not_matter():
    """Guards against a split that depends on the order in which a file system lists files."""
    keys, targets = keys_of(500), [i % 7 for i in range(500)]
    shuffled = list(range(500))
    random.Random(1).shuffle(shuffled)
    one = divide(keys, targets, PARTS, seed=3)
    other = divide([keys[i] for i in shuffled], [targets[i] for i in shuffled], PARTS, seed=3)
    for name, positions in one.items():
        assert {keys[i] for i in positions} == {keys[shuffled[i]] for i in other[name]}


def test_seeds_differ_and_the_test_part_stands_still():
    """Guards against a seed without effect, and against a test split that moves when val_fraction changes."""
    keys, targets = keys_of(500), [i % 5 for i in range(500)]
    first = divide(keys, targets, PARTS, seed=0)
    assert len(set(first["test"]) & set(divide(keys, targets, PARTS, seed=1)["test"])) < 50  # 20 by chance
    for val in (0.0, 0.1, 0.5):
        assert divide(keys, targets, {"test": 0.2, "val": val}, seed=0)["test"] == first["test"]


def test_duplicates_stay_together_even_with_other_labels():
    """Guards against the leak that a copy on the other side is, and against copies with contradicting labels."""
    keys = [f"content {i // 3}".encode() for i in range(900)]  # every content three times
    targets = [int(i % 50 == 0) for i in range(900)]
    parts = divide(keys, targets, PARTS, seed=0)
    sides = [{keys[i] for i in positions} for positions in parts.values()]
    assert sum(len(side) for side in sides) == 300
    assert [abs(len(parts[name]) - 180) <= 3 for name in PARTS] == [True, True]


def test_a_class_of_copies_is_shared_out():
    """Guards against groups too large for their share never being tested."""
    keys = [f"content {i // 10}".encode() for i in range(40)]  # four contents, ten copies each; a share is eight
    parts = divide(keys, [0] * 40, PARTS, seed=0)
    assert {name: len(positions) for name, positions in parts.items()} == {"test": 10, "val": 10, "train": 20}


def test_fewer_labels_are_exact_and_nested():
    """Guards against a learning curve whose points are different draws instead of more of the same."""
    train, names = gray(300, 3), ["a", "b", "c"]
    previous: set[str] = set()
    for count in (1, 5, 10, 50):
        kept = fewer_labels(train, names, count, None, seed=4)
        assert Counter(s.target for s in kept.samples) == {0: count, 1: count, 2: count}
        assert previous < {s.name for s in kept.samples}
        previous = {s.name for s in kept.samples}
    other = {s.name for s in fewer_labels(train, names, 50, None, seed=5).samples}
    assert len(previous & other) < 110  # 75 by chance


def test_fraction_is_of_each_class():
    """Guards against a fraction that loses a rare class."""
    samples = [Sample(i, int(i >= 96), str(i)) for i in range(100)]
    train = Split(samples, torch.arange(100, dtype=torch.uint8).reshape(100, 1, 1, 1))
    kept = fewer_labels(train, ["a", "b"], None, 0.1, seed=0)
    assert Counter(s.target for s in kept.samples) == {0: 10, 1: 1}
    assert fewer_labels(train, ["a", "b"], None, 1.0, seed=0) == train
    assert fewer_labels(train, ["a", "b"], None, None, seed=0) is train


def test_fewer_labels_prefer_different_images():
    """Guards against ten labels that are five images and their copies."""
    train = gray(120, 2, distinct=6)
    kept = fewer_labels(train, ["a", "b"], 6, None, seed=0)
    assert len(set(content_keys(kept))) == 12
    assert len(fewer_labels(train, ["a", "b"], 60, None, seed=0)) == 120


def test_more_labels_than_there_are():
    """Guards against silently training on fewer labels than the figure says."""
    with pytest.raises(TlxError, match=r"got 4; too few in: b 3, c 3.*labels_exact=false"):
        fewer_labels(gray(10, 3), ["a", "b", "c"], 4, None, seed=0, exact=True)
    with pytest.raises(TlxError, match="got both"):
        fewer_labels(gray(10, 3), ["a", "b", "c"], 1, 0.5, seed=0)


def test_digits_split_is_pinned():
    """Guards against a change of the rule that would make published figures incomparable without notice."""
    images = digits()
    assert {name: len(split) for name, split in images.splits.items()} == {"train": 1079, "val": 359, "test": 359}
    assert [s.name for s in images.test.samples[:6]] == [f"digit {row}" for row in (0, 6, 14, 21, 23, 29)]
    counts = Counter(s.target for s in images.train.samples)
    assert min(counts.values()) == 104
    assert images.train.pixels.amax() == 255
    assert images.train.pixels.shape == (1797, 1, 8, 8)


def test_digits_subset_keeps_the_order_given():
    """Guards against targets that do not follow class_names."""
    whole, some = digits(), digits(classes=[7, 3])
    assert some.class_names == ["7", "3"]
    assert len(some.train) + len(some.val) + len(some.test) == 179 + 183
    true_digit = {s.name: s.target for split in whole.splits.values() for s in split.samples}
    for split in some.splits.values():
        assert all(true_digit[s.name] == (7, 3)[s.target] for s in split.samples)
    with pytest.raises(TlxError, match=r"got \[3, 11\]"):
        digits(classes=[3, 11])


def test_folder_split_depends_on_content_alone(make_tree, tmp_path):
    """Guards against another split after the folder was moved and its files renamed."""
    root = make_tree({"a": 40, "b": 30})
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    for i, file in enumerate(sorted(moved.rglob("*.png"), reverse=True)):
        file.rename(file.with_name(f"renamed_{i:03d}.png"))
    for name, split in folder(root).splits.items():
        assert set(content_keys(split)) == set(content_keys(folder(moved).splits[name])), name
    sizes = {name: len(split) for name, split in folder(root).splits.items()}
    assert sizes == {"train": 42, "val": 14, "test": 14}


def test_unreadable_file_is_named(make_tree):
    """Guards against a bare OSError while the split is made."""
    root = make_tree({"a": 3, "b": 3})
    (root / "a" / "x.png").symlink_to(root / "gone.png")
    with pytest.raises(TlxError, match=r"cannot read image .*x\.png"):
        folder(root)


@pytest.mark.slow
def test_plate_characters_have_no_duplicates_across(test_data, tmp_path):
    """Guards against leaks in real data: 2,105 groups of copies, 7 of them with contradicting labels."""
    with zipfile.ZipFile(test_data("plate_chars") / "plate_chars.zip") as archive:
        archive.extractall(tmp_path)
    together = tmp_path / "all"
    together.mkdir()
    for group in ("chars2", "charsChinese"):
        for path in (tmp_path / group).iterdir():
            path.rename(together / path.name)
    images = folder(together)
    keys = {name: set(content_keys(split)) for name, split in images.splits.items()}
    assert sum(len(split) for split in images.splits.values()) == 16_395
    assert sum(len(k) for k in keys.values()) == len(set().union(*keys.values()))
    assert not keys["train"] & keys["test"]
    assert not keys["val"] & keys["test"]
    assert not keys["train"] & keys["val"]
    pairs = [pair for split in images.splits.values() for pair in contradictions(images, split, content_keys(split))]
    assert len({first.name for first, _ in pairs}) == 7
    per_class = {name: Counter(s.target for s in split.samples) for name, split in images.splits.items()}
    for target in range(len(images.class_names)):
        total = sum(counts[target] for counts in per_class.values())
        for name in ("val", "test"):
            assert abs(per_class[name][target] - 0.2 * total) <= 4, (images.class_names[target], name)
            assert per_class[name][target] > 0


def test_brain_scans_leak_and_the_carved_val_does_not(test_data):
    """Guards against the real leak of this set going unseen: 15 contents lie in Training and in Testing."""
    images = folder(test_data("brain_tumor_mri"))
    assert {name: len(split) for name, split in images.splits.items()} == {"train": 640, "val": 160, "test": 394}
    assert not leaks(images.train, images.val)
    pairs = [*leaks(images.train, images.test), *leaks(images.val, images.test)]
    assert len(pairs) == 23
    assert len({held.source.read_bytes() for _, held in pairs}) == 15
    assert all(seen.source.read_bytes() == held.source.read_bytes() for seen, held in pairs)


def test_leaks_in_memory():
    """Guards against sets without files being declared clean because there are no file sizes to compare."""
    train, test = gray(20, 2).take(list(range(12))), gray(20, 2).take(list(range(10, 20)))
    assert [(a.name, b.name) for a, b in leaks(train, test)] == [("image 00010",) * 2, ("image 00011",) * 2]
