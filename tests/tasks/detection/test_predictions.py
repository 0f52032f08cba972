"""Predicted boxes: the files, what they hold, and pictures with boxes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tasks.detection.boxes import padded
from tlx.base.errors import TlxError
from tlx.data.sources.coco_file import read_coco
from tlx.data.sources.coco_layout import image_files
from tlx.measures.box_drawing import DrawnBox, with_boxes
from tlx.measures.colours import distinct_colour
from tlx.records.prediction_columns import count_columns
from tlx.records.prediction_file import refuse_place
from tlx.tasks.detection.predictions import BoxPredictions

NAMES = ["red cell", "Plättchen, klein"]
THRESHOLDS = torch.tensor([0.5, 0.3])
FOUND = [
    [[10, 5, 30, 25, 0, 0.9], [2, 3, 12, 13.5, 1, 0.4], [20, 20, 30, 28, 0, 0.45], [1, 1, 5, 5, 1, 0.2]],
    [],
    [[0, 0, 40, 30, 1, 0.31]],
]


def photograph(path: Path, height: int = 30, width: int = 40, turn: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", (width, height), (200, 200, 200)).save(path, exif=exif, quality=95)
    return path


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    return [photograph(tmp_path / "photos" / name) for name in ("a/1.jpg", "b/1.jpg", "b/2.jpg")]


def predictions(paths: list[Path], score_threshold: float | None = None) -> BoxPredictions:
    return BoxPredictions.of(paths, NAMES, padded(FOUND), THRESHOLDS, score_threshold)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_boxes_are_listed_from_the_threshold_of_their_class(paths, tmp_path):
    """Guards against one threshold for all classes, and counts of listed boxes that are below it."""
    found = predictions(paths)
    assert len(found) == 3
    assert found.scores(0).tolist() == pytest.approx([0.9, 0.4])
    assert found.classes(0).tolist() == [0, 1]
    assert found.boxes(0).tolist() == [[10, 5, 30, 25], [2, 3, 12, 13.5]]
    assert [found.counts(i).tolist() for i in range(3)] == [[1, 1], [0, 0], [0, 1]]
    low = predictions(paths, 0.25)
    assert low.scores(0).tolist() == pytest.approx([0.9, 0.4, 0.45])
    assert low.counts(0).tolist() == [1, 1]
    high = predictions(paths, 0.8)
    assert high.scores(0).tolist() == pytest.approx([0.9])
    assert high.counts(2).tolist() == [0, 0]
    low.save(tmp_path / "out")
    assert len(json.loads((tmp_path / "out/coco.json").read_text())["annotations"]) == 4
    assert [row["boxes"] for row in rows_of(tmp_path / "out/counts.csv")] == ["2", "0", "1"]


def test_the_folder_has_tables_and_overlays(paths, tmp_path):
    """Guards against missing images in the counts, mixed columns, and names that are not those of the images."""
    predictions(paths).save(tmp_path / "out")
    out = tmp_path / "out"
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    overlays = {f"overlays/{name}.jpg" for name in ("a/1", "b/1", "b/2")}
    assert written == overlays | {
        "boxes.csv",
        "counts.csv",
        "classes.csv",
        "coco.json",
        "predictions.json",
        "sheet.png",
    }
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 3 * 160  # three images, enlarged, side by side
    boxes = rows_of(out / "boxes.csv")
    assert [row["image"] for row in boxes] == [str(paths[0])] * 2 + [str(paths[2])]
    assert [float(boxes[1][name]) for name in ("x1", "y1", "x2", "y2", "score")] == [2, 3, 12, 13.5, 0.4]
    assert boxes[1]["class"] == "Plättchen, klein"
    counts = rows_of(out / "counts.csv")
    assert [(row["image"], row["boxes"], row["red cell"]) for row in counts] == [
        (str(paths[0]), "2", "1"), (str(paths[1]), "0", "0"), (str(paths[2]), "1", "0")
    ]  # fmt: skip
    classes = rows_of(out / "classes.csv")
    assert [row["threshold"] for row in classes] == ["0.500000", "0.300000"]
    assert classes[1]["colour"] == "#{:02x}{:02x}{:02x}".format(*distinct_colour(1))
    BoxPredictions(paths[:1], NAMES, predictions(paths).found[:1], THRESHOLDS.numpy()).save(out)
    assert not (out / "overlays/b").exists()


def test_coco_reads_the_boxes_back(tmp_path):
    """Guards against sizes of turned files, categories from 0 that shift, and names that are not found again."""
    paths = [photograph(tmp_path / "photos" / f"{i}.jpg", turn=turn) for i, turn in enumerate((1, 6, 3))]
    predictions(paths).save(tmp_path / "out")
    held = read_coco(tmp_path / "out/coco.json")
    assert held.categories == tuple(NAMES)
    assert [(image.width, image.height) for image in held.images] == [(40, 30), (30, 40), (40, 30)]
    assert [[one.box for one in image.objects] for image in held.images] == [
        [(10, 5, 20, 20), (2, 3, 10, 10.5)], [], [(0, 0, 40, 30)]
    ]  # fmt: skip
    assert [one.category for one in held.images[0].objects] == NAMES
    assert image_files(tmp_path / "photos", tmp_path / "out/coco.json", held) == paths
    scores = [one["score"] for one in json.loads((tmp_path / "out/coco.json").read_text())["annotations"]]
    assert scores == pytest.approx([0.9, 0.4, 0.31])


def test_overlays_are_upright_and_large_enough_to_read(tmp_path):
    """Guards against boxes on images that still lie on their side, and labels of 3 pixels."""
    path = photograph(tmp_path / "1.jpg", height=30, width=40, turn=6)
    found = BoxPredictions.of([path], NAMES, padded([[[4, 20, 24, 36, 0, 0.9]]]), THRESHOLDS)
    found.save(tmp_path / "out")
    with Image.open(tmp_path / "out/overlays/1.jpg") as file:
        shown = np.array(file).astype(int)
    assert shown.shape[0] / shown.shape[1] == pytest.approx(4 / 3, abs=0.01)
    assert shown.shape[0] >= 640
    scale = shown.shape[0] / 40
    edge = shown[int(28 * scale), int(4 * scale)]
    assert np.abs(edge - distinct_colour(0)).max() < 40
    assert np.abs(shown[int(28 * scale), int(14 * scale)] - 200).max() < 8
    label = shown[int(20 * scale) - 20 : int(20 * scale) - 1, int(4 * scale) : int(4 * scale) + 60]
    assert (np.abs(label - distinct_colour(0)).max(axis=2) < 40).mean() > 0.4


@pytest.mark.parametrize(("height", "width"), [(3000, 1000), (20, 4000), (1, 1), (500, 700)])
def test_pictures_of_any_size_are_drawn(height, width):
    """Guards against pictures that fill a disk or show nothing."""
    image = np.full((height, width, 3), 90, dtype=np.uint8)
    boxes = [DrawnBox((0, 0, width, height), (255, 0, 0), "first"), DrawnBox((-5, -5, 0.1, 0.1), (0, 0, 255), "Ω" * 99)]
    shown = with_boxes(image, boxes)
    assert max(shown.shape) <= 2048
    assert shown.flags.c_contiguous
    assert (shown == (255, 0, 0)).all(axis=2).any()


def test_dashed_boxes_have_gaps():
    """Guards against ignored objects that look like the others."""
    image = np.full((640, 640, 3), 90, dtype=np.uint8)
    box = DrawnBox((100, 100, 500, 300), (255, 0, 0))
    whole, dashed = (
        (with_boxes(image, [one]) == (255, 0, 0)).all(axis=2).sum() for one in (box, box._replace(dashed=True))
    )
    assert 0.3 < dashed / whole < 0.7


def test_no_label_covers_another():
    """Guards against labels of a crowd that are written over one another."""
    image = np.full((640, 640, 3), 90, dtype=np.uint8)
    one, other = (
        DrawnBox((100, 100, 300, 300), (0, 0, 128), "MMMM"),
        DrawnBox((101, 101, 301, 301), (128, 0, 0), "WWWW"),
    )
    alone, both = with_boxes(image, [one]), with_boxes(image, [one, other])
    label = np.s_[80:99, 102:140]
    assert np.array_equal(alone[label], both[label])
    below_it = np.s_[104:118, 103:125]  # the label of the other box had to go into the box
    assert (both[below_it] == (128, 0, 0)).all(axis=2).mean() > 0.3


def test_a_table_alone_is_that_of_counts(paths, tmp_path):
    """Guards against `-o x.csv` that makes a folder, leaves out images without boxes, or cannot be repeated."""
    predictions(paths).save(tmp_path / "x.csv")
    refuse_place(tmp_path / "x.csv")
    predictions(paths).to_csv(tmp_path / "x.csv")
    assert [row["boxes"] for row in rows_of(tmp_path / "x.csv")] == ["2", "0", "1"]


def test_folders_of_others_are_refused(paths, tmp_path):
    """Guards against overlays among the user's own files."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(TlxError, match="expected a new or empty folder"):
        predictions(paths).save(tmp_path / "mine")
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_no_two_columns_of_counts_are_alike():
    """Guards against a class called boxes, or two of one name, whose counts overwrite others."""
    assert count_columns(["boxes", "a", "a"]) == ["image", "boxes", "number of boxes", "a", "a (2)"]
