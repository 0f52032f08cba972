from __future__ import annotations

import errno
import os
import unicodedata

import pytest
from omegaconf import OmegaConf

from tlx.base.errors import TlxError
from tlx.data.catalog import source_of
from tlx.data.checked import load_checked
from tlx.data.files.image_files import find_images, images_below
from tlx.data.sources.folder import folder
from tlx.data.sources.layout import read_layout


def names(layout):
    return {split: path.name for split, (path,) in layout.splits.items()}


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
        (
            {"train/a": 1, "train/b": 1, "test": 3},
            "test: expected one folder of images per class .* outside",
        ),
        ({".": 3}, "images outside class folders"),
        ({"a": 0}, "no folder with images"),
    ],
)
def test_contradictions_are_refused(make_tree, counts, message):
    """Guards against training on a guess: unlabelled tests, misspelt classes, loose images, empty folders."""
    with pytest.raises(TlxError, match=message):
        read_layout(make_tree(counts))


LOOKALIKES = [
    (["training_set", "test_set"], ["ants", "bees"], "'dataset.splits={train: training_set, test: test_set}'"),
    (["train", "dev", "eval"], ["a", "b"], "'dataset.splits={train: train, val: dev, test: eval}'"),
    (["Train Data", "val2"], ["a", "b"], "'dataset.splits={train: \"Train Data\", test: val2}'"),
    (["fold0", "fold1", "fold2"], ["a", "b"], "'dataset.splits={train: [fold0, fold1], test: fold2}'"),
    (["seg_train/seg_train", "seg_test/seg_test"], ["a", "b"], "'dataset.splits={train: seg_train, test: seg_test}'"),
]


@pytest.mark.parametrize(("folders", "classes", "typed"), LOOKALIKES, ids=[" ".join(one[0]) for one in LOOKALIKES])
def test_splits_under_other_names_are_no_classes(make_tree, folders, classes, typed):
    """Guards against a classifier that tells training images from test images: the most common layouts after train/."""
    root = make_tree({f"{folder}/{name}": 3 - i for i, folder in enumerate(folders) for name in classes})
    with pytest.raises(TlxError, match="these look like splits, not like classes") as told:
        read_layout(root)
    assert f"type {typed}, or, if they are classes, 'dataset.splits={{train: .}}'" in str(told.value)
    mapping = OmegaConf.to_container(OmegaConf.create(typed.strip("'").removeprefix("dataset.splits=")))
    layout = read_layout(root, mapping)
    assert layout.class_names == classes
    assert sum(len(images_below(place)) for place in layout.places) == sum(3 - i for i in range(len(folders))) * 2
    assert read_layout(root, {"train": "."}).class_names == sorted(folder.split("/")[0] for folder in folders)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({f"{fold}/{name}": 1 for fold in range(3) for name in "ab"}, '{train: ["0", "1"], test: "2"}'),
        ({f"{name}/{place}": 1 for name in ("cat", "dog") for place in ("indoor", "outdoor")}, "if these are splits"),
        (
            {f"{name}/{part}": 1 for name in ("cat", "dog") for part in ("train", "test")},
            "carves new splits",
        ),
        ({"train/a": 1, "test/a": 1, "dev/a": 1}, "left out, not folders of splits: dev"),
    ],
)
def test_what_may_be_splits_is_said(make_tree, counts, words):
    """Guards against refusing cats and dogs that both lie indoors and outdoors, and against folds that nobody names."""
    (note,) = read_layout(make_tree(counts)).notes
    assert words in note


@pytest.mark.parametrize("counts", [{"train/a": 1, "bus/a": 1}, {"cat/x": 1, "dog/y": 1}, {"a": 1, "b": 1}])
def test_nothing_is_said_of_ordinary_classes(make_tree, counts):
    """Guards against a warning that everybody learns to pass over."""
    assert read_layout(make_tree(counts)).notes == ()


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": "fold0", "test": "fol1"}, "expected a folder in .* for test, got 'fol1'; did you mean 'fold1'"),
        ({"train": ["fold0", "fold0"]}, "expected each folder once, got 'fold0' twice"),
        ({"training": "fold0"}, "expected folders for train and .* got 'training'"),
        ({"test": "fold0"}, "got no train"),
    ],
)
def test_splits_that_are_named_wrongly_are_refused(make_tree, splits, words):
    """Guards against a traceback for a typo, and against images that are trained and tested on."""
    with pytest.raises(TlxError, match=words):
        read_layout(make_tree({f"fold{i}/{name}": 1 for i in range(2) for name in "ab"}), splits)


