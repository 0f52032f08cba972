"""Groups of images (patients, plates, scenes): how they are found, and that no split that is carved divides one."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tlx import compose
from tlx.base.errors import ConfigError, TlxError
from tlx.config.naming import identity
from tlx.data import ImageDataModule, digits, folder, load_checked, table
from tlx.data.catalog import source_of
from tlx.data.domains import TargetDomain
from tlx.data.findings import group_findings
from tlx.data.splits import division
from tlx.data.splits.groups import groups_by_pattern
from tlx.data.splits.samples import ImageSet, Sample, Split

PARTS = {"test": 0.2, "val": 0.2}


def divide(keys: list[bytes], targets: list[int], *how, **named) -> dict[str, list[int]]:
    return division.divide(keys, [(target,) for target in targets], *how, **named)


def cohort(seed: int, mixed: bool, patients: int | None = None) -> tuple[list[bytes], list[int], list[str | None]]:
    """Content, class and patient of images: 1 to 12 a patient, some of them copies of one another's."""
    rng = random.Random(seed)
    keys, targets, groups = [], [], []
    classes = rng.choice([2, 3])
    for patient in range(patients or rng.choice([8, 25, 60, 150])):
        own = rng.randrange(classes)
        for _ in range(rng.randrange(1, 13)):
            copied = keys and rng.random() < 0.01
            keys.append(rng.choice(keys) if copied else f"{seed} {len(keys)}".encode())
            targets.append(rng.randrange(classes) if mixed and rng.random() < 0.5 else own)
            groups.append(None if rng.random() < 0.02 else f"patient {patient}")
    return keys, targets, groups


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_no_group_and_no_copy_lies_on_both_sides(seed, mixed):
    """Guards against a test on patients that were trained on, through a group, a copy, or a chain of both."""
    keys, targets, groups = cohort(seed, mixed)
    parts = divide(keys, targets, PARTS, seed, groups)
    assert sorted(i for positions in parts.values() for i in positions) == list(range(len(keys)))
    for what in (keys, groups):
        sides = [{what[i] for i in positions} - {None} for positions in parts.values()]
        assert sum(map(len, sides)) == len(set(what) - {None})
    assert {targets[i] for i in parts["train"]} == set(targets)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_shares_are_near_in_every_class(seed, mixed):
    """Guards against patients put anywhere: of many of them a share can be kept in every class."""
    keys, targets, groups = cohort(seed, mixed, patients=120)
    parts = divide(keys, targets, PARTS, seed, groups)
    totals = Counter(targets)
    for name, fraction in PARTS.items():
        counts = Counter(targets[i] for i in parts[name])
        for target, total in totals.items():
            assert abs(counts[target] / total - fraction) < 0.05, (name, target)


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_rows_does_not_matter(seed):
    """Guards against a split that changes when somebody sorts the table, or is drawn anew each time."""
    keys, targets, groups = cohort(seed, mixed=True)
    places = list(range(len(keys)))
    random.Random(seed).shuffle(places)
    one = divide(keys, targets, PARTS, 3, groups)
    assert divide(keys, targets, PARTS, 3, groups) == one
    other = divide([keys[i] for i in places], [targets[i] for i in places], PARTS, 3, [groups[i] for i in places])
    assert {name: sorted(places[i] for i in positions) for name, positions in other.items()} == one


def test_seeds_differ_and_the_test_part_stands_still():
    """Guards against a seed without effect, and against test patients that change with val_fraction."""
    keys, targets, groups = cohort(1, mixed=True, patients=60)
    first = divide(keys, targets, PARTS, 0, groups)
    assert divide(keys, targets, PARTS, 1, groups)["test"] != first["test"]
    for val in (0.0, 0.1, 0.5):
        assert divide(keys, targets, {"test": 0.2, "val": val}, 0, groups)["test"] == first["test"]


def test_chains_are_followed_to_their_end():
    """Guards against patients joined in pairs only: a and b share an image, b and c another one."""
    keys = [b"1", b"2", b"2", b"3", b"3", b"4", *(f"{i}".encode() for i in range(10, 30))]
    groups = ["a", "a", "b", "b", "c", "c", *(f"p{i}" for i in range(20))]
    for seed in range(20):
        parts = divide(keys, [0] * len(keys), PARTS, seed, groups)
        assert sum(any(i < 6 for i in positions) for positions in parts.values()) == 1


def test_a_class_of_large_groups_is_tested_all_the_same():
    """Guards against a class without a test image because each of its patients has more than the share."""
    sizes = [30, 30, 30, *[2] * 60]
    groups = [f"p{p}" for p, size in enumerate(sizes) for _ in range(size)]
    targets = [int(p >= 3) for p, size in enumerate(sizes) for _ in range(size)]
    keys = [f"{i}".encode() for i in range(len(groups))]
    parts = divide(keys, targets, {"test": 0.05, "val": 0.05}, 0, groups)
    for part in ("test", "val"):
        assert Counter(targets[i] for i in parts[part]) == {0: 30, 1: 6}


