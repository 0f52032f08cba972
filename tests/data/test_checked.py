"""Sets whose files were opened: what stops a run, what is left out, what is said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tlx.base.errors import TlxError
from tlx.data import checked as checked_module
from tlx.data import load_checked
from tlx.data.checked import load_ahead
from tlx.data.splits.division import content_keys


def spoil(root: Path, *names: str) -> None:
    for name in names:
        (root / name).write_bytes(b"no image: " + name.encode())


def names(split) -> list[str]:
    return [sample.name for sample in split.samples]


def test_all_broken_files_are_named_at_once(make_tree, node, cache):
    """Guards against mending a set file by file, one run for each."""
    root = make_tree({"a": 30, "b": 30})
    broken = [f"a/{i}.png" for i in range(25)]
    spoil(root, *broken)
    with pytest.raises(TlxError) as caught:
        load_checked(node("folder", root=str(root)))
    lines = str(caught.value).splitlines()
    assert lines[0] == "dataset 'folder': 25 broken files"
    assert len([line for line in lines if line.endswith(": it is in no image format that tlx reads")]) == 20
    assert lines[-1].endswith("dataset.on_bad=skip")
    path = Path(lines[-2].split("all of them: ")[1])
    assert path.parent == cache
    told = [line.split("\t")[0] for line in path.read_text().splitlines()]
    assert sorted(told) == sorted(str(root / name) for name in broken)


def test_a_set_that_was_loaded_ahead_is_not_loaded_again(make_tree, node):
    """Guards against files that are listed and looked up twice, and against a set that is handed out for another."""
    dataset = node("folder", root=str(make_tree({"a": 6, "b": 6})))
    load_ahead(dataset)
    other = load_checked({**dataset, "split_seed": 1})
    ahead = load_checked(dict(dataset))
    assert ahead.node == dataset != other.node
    assert load_checked(dataset) is not ahead
    assert not checked_module._ahead


def test_without_a_cache_the_rest_is_to_be_had_from_the_check(make_tree, node, tmp_path, monkeypatch):
    """Guards against a second error while the first is told."""
    root = make_tree({"a": 30, "b": 3})
    spoil(root, *[f"a/{i}.png" for i in range(21)])
    (tmp_path / "file").touch()
    monkeypatch.setenv("TLX_CACHE", str(tmp_path / "file" / "x"))
    with pytest.raises(TlxError, match="and 1 more; all of them: tlx check"):
        load_checked(node("folder", root=str(root)))


def test_skipped_files_move_no_other(make_tree, node):
    """Guards against another test split because a file of another split was left out."""
    root = make_tree({"a": 40, "b": 30})
    spoil(root, "a/3.png", "a/4.png", "b/5.png")
    (root / "b" / "gone.png").symlink_to(root / "nothing")
    whole = load_checked(node("folder", root=str(root), check=True), stop=False)
    skipped = load_checked(node("folder", root=str(root), on_bad="skip"))
    assert {part: names(split) for part, split in whole.splits.items()} == {
        part: names(split) for part, split in skipped.splits.items()
    }
    everything = [sample.name for split in skipped.images.splits.values() for sample in split.samples]
    assert len(everything) == 67
    assert sorted(e.sample.name for e in skipped.broken) == ["a/3.png", "a/4.png", "b/5.png", "b/gone.png"]
    (root / "b" / "gone.png").unlink()
    unchecked = load_checked(node("folder", root=str(root), check=False))
    for part, split in skipped.splits.items():  # where the broken ones would be is kept free
        assert set(names(split)) <= set(names(unchecked.splits[part]))


def test_labels_are_counted_without_the_broken_files(make_tree, node):
    """Guards against ten labels a class of which two cannot be read."""
    root = make_tree({"train/a": 8, "train/b": 8, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2})
    spoil(root, "train/a/0.png", "train/a/1.png")
    checked = load_checked(node("folder", root=str(root), on_bad="skip", labels_per_class=6))
    assert len(checked.splits["train"]) == 12
    with pytest.raises(TlxError, match="too few in: a 6"):
        _ = load_checked(node("folder", root=str(root), on_bad="skip", labels_per_class=7, labels_exact=True)).splits


def test_at_most_so_many_labels_are_taken_and_it_is_told_where_there_are_fewer(make_tree, node):
    """Guards against a set that is refused for its rarest class, and against fewer labels than one believes."""
    root = make_tree({"train/a": 4, "train/b": 8, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2})
    checked = load_checked(node("folder", root=str(root), labels_per_class=5))
    assert Counter(sample.target for sample in checked.splits["train"].samples) == {0: 4, 1: 5}
    said = "labels_per_class=5: 1 class has fewer training images, all of which are used: a 4"
    assert said in checked.report(8)
    assert "labels_per_class" not in load_checked(node("folder", root=str(root), labels_per_class=4)).report(8)


def test_classes_without_images_are_named(make_tree, node):
    """Guards against a class that is a folder and no class, and one that lost all its images to the check."""
    root = make_tree({"train/a": 6, "train/b": 4, "train/c": 0, "val/a": 2, "test/a": 2, "test/b": 1, "val/b": 0})
    spoil(root, "test/b/0.png")
    found = load_checked(node("folder", root=str(root), on_bad="skip")).findings(8)
    assert found == [
        "no images in 2 folders: train/c, val/b",
        "val has no images of 1 class: b",
        "test has no images of 1 class: b",
    ]


def test_without_a_check_nothing_is_opened_that_is_not_split(make_tree, node, monkeypatch):
    """Guards against `check=false` reading a huge set all the same."""
    root = make_tree({"train/a": 3, "train/b": 3, "val/a": 2, "val/b": 1, "test/a": 1, "test/b": 1})
    monkeypatch.setattr(checked_module, "file_facts", None)
    monkeypatch.setattr("tlx.data.splits.division.file_facts", None)
    checked = load_checked(node("folder", root=str(root), check=False))
    assert (checked.opened, checked.broken, checked.findings(999)) == (0, [], [])
    assert "no file was opened, because dataset.check is false" in checked.report(8)


def test_sets_in_memory_are_looked_at_too(node):
    """Guards against findings for files alone."""
    checked = load_checked(node("letters", characters=["A", "B"], per_class=10))
    assert checked.opened == 0
    (line,) = checked.findings(128)
    assert line.startswith("20 of 20 images are far smaller than the input of 128 pixels (shorter side under 64)")
    assert checked.findings(32) == []
    assert "the images are in memory" in checked.report(None)


def test_digits_are_enlarged_without_a_warning(node):
    """Guards against a warning in the first lines that a newcomer sees, of which nothing follows."""
    assert load_checked(node("digits", classes=[0, 1])).findings(64) == []


def test_a_folder_without_images_is_told_in_the_singular(make_tree, node):
    """Guards against 'no image in 1 folders'."""
    found = load_checked(node("folder", root=str(make_tree({"a": 8, "b": 8, "new folder": 0})))).findings(8)
    assert found == ["no images in 1 folder: new folder"]


def test_a_mixed_source_is_looked_at_whole(make_tree, node):
    """Guards against images in memory beside files being taken for copies of one another, or for broken files."""
    root = make_tree({"a": 5})
    own = {**node("x", root=str(root)), "_target_": f"{__name__}.mixed_source"}
    checked = load_checked(own)
    assert checked.opened == 5
    assert checked.findings(16) == []


def mixed_source(root, name, val_fraction, split_seed):
    from tlx.data import ImageSet, Sample, Split, digits

    pixels = digits().train.pixels
    rows = Split([Sample(0, 0, "row 0"), Sample(Path(root) / "a" / "0.png", 1, "file"), Sample(2, 1, "row 2")], pixels)
    files = [Split([Sample(Path(root) / "a" / f"{i + t}.png", t, f"{i + t}") for t in (0, 1)]) for i in (1, 3)]
    return ImageSet(name, ["a", "b"], rows, *files, "by hand")


@pytest.mark.slow
def test_brain_scans(test_data, node):
    """Guards against a real leak going unseen: 15 groups of identical files lie in Training and in Testing."""
    checked = load_checked(node("folder", root=str(test_data("brain_tumor_mri"))))
    assert (checked.opened, checked.broken) == (1194, [])
    in_train, in_val, *similar, copies = checked.findings(224)
    assert in_train.startswith("18 of 394 test images are also in train: Testing/")
    assert in_val.startswith("5 of 394 test images are also in val: Testing/")
    assert " images are copies of another in the same split: T" in copies
    assert [line.split(" near")[0] for line in similar[1:3]] == ["60 test images are", "22 test images are"]
    images = checked.images
    seen = {*content_keys(images.train), *content_keys(images.val)}
    assert len(seen & set(content_keys(images.test))) == 15
