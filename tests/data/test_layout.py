from __future__ import annotations

import os

import pytest

from tlx.data.layout import find_images, images_below, read_layout
from tlx.errors import TlxError


def names(layout):
    return {split: path.name for split, path in layout.splits.items()}


@pytest.mark.parametrize(
    ("counts", "splits"),
    [
        ({"train/a": 1, "train/b": 1, "val/a": 1, "test/b": 1}, {"train": "train", "val": "val", "test": "test"}),
        ({"Training/a": 1, "Training/b": 1, "Testing/a": 1}, {"train": "Training", "test": "Testing"}),
        ({"TRAIN/a": 1, "TRAIN/b": 1, "Valid/a": 1}, {"train": "TRAIN", "test": "Valid"}),
        ({"train/a": 1, "train/b": 1, "validation/b": 1}, {"train": "train", "test": "validation"}),
        ({"train/a": 1, "train/b": 1}, {"train": "train"}),
        ({"a": 1, "b": 1}, {"train": "tree"}),
        ({"train/a": 1, "train/b": 1, "test/a": 1, "unlabeled": 5}, {"train": "train", "test": "test"}),
    ],
)
def test_splits_are_found(make_tree, counts, splits):
    """Guards against a split folder taken for a class, and against val used for selection and for the report."""
    layout = read_layout(make_tree(counts))
    assert names(layout) == splits
    assert layout.class_names == ["a", "b"]


def test_a_class_may_be_called_train(make_tree):
    """Guards against a set of vehicles being read as a split folder with two strange neighbours."""
    layout = read_layout(make_tree({"train": 2, "bus": 2, "car": 2}))
    assert layout.class_names == ["bus", "car", "train"]
    assert names(layout) == {"train": "tree"}


def test_classes_are_sorted_and_not_empty_or_hidden(make_tree):
    """Guards against a class without images changing the size of the head, and against Jupyter's hidden copies."""
    root = make_tree({"b": 1, "a/deep/er": 1, "empty": 0, ".ipynb_checkpoints": 1, "__MACOSX": 1, "10": 1, "9": 1})
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("no image")
    assert read_layout(root).class_names == ["10", "9", "a", "b"]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"train/a": 1, "train/b": 1, "test/c": 1}, "class 'c' is in test but not in"),
        ({"train/ants": 1, "train/bees": 1, "test/ant": 1}, "did you mean 'ants'?"),
        ({"train/a": 1, "Training/b": 1, "test/a": 1}, "one folder for the train split"),
        ({"val/a": 1, "test/a": 1}, "a folder 'train' beside test, val"),
        ({"train/a": 1, "train/b": 1, "test": 3}, "test: expected one folder of images a class .* no class folder"),
        ({".": 3}, "images that lie in no class folder"),
        ({"a": 0}, "no folder with an image in it"),
    ],
)
def test_contradictions_are_refused(make_tree, counts, message):
    """Guards against training on a guess: unlabelled tests, misspelt classes, loose images, empty folders."""
    with pytest.raises(TlxError, match=message):
        read_layout(make_tree(counts))


def test_missing_folder_names_the_nearest(make_tree):
    """Guards against a bare 'not found' for a typo in the middle of a long path."""
    root = make_tree({"hymenoptera/train/a": 1})
    with pytest.raises(TlxError, match=r"did you mean '.*/hymenoptera'\?"):
        read_layout(root / "hymenoptra" / "train")
    file = root / "hymenoptera" / "train" / "a" / "0.png"
    with pytest.raises(TlxError, match="is a file"):
        read_layout(file)


def test_files_below(make_tree):
    """Guards against hidden files, other files, upper-case extensions being missed, and links in a circle."""
    root = make_tree({"a": 2, "a/deep": 1})
    (root / "a" / "0.png").rename(root / "a" / "0.PNG")
    (root / "a" / ".hidden.png").write_bytes(b"")
    (root / "a" / "labels.csv").write_text("")
    os.symlink(root / "a", root / "a" / "deep" / "again")
    assert [p.relative_to(root).as_posix() for p in images_below(root / "a")] == ["a/0.PNG", "a/1.png", "a/deep/0.png"]


def test_find_images(make_tree, monkeypatch):
    """Guards against a lost order, unexpanded patterns, and silence where nothing matches."""
    root = make_tree({"a": 2, "b": 1})
    odd = root / "photo.gif"
    odd.write_bytes(b"")
    monkeypatch.chdir(root)
    found = find_images(["photo.gif", "b", root / "a" / "1.png", "*/0.png"])
    assert [str(p) for p in found] == ["photo.gif", "b/0.png", str(root / "a/1.png"), "a/0.png", "b/0.png"]
    for nothing in ("c", "*.jpg"):
        with pytest.raises(TlxError, match="expected an image, a folder of images or a pattern"):
            find_images([nothing])


def test_hymenoptera_counts_as_published(test_data):
    """Guards against training on the GIF placeholder among the ants, which ImageFolder leaves out: 244, not 245."""
    root = test_data("hymenoptera")
    layout = read_layout(root)
    assert layout.class_names == ["ants", "bees"]
    assert names(layout) == {"train": "train", "test": "val"}
    assert [len(images_below(p)) for p in layout.splits.values()] == [244, 153]
