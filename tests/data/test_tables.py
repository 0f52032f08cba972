"""Images named in a table: what it may look like, what is wrong with it, and the set that it makes."""

from __future__ import annotations

import builtins
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from tlx.base.errors import TlxError
from tlx.data import ImageDataModule, folder, load_checked, table
from tlx.data.catalog import source_of
from tlx.data.sources.table_rows import Columns, read_table
from tlx.data.splits.division import content_keys


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def labelled(make_tree) -> Path:
    """A folder with 20 cats and 12 dogs, and a table that names them, without splits."""
    root = make_tree({"cats": 20, "dogs": 12})
    rows = [f"{p.relative_to(root).as_posix()},{p.parent.name}" for p in sorted(root.rglob("*.png"))]
    return write(root / "pets.csv", "\n".join(["path,label", *rows]))


def names(split) -> list[str]:
    return [sample.name for sample in split.samples]


def test_a_table_is_split_as_the_same_images_in_a_folder(labelled):
    """Guards against another split because labels stand in a table."""
    own, same = table(labelled), folder(labelled.parent)
    assert own.class_names == same.class_names
    for part, split in own.splits.items():
        assert set(content_keys(split)) == set(content_keys(same.splits[part]))
        assert {s.name: s.target for s in split.samples} == {s.name: s.target for s in same.splits[part].samples}


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        (("train", "val", "test"), {"train": 12, "val": 10, "test": 10}),
        (("Training", " Valid ", "TESTING"), {"train": 12, "val": 10, "test": 10}),
        (("train", "test", "test"), {"train": 10, "val": 2, "test": 20}),
        (("train", "validation", "val"), {"train": 10, "val": 2, "test": 20}),
        (("train", "train", "train"), {"train": 20, "val": 6, "test": 6}),
    ],
)
def test_splits_of_the_table_are_those_of_folders(labelled, words, sizes):
    """Guards against a split column that is passed over, or that means something else than the folders' names."""
    lines = labelled.read_text().splitlines()
    rows = [f"{line},{words[i % 3 if i < 30 else 0]}" for i, line in enumerate(lines[1:])]
    write(labelled, "\n".join([lines[0] + ",split", *rows]))
    images = table(labelled)
    assert {part: len(split) for part, split in images.splits.items()} == sizes
    if sizes["test"] >= 10:
        expected = {line.split(",")[0] for line, word in zip(lines[1:], [*(words * 10), *words], strict=False)
                    if word == words[2]}  # fmt: skip
        assert {line.split(",")[0] for line in lines[1:31] if line.split(",")[0] in expected} <= set(names(images.test))
    ignored = table(labelled, split_column=None)
    assert {part: len(split) for part, split in ignored.splits.items()} == {"train": 20, "val": 6, "test": 6}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label\ncats/0.png,señor\n", "utf-8-sig"),
        ("path,label\r\ncats/0.png,señor\r\n", "utf-16"),
        ("path;label\ncats/0.png;señor\n", "utf-8"),
        ("path\tlabel\ncats/0.png\tseñor\n", "utf-8"),
        ('"path", "label"\n"cats/0.png", "señor"\n', "utf-8"),
        (" path , label , note\n cats/0.png , señor , 7\n\n,,\n", "utf-8"),
        ("\n\nlabel,path\nseñor,cats/0.png\nseñor,cats/0.png\n", "utf-8"),
    ],
)
def test_what_spreadsheets_write(tmp_path, text, encoding):
    """Guards against marks, separators, quotes, blanks, accents and orders of columns that programs choose."""
    read = read_table(write(tmp_path / "a.csv", text, encoding), Columns())
    assert [(row.path, row.label, row.split) for row in read.rows] == [("cats/0.png", "señor", None)]
    assert read.class_names == ["señor"]


