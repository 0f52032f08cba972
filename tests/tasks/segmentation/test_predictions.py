"""Predicted masks: the files, their names, their areas."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks.segmentation.masks import blobs
from tlx.base.errors import TlxError
from tlx.data.ignored import IGNORED
from tlx.data.reading.images import read_image
from tlx.records.prediction_folder import LIST, SHEET, PredictionFolder
from tlx.tasks.dense.mirrored_names import mirrored_names
from tlx.tasks.segmentation import overlays
from tlx.tasks.segmentation.areas import class_areas
from tlx.tasks.segmentation.background import background_of
from tlx.tasks.segmentation.colours import IGNORED_COLOUR, mask_palette, palette
from tlx.tasks.segmentation.mask_files import decoded, encoded
from tlx.tasks.segmentation.predictions import MaskPredictions

NAMES = ["background", "cytoplasm", "nucleus"]


def photograph(path: Path, height: int = 30, width: int = 40, value: int = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, value, value)).save(path)
    return path


@pytest.fixture
def predictions(tmp_path) -> MaskPredictions:
    """Predictions for three images in two folders, two of one name."""
    paths = [photograph(tmp_path / "photos" / name) for name in ("a/1.png", "b/1.png", "b/2.tif")]
    return MaskPredictions.of(paths, NAMES, [blobs(30, 40, 3, seed) for seed in range(3)])


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_masks_come_back_as_they_were(predictions, tmp_path):
    """Guards against classes that become colours, gray values or indices of a shortened palette."""
    assert len(predictions) == 3
    predictions.save(tmp_path / "out")
    for i, name in enumerate(("a/1", "b/1", "b/2")):
        expected = blobs(30, 40, 3, i)
        assert np.array_equal(predictions.mask(i), expected)
        with Image.open(tmp_path / "out" / "masks" / f"{name}.png") as file:
            assert file.mode == "P"
            assert np.array_equal(np.array(file), expected)
            shown = np.array(file.convert("RGB"))
        assert np.array_equal(shown, palette(NAMES)[expected])
    with (tmp_path / "out" / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["index"], row["name"]) for row in rows] == [(str(i), name) for i, name in enumerate(NAMES)]
    assert [tuple(bytes.fromhex(row["colour"][1:])) for row in rows] == [tuple(c) for c in palette(NAMES).tolist()]


@pytest.mark.parametrize("classes", [1, 2, 17, 255])
def test_any_number_of_classes_and_ignored_pixels_survive_the_file(classes):
    """Guards against a palette of 16 colours that cuts off the higher classes."""
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = np.where(mask < classes, mask, IGNORED).astype(np.uint8)
    content = encoded(mask, [f"class {i}" for i in range(classes)])
    assert np.array_equal(decoded(content), mask)


def test_masks_beyond_pillows_limit_are_read(monkeypatch):
    """Guards against a predicted mask that tlx itself refuses for its size."""
    content = encoded(np.ones((50, 50), dtype=np.uint8), NAMES)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decoded(content).sum() == 2500


def test_one_mask_at_a_time_is_in_memory():
    """Guards against all masks of a thousand photographs in memory at once."""

    def masks() -> Iterator[np.ndarray]:
        for _ in range(8):
            yield np.zeros((1000, 1000), dtype=np.uint8)

    tracemalloc.start()
    held = MaskPredictions.of([Path(f"{i}.png") for i in range(8)], NAMES, masks())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6
    assert held.mask(7).shape == (1000, 1000)


def test_a_mask_for_each_image():
    """Guards against masks that shift by one where an image is left out."""
    with pytest.raises(ValueError, match="shorter"):
        MaskPredictions.of([Path("a.png"), Path("b.png")], NAMES, [np.zeros((2, 2), dtype=np.uint8)])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []),
        (["x/a/1.png", "x/b/1.png"], ["a/1", "b/1"]),
        (["x/1.png"], ["1"]),
        (["x/1.jpg", "x/1.png", "x/2.png"], ["1.jpg", "1.png", "2"]),
        (["x/1.jpg", "x/1.png", "x/1.jpg.tif"], ["1.jpg", "1.png", "1.jpg.tif"]),
        (["x/1.jpg", "x/sub/1.jpg", "x/./sub/../2.jpg"], ["1", "sub/1", "2"]),
        (["x/../../y/1.png", "x/1.png"], ["../y/1", "1"]),
        (["x/1.png", "x/1.png"], ["1", "1"]),
        (["x/a.jpg", "x/b.png", "x/a.png/1.jpg", "x/b.jpg/1.jpg"], ["a.jpg", "b.png", "a.png/1", "b.jpg/1"]),
        (["x/scan.2024.01.png", "x/scan.2024.02.png"], ["scan.2024.01", "scan.2024.02"]),
    ],
)
def test_names_mirror_the_images(paths, names):
    """Guards against two images with one mask, and masks outside their folder."""
    found = mirrored_names([Path(path) for path in paths])
    if any(".." in name for name in names):
        assert not any(".." in name for name in found)
        assert len(set(found)) == len(names)
    else:
        assert found == names


def test_areas_are_pixels_shares_and_pieces(tmp_path):
    """Guards against pieces that touch at a corner and count twice, and pieces of all classes together."""
    mask = np.zeros((6, 8), dtype=np.uint8)
    mask[0, 0] = mask[1, 1] = 1  # one piece, by the corner
    mask[4:, 4:] = 1
    mask[5, 5] = 2
    found = class_areas(mask, 4)
    assert [area.pixels for area in found] == [48 - 9 - 1, 9, 1, 0] == [(mask == i).sum() for i in range(4)]
    assert [area.components for area in found] == [1, 2, 1, 0]
    assert sum(area.share for area in found) == pytest.approx(1)
    held = MaskPredictions.of([Path("x/1.png")], [*NAMES, "platelet"], [mask])
    held.to_csv(tmp_path / "areas.csv")
    held.to_csv(tmp_path / "areas.csv")  # tlx wrote it
    with (tmp_path / "areas.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "class", "pixels", "share", "components"]
    assert rows[2] == ["x/1.png", "cytoplasm", "9", "0.187500", "2"]
    assert len(rows) == 5
    (tmp_path / "mine.csv").write_text("image,label\n")
    with pytest.raises(TlxError, match="which is neither"):
        held.to_csv(tmp_path / "mine.csv")


def test_an_overlay_shows_image_mask_and_borders():
    """Guards against masks over the background, borders that are not drawn, and masks moved against their image."""
    image = np.full((20, 30, 3), 100, dtype=np.uint8)
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[5:15, 10:20] = 2
    shown, colour = overlays.overlay(image, mask, NAMES), palette(NAMES)[2]
    assert (shown[mask == 0] == 100).all()
    assert np.array_equal(shown[5, 10], colour)
    assert np.array_equal(shown[14, 19], colour)
    assert np.array_equal(shown[10, 15], (colour / 2 + 50).astype(np.uint8))


def test_large_overlays_are_reduced(monkeypatch, tmp_path):
    """Guards against an overlay of 10,000 pixels a side that no browser shows."""
    monkeypatch.setattr(overlays, "LONGER_SIDE", 20)
    image = photograph(tmp_path / "wide.png", height=30, width=100)
    MaskPredictions.of([image], NAMES, [blobs(30, 100, 3)]).save(tmp_path / "out")
    with Image.open(tmp_path / "out" / "overlays" / "wide.jpg") as file:
        assert file.size == (20, 6)
    with Image.open(tmp_path / "out" / "masks" / "wide.png") as file:
        assert file.size == (100, 30)


def test_an_image_is_reduced_in_strips_as_it_would_be_whole():
    """Guards against seams and shifted lines in overlays of large images."""
    image = np.random.default_rng(0).integers(0, 256, (3000, 40, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(image).resize((27, 2048), Image.Resampling.BOX))
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    assert np.array_equal(overlays.overlay(image, mask, ["background", "cell"]), whole)


def test_an_image_that_has_changed_is_named(predictions, tmp_path):
    """Guards against a mask stretched over another image; the masks are there all the same."""
    photograph(tmp_path / "photos" / "b" / "2.tif", height=10, width=20)
    with pytest.raises(TlxError, match=r"2\.tif of 40 x 30 pixels, as predicted, got 20 x 10"):
        predictions.save(tmp_path / "out")
    assert len(list((tmp_path / "out" / "masks").rglob("*.png"))) == 3


def test_a_second_prediction_replaces_the_first_and_nothing_else(predictions, tmp_path):
    """Guards against masks of earlier images that are read back with the new ones, and files of others removed."""
    out = tmp_path / "out"
    predictions.save(out)
    with Image.open(out / SHEET) as sheet:
        assert sheet.width > 3 * 160  # three images, enlarged, side by side
    (out / "masks" / "notes.txt").write_text("mine")
    (out / "masks" / "b" / "1.png.tlx-0123456789ab.tmp").write_text("half")  # left by a kill
    MaskPredictions(predictions.paths[:1], NAMES, predictions.masks[:1]).save(out)
    wanted = {"areas.csv", "classes.csv", LIST, SHEET, "masks/1.png", "overlays/1.jpg", "masks/notes.txt"}
    assert files_in(out) == wanted
    assert not (out / "masks" / "b").exists()
    assert read_image(out / "overlays" / "1.jpg").shape == (3, 30, 40)


def test_folders_and_files_of_others_are_refused(predictions, tmp_path):
    """Guards against photographs, or a run, that a prediction is written over."""
    photos = tmp_path / "photos"
    with pytest.raises(TlxError, match="which holds a, b; name another"):
        predictions.save(photos)
    assert files_in(photos) == {"a/1.png", "b/1.png", "b/2.tif"}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TlxError, match="which is not a folder"):
        PredictionFolder(tmp_path / "file").refuse()
    with pytest.raises(TlxError, match=r"expected a writable folder, got .*file is not a folder"):
        PredictionFolder(tmp_path / "file" / "out").refuse()
    out = tmp_path / "out"
    predictions.save(out)
    (out / "masks" / "1.png").write_text("mine")
    with pytest.raises(TlxError, match=r"under the names of predictions in '.*out', got masks/1\.png"):
        MaskPredictions(predictions.paths[:1], NAMES, predictions.masks[:1]).save(out)
    assert (out / "masks" / "1.png").read_text() == "mine"
    assert "masks/a/1.png" in files_in(out)


def test_nothing_is_written_or_removed_through_a_link_or_a_list_of_others(predictions, tmp_path):
    """Guards against a folder from elsewhere whose list or links lead to the user's own files."""
    out, mine = tmp_path / "out", tmp_path / "mine"
    predictions.save(out)
    mine.mkdir()
    (mine / "1.png").write_text("mine")
    names = ["../mine/1.png", str(mine / "1.png"), "masks/a/1.png", "c/1.png", 7]
    (out / LIST).write_text(json.dumps({"written_by_tlx_predict": names}))
    for name in ("masks", "overlays"):
        for sub in ("a", "b"):
            for path in (out / name / sub).iterdir():
                path.unlink()
            os.rmdir(out / name / sub)
    for name in ("areas.csv", "classes.csv", SHEET):
        os.unlink(out / name)
    (out / "c").symlink_to(mine)
    with pytest.raises(TlxError, match="got links"):
        predictions.save(out)
    (out / "c").unlink()
    predictions.save(out)
    assert (mine / "1.png").read_text() == "mine"
    (out / "masks" / "b" / "1.png").unlink()
    (out / "masks" / "b" / "1.png").symlink_to(mine / "1.png")
    with pytest.raises(TlxError, match="got links"):
        predictions.save(out)
    assert (mine / "1.png").read_text() == "mine"


def test_colours_are_distinct_and_the_background_is_black():
    """Guards against two classes of one colour, and a class that looks like the background or an ignored pixel."""
    names = [f"class {i}" for i in range(254)]
    colours = palette([*names[:5], "Background", *names[5:]])
    assert colours[5].tolist() == [0, 0, 0]
    assert len(np.unique(colours, axis=0)) == 255
    assert np.array_equal(palette(names)[:19], palette(["bg", *names])[1:20])  # whatever the background is
    few = colours[:19].astype(int)
    apart = np.abs(few[:, None] - few[None]).sum(axis=2) + 999 * np.eye(19, dtype=int)
    assert apart.min() > 40
    assert np.abs(colours.astype(int) - IGNORED_COLOUR).sum(axis=1).min() > 3
    assert mask_palette(NAMES)[255].tolist() == list(IGNORED_COLOUR)


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (NAMES, 0),
        (["a", "_background_"], 1),
        (["BG", "a"], 0),
        (["a", "b"], None),
        (["no background"], None),
        ([], None),
    ],
)
def test_the_background_is_known_by_its_name(names, index):
    """Guards against the first class of a set without a background that is taken for it."""
    assert background_of(names) == index
