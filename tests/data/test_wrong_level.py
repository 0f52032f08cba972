"""Roots one level too high or too low, and folders that are no classes."""

from __future__ import annotations

import pytest

from tlx.base.errors import TlxError
from tlx.data.sources.folder import folder
from tlx.data.sources.layout import read_layout

PLAIN = {"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1, "test/a": 1, "test/b": 1}


def below(name: str, counts: dict[str, int]) -> dict[str, int]:
    return {f"{name}/{folder}": count for folder, count in counts.items()}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (below("pets", PLAIN), "'pets', which contains the splits test, train, val; did you mean dataset.root="),
        (below("pets", {"cats": 2, "dogs": 2}), "'pets', which contains folders that look like classes cats, dogs"),
    ],
)
def test_a_root_one_level_too_high_says_what_to_type(make_tree, counts, said):
    """Guards against one class called `pets`, and a message that there is nothing to classify."""
    root = make_tree(counts)
    with pytest.raises(TlxError) as refused:
        read_layout(root)
    assert said in str(refused.value)
    assert f"dataset.root={root / 'pets'}" in str(refused.value)
    assert read_layout(root / "pets").class_names in (["a", "b"], ["cats", "dogs"])
    assert read_layout(root, {"train": "."}).class_names == ["pets"], "what the message offers is accepted"


def test_a_root_that_is_one_split_is_remarked_on(make_tree):
    """Guards against an official test split that is never used, because train was named."""
    root = make_tree(PLAIN)
    (note,) = read_layout(root / "train").notes
    assert "one of several splits (test, val beside it)" in note
    assert note.endswith(f"dataset.root={root}")
    assert not read_layout(root).notes
    assert not read_layout(make_tree({"train": 2, "bus": 2, "car": 2}, root.parent / "vehicles")).notes


@pytest.mark.parametrize(("counts", "at"), [({"a": 2, "b": 2}, "a"), (PLAIN, "train/a")])
def test_a_root_that_is_one_class_names_the_set(make_tree, counts, at):
    """Guards against a user who named the folder of the first class and is told about a folder cat/1.jpg."""
    root = make_tree(counts)
    with pytest.raises(TlxError) as refused:
        read_layout(root / at)
    assert f"is one of the classes a, b: type dataset.root={root}" in str(refused.value)
    alone = make_tree({"photos": 3}, root.parent / "alone")
    with pytest.raises(TlxError, match=r"got images outside class folders$"):
        read_layout(alone / "photos")


def test_folders_that_hardly_are_classes(make_tree):
    """Guards against pictures of runs and masks being trained on as two more animals."""
    root = make_tree({"cats": 10, "dogs": 10, "masks": 3, "outputs/run-s0-1/pictures": 2, ".git": 1, "__MACOSX": 1})
    (root / "outputs" / "run-s0-1" / "status.json").write_text("{}")
    for name in ("x.png", ".hidden.png"):
        (root / name).write_bytes((root / "cats" / "0.png").read_bytes())
    images = folder(root)
    assert images.class_names == ["cats", "dogs", "masks"]
    runs, masks, loose = images.notes
    assert runs == "left out, folders of runs and not classes: outputs"
    assert masks == "a class is called masks, which seldom is one; without: dataset.classes=[cats,dogs]"
    assert loose == "1 image lies beside the class folders and in none, left out: x.png"
    assert not read_layout(make_tree({"masks": 2, "labels": 2}, root.parent / "signs")).notes, "then they are classes"