def test_names_with_spaces_and_separators(make_tree):
    """Guards against a file that cannot be named in a table."""
    root = make_tree({"a": 1})
    path = root / "a" / "Chat, été; 1.png"
    (root / "a" / "0.png").rename(path)
    read = table(write(root / "t.csv", f'path,label\n"a/{path.name}",a\n'))
    assert [s.source for split in read.splits.values() for s in split.samples] == [path]


def test_numbers_are_classes_in_their_order(tmp_path):
    """Guards against class 10 before class 2; names that are text stay sorted as text."""
    rows = "\n".join(f"{i}.png,{i}" for i in (10, 2, 9))
    assert read_table(write(tmp_path / "a.csv", f"path,label\n{rows}\n"), Columns()).class_names == ["2", "9", "10"]
    rows = "\n".join(f"{i}.png,c{i}" for i in (10, 2, 9))
    assert read_table(write(tmp_path / "b.csv", f"path,label\n{rows}\n"), Columns()).class_names == ["c10", "c2", "c9"]


def test_columns_and_root_of_ones_own(labelled, tmp_path, node, preprocessing):
    """Guards against tables that must be rewritten, or lie beside their images, before they can be used."""
    text = labelled.read_text().replace("path,label", "file,kind")
    moved = write(tmp_path / "elsewhere.csv", text)
    keys = {"path": str(moved), "root": str(labelled.parent), "path_column": "file", "label_column": "kind"}
    dataset = node("table", **keys)
    assert source_of(dataset).mistakes() == []
    assert source_of(dataset).class_names() == ["cats", "dogs"]
    assert source_of(dataset).num_classes() == 2
    data = ImageDataModule(dataset, preprocessing, seed=0)
    assert data.sizes == {"train": 20, "val": 6, "test": 6}
    assert data.class_names == ["cats", "dogs"]
    assert next(iter(data.train_dataloader()))["image"].shape[1:] == (3, 16, 16)


HEAD = "path,label,split\n"
A = "cats/0.png,cats,train\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "file,label\nx,y\n",
            "a column 'path', got the columns file, label; type dataset.path_col",
        ),
        ("path,lable\nx,y\n", "a column 'label', got the columns path, lable; did you mean 'lable'?"),
        ("path,label\n", "a row for each image, got none"),
        ("", "a table, got an empty file"),
        (HEAD + A + "cats/1.png,,train\n", "a label in every row, got none in row 3 (cats/1.png)"),
        (HEAD + A + ",cats,train\n", "a path in every row, got none in row 3 (cats, train)"),
        (HEAD + A + "cats/1.png,cats,tets\n", "got 'tets' in row 3; did you mean 'test'?"),
        (HEAD + A + "cats/1.png,cats,\n", "a split in every row or in none, got 1 without: cats/1.png"),
        (HEAD + A + "cats/0.png,dogs,train\n", "got cats/0.png as 'cats' and as 'dogs'"),
        (HEAD + A + "cats/0.png,cats,test\n", "got cats/0.png as 'cats' in train and as 'cats' in test"),
        (HEAD + A + "cats/1.png,catz,test\n", "class 'catz' is in test but not in train; did you mean 'cats'?"),
        (HEAD + "cats/1.png,cats,test\n", "training images, got only images for test"),
        ('path,label\n"cats/0.png,cats\n', "a CSV table in UTF-8, got"),
        ("path,label\nx,caf\udce9\n", "a CSV table in UTF-8, got"),
    ],
)
def test_a_wrong_table_is_answered_before_torch(labelled, node, text, words):
    """Guards against a table whose mistake shows as a foreign exception, or as a wrong class."""
    labelled.write_bytes(text.encode("utf-8", "surrogateescape"))
    (mistake,) = source_of(node("table", path=str(labelled))).mistakes()
    assert mistake.path == "dataset.path"
    assert words in str(mistake)
    assert source_of(node("table", path=str(labelled))).class_names() is None
    with pytest.raises(TlxError):
        table(labelled)