def test_folders_of_systems_hold_no_images(make_tree):
    """Guards against thumbnails of a NAS in train whose originals are in test."""
    names = ("@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information", "__MACOSX", ".thumbs")
    root = make_tree({"a": 2, "b": 2, **{f"a/{name}/x": 1 for name in names}, **dict.fromkeys(names, 1)})
    layout = read_layout(root)
    assert layout.class_names == ["a", "b"]
    assert [len(images_below(place)) for place in layout.places] == [2, 2]
    assert "left out, system and hidden folders: 2 #recycle, 2 $RECYCLE.BIN, 2 .thumbs" in folder(root).rule


def test_folders_that_may_not_be_read_are_told(make_tree, monkeypatch):
    """Guards against a class, or a part of one, that is missing without a word."""
    root = make_tree({"a": 1, "a/deep": 1, "b": 1})

    def refuse(name, original):
        def refusing(path):
            if os.fspath(path) == str(root / name):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return original(path)

        return refusing

    for name in ("a/deep", "b", "."):
        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", refuse(name, os.scandir))
            patched.setattr(os, "listdir", refuse(name, os.listdir))
            with pytest.raises(TlxError, match="expected a readable folder, got 'Permission denied'"):
                folder(root)


def test_folders_that_may_not_be_read_are_passed_over_where_that_is_asked_for(make_tree, monkeypatch):
    """Guards against a set of a million images that cannot be used for one folder of a backup, and against one that is
    passed over without a word."""
    root = make_tree({"a": 12, "a/deep": 1, "b": 12, "c": 1})
    original = {"scandir": os.scandir, "listdir": os.listdir}

    def refusing(name):
        def look(path="."):
            if os.fspath(path) in {str(root / "a/deep"), str(root / "c")}:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return original[name](path)

        return look

    node = {"_target_": "tlx.data.folder", "root": str(root), "check": False}
    before = source_of({**node, "on_bad": "skip"}).identity()
    for name in original:
        monkeypatch.setattr(os, name, refusing(name))
    assert "on_bad=skip" in str(source_of(node).mistakes()[0])
    skipping = {**node, "on_bad": "skip"}
    assert source_of(skipping).mistakes() == []
    assert source_of(skipping).class_names() == ["a", "b"]
    assert source_of(skipping).identity() not in (before, {"missing": True})
    images = load_checked(skipping).images
    assert sum(map(len, images.splits.values())) == 24
    told = f"left out 2 unreadable folders: {root / 'a/deep'}, {root / 'c'}"
    assert told in images.notes
    with pytest.raises(TlxError, match="expected a readable folder"):
        load_checked(node)


def test_two_unicode_forms_of_a_name_are_one_class(make_tree):
    """Guards against `é` of a Mac and `é` of Linux as two classes, or as one that is not in train."""
    two, one = unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFC", "é")
    layout = read_layout(make_tree({f"train/{one}": 1, "train/b": 1, f"test/{two}": 1, "test/b": 2, f"test/{one}": 1}))
    assert layout.class_names == ["b", one]
    assert {part: len(classes[one]) for part, classes in layout.classes.items()} == {"train": 1, "test": 2}


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


def test_patterns_find_no_thumbnails(make_tree):
    """Guards against predictions for the thumbnails that a NAS keeps beside each image."""
    root = make_tree({"a": 1, "a/@eaDir/0.png": 2, "a/deep": 1})
    assert len(find_images([f"{root}/**/*.png"])) == 2
    assert len(find_images([f"{root}/a/@eaDir/*/*.png"])) == 2


def test_hymenoptera_counts_as_published(test_data):
    """Guards against training on the GIF placeholder among the ants, which ImageFolder leaves out: 244, not 245."""
    root = test_data("hymenoptera")
    layout = read_layout(root)
    assert layout.class_names == ["ants", "bees"]
    assert names(layout) == {"train": "train", "test": "val"}
    assert [len(images_below(p)) for (p,) in layout.splits.values()] == [244, 153]