def test_groups_that_cannot_be_shared_out_are_refused():
    """Guards against a training without a validation image because all images are one patient's."""
    with pytest.raises(TlxError, match=r"at least 3 groups of images to divide among test, val and train, got 2"):
        divide([b"1", b"2", b"3"], [0, 0, 0], PARTS, 0, ["a", "b", "b"])


def test_without_groups_splits_are_what_they_were():
    """Guards against published figures on other images: pinned before there were groups, copies and labels mixed."""
    rng = random.Random(7)
    keys = [f"content {rng.randrange(400)}".encode() for _ in range(700)]
    targets = [rng.choice([0, 0, 0, 1, 1, 2]) for _ in range(700)]
    for groups in ((), [None] * 700):
        found = [
            divide(keys, targets, fractions, seed, groups) for seed in (0, 5) for fractions in (PARTS, {"val": 0.3})
        ]
        assert hashlib.blake2b(json.dumps(found).encode(), digest_size=8).hexdigest() == "3eab72c62b147548"
    assert {sample.group for split in digits().splits.values() for sample in split.samples} == {None}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"(patient\d+)_", ["patient1", "patient12"]),
        (r"patient\d+", ["patient1", "patient12"]),
        (r"(?:cats|dogs)/patient(\d)(\d)?", ["1", "1"]),
        (r"(patient\d)_|(patient\d\d)_", ["patient1", "patient12"]),
        (r"^[^/]+", ["cats", "dogs"]),
    ],
)
def test_what_a_pattern_finds(pattern, expected):
    """Guards against a group that is more, or less, than what the pattern puts in brackets."""
    assert groups_by_pattern(["cats/patient1_0.png", "dogs/patient12_3.png"], pattern) == expected


@pytest.fixture
def patients(make_tree) -> Path:
    """60 images of 15 patients in two folders, and a table of them without splits."""
    root = make_tree({"cats": 30, "dogs": 30})
    rows = []
    for path in sorted(root.rglob("*.png")):
        patient = int(path.stem) % 15
        named = path.rename(path.with_name(f"p{patient}_{path.name}"))
        rows.append(f"{named.relative_to(root).as_posix()},{named.parent.name},{patient}")
    (root / "pets.csv").write_text("\n".join(["path,label,patient", *rows]))
    return root


def sides(images: ImageSet) -> list[set[str | None]]:
    return [set(split.groups) for split in images.splits.values()]


def test_tables_and_folders_name_groups(patients, node, preprocessing):
    """Guards against groups that are read and not heeded, or not to be had afterwards for those of the test."""
    for dataset in (
        node("table", path=str(patients / "pets.csv"), group_column="patient"),
        node("folder", root=str(patients), group_pattern=r"p(\d+)_"),
    ):
        assert source_of(dataset).mistakes() == []
        assert set(source_of(dataset).identity()) == {"content"}
        data = ImageDataModule(dataset, preprocessing, seed=0)
        assert data.sizes == {"train": 36, "val": 12, "test": 12}
        assert sum(map(len, sides(data.image_set))) == 15
        assert set(data.sample_groups("test")) == sides(data.image_set)[2] <= {str(p) for p in range(15)}
        lines = data.describe().splitlines()
        assert "keeping 15 groups whole, each class as near to its share as they allow, seed 0" in lines[0]
        assert lines[-1] == "  test       12 images, 6 per class, 3 groups"
        assert "warning: group" not in data.describe()
    data = ImageDataModule(node("table", path=str(patients / "pets.csv")), preprocessing, seed=0)
    assert data.sample_groups("test") == [None] * 12


def test_classes_that_are_chosen_keep_their_groups(patients, node):
    """Guards against groups that are lost where targets are numbered anew."""
    images = load_checked(node("folder", root=str(patients), group_pattern=r"p\d+_", classes=["dogs", "cats"])).images
    assert sum(map(len, sides(images))) == 15
    assert None not in set().union(*sides(images))


def test_a_target_domain_keeps_groups_together(patients, node):
    """Guards against patients that are divided when the target's images are pooled and divided without labels."""
    keys = {"path": str(patients / "pets.csv"), "group_column": "patient"}
    splits = TargetDomain.load(node("table", **keys), ["cats", "dogs"]).splits
    found = [set(split.groups) for split in splits.values()]
    assert sum(map(len, found)) == 15
    assert len(found) == 3


def test_val_is_carved_from_train_by_group(patients, node):
    """Guards against groups heeded only where both splits are carved; official splits that divide groups are told."""
    lines = (patients / "pets.csv").read_text().splitlines()
    words = ["test" if i < 15 else "train" for i in range(60)]
    text = "\n".join([f"{lines[0]},split", *(f"{line},{word}" for line, word in zip(lines[1:], words, strict=True))])
    (patients / "pets.csv").write_text(text)
    checked = load_checked(node("table", path=str(patients / "pets.csv"), group_column="patient"))
    train, val, test = sides(checked.images)
    assert not train & val
    assert len(checked.images.test) == 15
    (line,) = group_findings(ImageSet("t", [], checked.images.train, Split([]), checked.images.test, ""))
    both = sorted(train & test)
    assert line == f"{len(both)} of {len(test)} groups of test images are also in train: {both[0]}, …"
    assert any("groups of test images are also in train" in line for line in checked.findings(None))
    assert val