def test_a_column_that_is_asked_for_must_be_there(labelled, node):
    """Guards against a split column, misspelt, in whose place splits are carved."""
    (mistake,) = source_of(node("table", path=str(labelled), split_column="spilt")).mistakes()
    assert "expected a column 'spilt', got the columns path, label" in str(mistake)
    assert "dataset.split_column=NAME" in str(mistake)


def test_all_columns_that_are_missing_are_told_at_once(labelled, node):
    """Guards against one mistake after the other, each with the list of columns twice."""
    write(labelled, "filename,class\ncats/0.png,cat\n")
    (mistake,) = source_of(node("table", path=str(labelled))).mistakes()
    told = "expected columns 'path' and 'label', got the columns filename, class; "
    assert f"{told}type dataset.path_column=NAME dataset.label_column=NAME" in str(mistake)


def test_missing_things_are_named(labelled, node):
    """Guards against a table, or images, that are missed after minutes."""
    (mistake,) = source_of(node("table", path=str(labelled.with_name("pet.csv")))).mistakes()
    assert "does not exist" in str(mistake)
    assert f"did you mean '{labelled}'?" in str(mistake)
    (mistake,) = source_of(node("table", path=str(labelled.parent))).mistakes()
    assert "which is a folder" in str(mistake)
    for i in range(7):
        (labelled.parent / "cats" / f"{i}.png").unlink()
    (mistake,) = source_of(node("table", path=str(labelled))).mistakes()
    assert mistake.path == "dataset.root"
    assert "7 of 32 missing: cats/0.png, cats/1.png" in str(mistake)
    assert "dataset.on_bad=skip" in str(mistake)
    skipping = node("table", path=str(labelled), on_bad="skip")
    assert source_of(skipping).mistakes() == []
    assert len(load_checked(skipping).broken) == 7
    (mistake,) = source_of(node("table", path=str(labelled), root="/nowhere", on_bad="skip")).mistakes()
    assert "32 of 32" in str(mistake)
    assert source_of(node("table", path="???")).mistakes() == []
    assert source_of(node("table", path="???")).class_names() is None


def test_folders_and_pipes_in_a_table_are_broken_files(labelled, node):
    """Guards against a folder, or a pipe that would be waited for, where a table names an image."""
    with labelled.open("a") as file:
        file.write("\ncats,cats\n")
    (broken,) = load_checked(node("table", path=str(labelled), on_bad="skip")).broken
    assert broken.reason == "it is a folder, not a file"


