"""What a set is, wherever it lies."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.data.mask_trees import tree
from tlx.config import compose
from tlx.config.naming import identity_hash
from tlx.data.catalog import source_of
from tlx.data.sources.layout import read_layout


def test_a_folder_is_what_lies_in_it(make_tree, node, tmp_path):
    """Guards against a finished run that is not found again after its images moved, or found after they changed."""
    root = make_tree({"train/a": 3, "train/b/deep": 2, "test/a": 1, "others": 2})

    def identity(path=root, **keys):
        return source_of(node("folder", root=str(path), **keys)).identity()

    first = identity()
    assert set(first) == {"content"}
    copy = shutil.copytree(root, tmp_path / "copy" / "elsewhere")
    assert identity(copy) == first
    os.symlink(root, tmp_path / "link")
    assert identity(tmp_path / "link") == first
    assert identity(f"{root}/") == first
    (root / "others" / "5.png").write_bytes(b"")  # no part of the set
    (root / "train" / "a" / ".hidden.png").write_bytes(b"")
    (root / "train" / "a" / "notes.txt").write_bytes(b"")
    assert identity() == first
    (copy / "train" / "a" / "0.png").rename(copy / "train" / "a" / "00.png")
    assert identity(copy) != first
    for change in ("added", "grown", "removed"):
        path = root / "train" / "b" / "deep" / ("9.png" if change == "added" else "1.png")
        if change == "removed":
            path.unlink()
        else:
            path.open("ab").write(b"x")
        now = identity()
        assert now != first, change
        first = now
    (root / "train" / "a" / "gone.png").symlink_to("nowhere")
    assert set(identity()) == {"content"}


def test_names_are_not_run_together(make_tree, node, tmp_path):
    """Guards against two sets with one hash because names and sizes are written without a border between them."""
    one = make_tree({"a": 1, "b": 1}, tmp_path / "one")
    two = make_tree({"a": 1, "b": 1}, tmp_path / "two")
    (two / "a" / "0.png").rename(two / "a" / "0\n.png")
    assert read_layout(two).class_names == ["a", "b"]
    assert len({str(source_of(node("folder", root=str(root))).identity()) for root in (one, two)}) == 2


def test_a_table_is_its_text_and_its_images(make_tree, node, tmp_path):
    """Guards against labels that were changed in a table, or images that were, under the same name of a run."""
    root = make_tree({"a": 3, "b": 3})
    text = "path,label\n" + "".join(f"{c}/{i}.png,{c}\n" for c in "ab" for i in range(3))
    (root / "t.csv").write_text(text)

    def identity(path=root / "t.csv", **keys):
        return source_of(node("table", path=str(path), **keys)).identity()

    first = identity()
    assert set(first) == {"content"}
    assert identity(shutil.copytree(root, tmp_path / "copy") / "t.csv") == first
    shutil.copy(root / "t.csv", tmp_path / "t.csv")
    assert identity(tmp_path / "t.csv", root=str(root)) == first
    (root / "b" / "1.png").open("ab").write(b"x")
    assert identity() != first
    (tmp_path / "copy" / "t.csv").write_text(text.replace("b/1.png,b", "b/1.png,a"))
    assert identity(tmp_path / "copy" / "t.csv") != first


def test_a_set_with_masks_is_its_files_wherever_its_folders_are(tmp_path):
    """Guards against another run for the same files where folders or files are typed as absolute paths."""
    there, moved = tmp_path / "there", tmp_path / "moved"
    tree(there, "x/{}.png", "y/{}.png")
    (there / "names.yaml").write_text("[a, b]")
    shutil.copytree(there, moved)

    def named(place, root=".", **keys):
        typed = [f"dataset.{key}={place / name}" for key, name in keys.items()]
        return identity_hash(
            compose(["task=segmentation", "dataset=masks", f"dataset.root={place / root}", "run_name=a", *typed])
        )

    for keys in (
        {"mask_folder": "y", "image_folder": "x", "classes": "names.yaml"},
        {"root": "x", "mask_folder": "y"},
    ):
        assert named(there, **keys) == named(moved, **keys)
    assert named(there, mask_folder="y", image_folder="x") != named(there, root="x", mask_folder="y")


@pytest.mark.parametrize(
    ("source", "keys", "expected"),
    [
        ("digits", {}, {}),
        ("torchvision_set", {"name": "mnist", "root": "/data"}, {}),
        ("folder", {"root": "/nowhere"}, {"missing": True}),
        ("folder", {"root": None}, {"missing": True}),
        ("folder", {"root": "???"}, {"missing": True}),
        ("folder", {}, {"missing": True}),
        ("table", {"path": "/nowhere.csv"}, {"missing": True}),
        ("elsewhere", {"root": "/data"}, None),
    ],
)
def test_what_needs_no_hash_or_has_none(node, source, keys, expected):
    """Guards against a name of a run that raises, or forgets the path of a source that only its path tells."""
    assert source_of(node(source, **keys)).identity() == expected


def test_a_target_that_is_missing():
    """Guards against a node that is not a data set at all."""
    assert source_of({}).identity() is None
