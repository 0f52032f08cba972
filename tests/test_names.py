"""Names of classes and files that no encoding, table or terminal takes as they are, through a whole run."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlx
from tests.conftest import ROOT
from tlx.base.legible import ESCAPED, composed, escape_what_terminals_lack, legible
from tlx.data.splits.typed_classes import class_called
from tlx.records.prediction_columns import probability_columns

pytestmark = pytest.mark.run
ODD = [b"na\xefve", "thé 🐜".encode(), b"two\nlines", b"true", b"image", b"=1+1"]
NAMES = ["=1+1", "image", r"na\xefve", "thé 🐜", "true", r"two\nlines"]


def pictures(root: Path, names: list[bytes], count: int = 6) -> Path:
    """Write gray pictures, a folder a class; names of folders and files are bytes."""
    random = np.random.default_rng(0)
    for part, images in (("train", count), ("test", 2)):
        for name in names:
            folder = os.path.join(os.fsencode(root), part.encode(), name)
            os.makedirs(folder)
            for i in range(images):
                file = io.BytesIO()
                Image.fromarray(random.integers(0, 255, (16, 16), dtype=np.uint8)).save(file, "PNG")
                with open(os.path.join(folder, b"na\xefve%d.png" % i), "wb") as out:
                    out.write(file.getvalue())
    return root


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory) -> tlx.Run:
    root = pictures(tmp_path_factory.mktemp("odd") / "data", ODD)
    return tlx.train(
        tlx.compose(
            [
                "backbone=small_cnn", "backbone.width=4", "dataset=folder", f"dataset.root={root}",
                "dataset.image_size=16", "dataset.channels=1", "strategy=scratch", "strategy.stages.0.epochs=1",
                "dataset.num_workers=0", "dataset.augment=none", f"run_dir={root.parent / 'run'}",
                "task.class_weights={true: 2.0}",
            ]
        )
    )  # fmt: skip


def test_a_run_ends_whole_whatever_bytes_names_have(odd_run):
    """Guards against a UnicodeEncodeError after hours of training, and a CSV that is cut where the name stands."""
    assert odd_run.status["state"] == "finished"
    assert json.loads((odd_run.directory / "model.json").read_text())["class_names"] == NAMES
    with (odd_run.directory / "test_predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(NAMES)
    assert {row["true"] for row in rows} == set(NAMES)
    assert r"test/na\xefve/na\xefve0.png" in {row["image"] for row in rows}
    review = (odd_run.directory / "review" / "review.md").read_text(encoding="utf-8")
    assert r"na\\xefve" in review
    assert "thé 🐜" in review
    assert {f"{name}.png" for name in ("confusion_matrix", "precision_recall", "reliability")} <= {
        path.name for path in (odd_run.directory / "review").iterdir()
    }
    assert "expected to write" not in (odd_run.directory / "tlx.log").read_text(encoding="utf-8")


def test_both_tables_of_predictions_have_the_same_columns_and_none_twice(odd_run, tmp_path):
    """Guards against a class called `true` or `image` that takes a column's place, and scripts that fit one table."""
    odd_run.predict([odd_run.config.dataset.root]).to_csv(tmp_path / "p.csv")
    headings = []
    for path in (odd_run.directory / "test_predictions.csv", tmp_path / "p.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            heading, *rows = csv.reader(file)
        assert len(set(heading)) == len(heading)
        assert {len(row) for row in rows} == {len(heading)}
        headings.append(heading)
    assert len(rows) == 8 * len(NAMES)
    more = ["distance", "unknown"]  # of images that are compared with known ones
    assert headings[1] == ["image", "predicted", "confidence", *more, *probability_columns(NAMES)]
    assert [name for name in headings[0] if name != "true"] == [name for name in headings[1] if name not in more]


def test_columns_of_classes_are_their_names_unless_two_would_be_alike():
    """Guards against columns that change their names for the sake of a class that nobody has."""
    assert probability_columns(["cat", "dog"]) == ["cat", "dog"]
    assert probability_columns(["true", "image"]) == ["probability of true", "probability of image"]
    for names in (["a", "a", "a (2)"], ["true", "probability of true"], ["confidence"] * 3):
        assert len(set(probability_columns(names))) == len(names)


@pytest.mark.parametrize(
    ("typed", "names", "meant"),
    [
        ("cat", ["cat"], "cat"),
        (0, ["A", "0"], "0"),
        (7, ["007", "8"], "007"),
        (1000.0, ["1e3", "2"], "1e3"),
        (True, ["true", "false"], "true"),
        (False, ["on", "off"], "off"),
        (None, ["null", "a"], "null"),
        (True, ["on", "yes", "true"], "true"),
        ("e\u0301", ["é"], "é"),
        (5, ["A"], "5"),
    ],
)
def test_a_class_is_found_by_what_yaml_made_of_its_name(typed, names, meant):
    """Guards against classes called true, null or 1e3 that cannot be named on the command line."""
    assert class_called(typed, names) == meant


def test_numbers_beside_words_are_keys():
    """Guards against '<' not supported between instances of 'int' and 'str', and against another name for old runs."""
    typed = ["dataset=letters", "dataset.characters=[A,B,0,1]", "backbone=small_cnn"]
    names = {
        tlx.compose([*typed, f"task.class_weights={weights}"]).run_name
        for weights in ("{A: 2.0,0: 3.0}", "{0: 3.0,A: 2.0}", "{A: 2.0,1: 3.0}")
    }
    assert len(names) == 2


def test_what_a_terminal_lacks_is_escaped(monkeypatch):
    """Guards against UnicodeEncodeError where a log, a pipe or an old terminal has no accents."""
    for encoding, shown in (("latin-1", b"th\xe9 \\U0001f41c \\xef"), ("ascii", rb"th\xe9 \U0001f41c \xef")):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        escape_what_terminals_lack()
        print("thé 🐜 \udcef", end="", flush=True)
        assert stream.buffer.getvalue() == shown
    assert "\ud800é".encode("utf-8", ESCAPED) == b"\\ud800\xc3\xa9"
    assert legible(os.fsdecode(b"a\xff\tb")) == r"a\xff\tb"
    assert composed("e\u0301") == "é" != legible("e\u0301")


@pytest.mark.parametrize("columns", ["40", "10"])
def test_the_command_prints_in_ascii_and_on_narrow_terminals(tmp_path, columns):
    """Guards against a check that ends in a traceback over a class called `thé 🐜`, or a terminal of 10 columns."""
    root = pictures(tmp_path / "data", ODD[:2])
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "COLUMNS": columns, "LC_ALL": "C"}
    typed = ["check", "dataset=folder", f"dataset.root={root}", "dataset.image_size=16"]
    done = subprocess.run([sys.executable, "-m", "tlx", *typed], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"th\xe9 \U0001f41c" in done.stdout
    assert rb"na\xefve" in done.stdout


def test_a_path_of_undecodable_bytes_is_refused_before_anything_is_trained(tmp_path):
    """Guards against a run whose config.yaml nobody can read, and a hint that nobody can type."""
    root = pictures(Path(os.fsdecode(os.fsencode(tmp_path / "na") + b"\xefve")), ODD[:2])
    with pytest.raises(tlx.TlxError, match=r"expected a text in UTF-8, got '.*xefve'\n +rename it, or link") as told:
        tlx.compose(["backbone=small_cnn", "dataset=folder", f"dataset.root={root}"])
    assert "1 mistake in" in str(told.value)