def test_parquet(labelled, node, monkeypatch):
    """Guards against labels that arrive as other classes from Parquet than from CSV: numbers, categories, nothing."""
    pyarrow = pytest.importorskip("pyarrow", reason="reading Parquet needs the package pyarrow")
    from pyarrow import parquet

    rows = [line.split(",") for line in labelled.read_text().splitlines()[1:]]
    paths, labels = [row[0] for row in rows], [row[1] for row in rows]
    file = labelled.with_suffix(".parquet")
    kinds = {"text": pyarrow.array(labels), "category": pyarrow.array(labels).dictionary_encode()}
    for kind in kinds.values():
        parquet.write_table(pyarrow.table({"other": [1.5] * 32, "path": paths, "label": kind}), file)
        own, same = table(file), table(labelled)
        assert own.class_names == ["cats", "dogs"]
        assert {part: names(s) for part, s in own.splits.items()} == {part: names(s) for part, s in same.splits.items()}
    numbers = [int(label == "dogs") + 9 for label in labels]
    parquet.write_table(pyarrow.table({"path": paths, "label": numbers}), file)
    assert Counter(row.label for row in read_table(file, Columns()).rows) == {"9": 20, "10": 12}
    assert source_of(node("table", path=str(file))).class_names() == ["9", "10"]
    parquet.write_table(pyarrow.table({"path": paths, "label": [None, *numbers[1:]]}), file)
    assert "a label in every row, got none in row 2" in str(source_of(node("table", path=str(file))).mistakes()[0])
    file.write_bytes(b"no table")
    assert "expected a Parquet table, got" in str(source_of(node("table", path=str(file))).mistakes()[0])
    import_ = builtins.__import__

    def without(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return import_(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    file.write_bytes(b"another")
    assert "pip install 'tlx[parquet]'" in str(source_of(node("table", path=str(file))).mistakes()[0])


def test_a_split_column_in_other_letters_is_not_passed_over(tmp_path):
    """Guards against an official split that is dropped without a word because its column is called Split."""
    path = tmp_path / "t.csv"
    path.write_text("path,label,Split\na.png,x,train\n")
    with pytest.raises(TlxError, match=r"got 'Split'; type dataset\.split_column=Split"):
        read_table(path, Columns())


def beside(labelled: Path, text: str) -> Path:
    """A table beside the images of `labelled`; `A` and `B` are two cats, `C` and `D` two dogs."""
    for letter, path in zip("ABCD", ("cats/0.png", "cats/1.png", "dogs/0.png", "dogs/1.png"), strict=True):
        text = text.replace(letter, path)
    return write(labelled.parent / "own.csv", text)


def test_surplus_values_are_refused(labelled):
    """Guards against classes that lose what follows their comma: 'small, red' and 'small, blue' become one class."""
    with pytest.raises(TlxError, match=r"got 3 values under 2 columns in row 3 \(.*, cat, small\); quote values"):
        read_table(beside(labelled, "path,label\nA,cat,\nB,cat, small\nC,dog\n"), Columns())
    assert len(read_table(beside(labelled, 'path,label\nA,"cat, small",\nC,dog\n'), Columns()).rows) == 2


@pytest.mark.parametrize("other", ["./A", "dogs/../A", "cats//0.png", "linked/0.png", "ROOT/A"])
def test_files_are_compared_and_not_their_spellings(labelled, other):
    """Guards against one file that is tested twice under two labels, or trained and tested on."""
    (labelled.parent / "linked").symlink_to(labelled.parent / "cats")
    other = other.replace("ROOT", str(labelled.parent))
    with pytest.raises(TlxError, match=r"expected one label and one split per image, got cats/0.png as 'cat' and, as "):
        table(beside(labelled, f"path,label\nA,cat\nC,dog\n{other},dog\n"))
    with pytest.raises(TlxError, match=r"'cat' in train and, as .*, as 'cat' in test"):
        table(beside(labelled, f"path,label,split\nA,cat,train\nC,dog,train\nD,dog,test\n{other},cat,test\n"))
    node = {"_target_": "tlx.data.table", "path": str(beside(labelled, f"path,label\nA,cat\nC,dog\n{other},dog\n"))}
    (told,) = source_of(node).mistakes()
    assert "expected one label and one split per image" in told.hint
    alike = table(beside(labelled, f"path,label\nA,cat\nB,cat\nC,dog\nD,dog\n{other},cat\n"))
    assert sum(len(split) for split in alike.splits.values()) == 4


def test_paths_of_windows_are_read(labelled):
    """Guards against 'not there' for a table that was written on Windows, beside its images."""
    text = labelled.read_text()
    own = write(labelled.parent / "windows.csv", text.replace("/", "\\"))
    images, same = table(own), table(labelled)
    assert images.notes == ("32 paths of the table contain \\, which is read as /",)
    assert {part: len(split) for part, split in images.splits.items()} == {p: len(s) for p, s in same.splits.items()}
    assert source_of({"_target_": "tlx.data.table", "path": str(own)}).mistakes() == []


def test_paths_in_another_unicode_form_are_read(labelled):
    """Guards against 'not there' for a table of a Mac, whose `é` has two characters, and two classes of one name."""
    (labelled.parent / "cats").rename(labelled.parent / "chats été")
    text = labelled.read_text().replace("cats/", unicodedata.normalize("NFD", "chats été/"))
    labels = text.replace(",cats", ",é").replace("0.png,é", unicodedata.normalize("NFD", "0.png,é"))
    own = write(labelled.parent / "mac.csv", labels)
    assert source_of({"_target_": "tlx.data.table", "path": str(own)}).mistakes() == []
    images = table(own)
    assert images.class_names == ["dogs", "é"]
    assert all(sample.source.is_file() for split in images.splits.values() for sample in split.samples)


def test_ids_without_extension(labelled):
    """Guards against a dead end for tables with ids of images, as most competitions have them."""
    own = write(labelled.parent / "ids.csv", labelled.read_text().replace(".png", ""))
    node = {"_target_": "tlx.data.table", "path": str(own)}
    (told,) = source_of(node).mistakes()
    assert (told.path, told.hint) == (
        "dataset.extension",
        "files of these names with .png exist: type dataset.extension=.png",
    )
    assert source_of({**node, "extension": ".png"}).mistakes() == []
    images, same = table(own, extension=".png"), table(labelled)
    assert [s.source for s in images.train.samples] == [s.source for s in same.train.samples]
    assert table(labelled, extension=".png").train == same.train
    assert source_of({**node, "extension": ".png"}).identity() != source_of(node).identity()


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_the_first_line_of_excel_is_no_heading(labelled, first):
    """Guards against 'no column path' for what Excel writes, and against rows that are told by wrong numbers."""
    rows = labelled.read_text().replace(",", ";")
    assert table(write(labelled.parent / "excel.csv", first + rows)).train == table(labelled).train
    with pytest.raises(TlxError, match="in row 4 "):
        read_table(beside(labelled, first + "path;label\nA;cat\nB;\n"), Columns())


def test_labels_that_say_there_is_none_are_told(labelled):
    """Guards against a class NA of all images that nobody has labelled."""
    (note,) = table(write(labelled, labelled.read_text().replace(",dogs", ",NA"))).notes
    assert note.startswith("12 images have the class 'NA': ")
    assert not table(write(labelled, labelled.read_text().replace(",NA", ",Nancy"))).notes


@pytest.mark.parametrize(
    ("column", "values", "typed"),
    [
        ("is_valid", ("True", "False"), "type dataset.split_column=is_valid"),
        ("test", ("0", "1"), "type dataset.split_column=test"),
        ("set", ("train", "test"), "type dataset.split_column=set"),
        ("whatever", ("Training", "valid"), "type dataset.split_column=whatever"),
        ("fold", ("0", "1", "2"), "dataset.group_column=fold keeps each fold whole"),
        ("set", ("red", "blue"), None),
        ("width", ("0", "1"), None),
        ("is_valid", ("True",), None),
    ],
)
def test_columns_that_look_like_splits_are_told(labelled, column, values, typed):
    """Guards against official splits that are passed over because their column has another name."""
    head, *lines = labelled.read_text().splitlines()
    rows = [f"{line},{values[i % len(values)]}" for i, line in enumerate(lines)]
    images = table(write(labelled, "\n".join([f"{head},{column}", *rows])))
    assert [typed in note for note in images.notes] == ([True] if typed else [])
    if typed and typed.startswith("type"):
        own = table(labelled, split_column=column)
        assert own.notes == ()
        assert len(own.test) == 16


def test_copies_with_contradicting_labels_in_two_splits_are_told(labelled):
    """Guards against a test image that is a training image of another class, and nobody hears of the labels."""
    root = labelled.parent
    (root / "dogs" / "1.png").write_bytes((root / "cats" / "0.png").read_bytes())
    own = beside(labelled, "path,label,split\nA,cat,train\nC,dog,train\nB,cat,test\nD,dog,test\n")
    found = load_checked({"_target_": "tlx.data.table", "path": str(own)}).findings(None)
    told = "1 test image is identical to one of another class in train: dogs/1.png (dog) is cats/0.png (cat)"
    assert any(line.startswith(told) for line in found), found