def test_one_group_on_both_sides():
    """Guards against grammar that nobody has read, and against samples without a group counted as one."""
    one = Split([Sample(0, 0, "a", "x"), Sample(1, 0, "b")])
    other = Split([Sample(2, 0, "c", "x"), Sample(3, 0, "d")])
    found = list(group_findings(ImageSet("s", ["k"], one, Split([]), other, "by hand")))
    assert found == ["1 of 1 group of test images is also in train: x"]


def test_wrong_columns_are_told_before_torch(patients, node):
    """Guards against a column of patients, misspelt, without which the split is another one."""
    path = patients / "pets.csv"
    (mistake,) = source_of(node("table", path=str(path), group_column="patiant")).mistakes()
    assert "expected a column 'patiant', got the columns path, label, patient; did you mean 'patient'?" in str(mistake)
    assert "type dataset.group_column=NAME" in str(mistake)
    assert source_of(node("table", path=str(path), group_column="patiant")).class_names() is None
    text = path.read_text()
    first = text.splitlines()[1]
    path.write_text(text.replace(first, first.rpartition(",")[0] + ","))
    (mistake,) = source_of(node("table", path=str(path), group_column="patient")).mistakes()
    assert f"expected a group in every row, got none in row 2 ({first.partition(',')[0]})" in str(mistake)
    path.write_text(f"{text}\n{first.rpartition(',')[0]},other")
    (mistake,) = source_of(node("table", path=str(path), group_column="patient")).mistakes()
    assert "expected one group per image, got cats/p0_0.png in '0' and in 'other'" in str(mistake)
    assert source_of(node("table", path=str(path))).mistakes() == []


def test_wrong_patterns_are_told_before_torch(patients, node):
    """Guards against an image in nobody's group, and against a foreign exception for an open bracket."""
    (mistake,) = source_of(node("folder", root=str(patients), group_pattern="(p1")).mistakes()
    assert mistake.path == "dataset.group_pattern"
    assert "expected a regular expression, got '(p1' (missing )" in str(mistake)
    assert r"for example dataset.group_pattern='(patient\d+)_'" in mistake.hint
    (mistake,) = source_of(node("folder", root=str(patients), group_pattern=r"(p\d)_")).mistakes()
    assert "got 20 of 60 without: cats/p10_10.png" in str(mistake)
    assert r"dataset.group_pattern='(p\d)_|(OTHER)'" in mistake.hint
    with pytest.raises(TlxError, match="got 20 of 60 without"):
        folder(patients, group_pattern=r"(p\d)_")


def test_parquet(patients):
    """Guards against a column that is dropped while Parquet is read."""
    pyarrow = pytest.importorskip("pyarrow", reason="reading Parquet needs the package pyarrow")
    from pyarrow import parquet

    rows = [line.split(",") for line in (patients / "pets.csv").read_text().splitlines()[1:]]
    columns = {"path": [r[0] for r in rows], "label": [r[1] for r in rows], "patient": [int(r[2]) for r in rows]}
    parquet.write_table(pyarrow.table(columns), patients / "pets.parquet")
    own, same = (table(patients / f"pets.{kind}", group_column="patient") for kind in ("parquet", "csv"))
    assert sides(own) == sides(same)


@pytest.mark.slow
@pytest.mark.parametrize("typed", [r"(p\d+)_", r'"(p\d+)_"', r"'(p\d+)_'", r"^[^/]+/(p\d{1,2})_\d+\.png$", r"p\d+"])
def test_patterns_can_be_typed(patients, typed):
    """Guards against a pattern that Hydra's grammar refuses for its brackets, of which each one has some."""
    words = ["backbone=small_cnn", "dataset=folder", f"dataset.root={patients}", f"dataset.group_pattern={typed}"]
    assert compose(words).dataset.group_pattern == typed.strip("'\"")
    with pytest.raises(ConfigError, match=r"dataset\.group_pattern: expected 'a\\\\' to find"):
        compose([*words[:3], "dataset.group_pattern=a\\\\"])


def test_a_key_that_is_null_is_no_other_run(patients):
    """Guards against every run from before being trained again under another name."""
    words = ["backbone=small_cnn", "dataset=folder", f"dataset.root={patients}"]
    assert compose([*words, "dataset.group_pattern=null"]).dataset.group_pattern is None
    assert "group_pattern" not in identity(compose(words))["dataset"]
    assert compose([*words, r"dataset.group_pattern=p\d+"]).run_name != compose(words).run_name
