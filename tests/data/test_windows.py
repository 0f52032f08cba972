"""`dataset.window`: which values are shown, in images of more than 8 bits, everywhere alike and never mixed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tlx
from tlx import compose
from tlx.base.errors import ConfigError
from tlx.config.naming import identity
from tlx.data import ImageDataModule, load_checked
from tlx.data.catalog import source_of
from tlx.data.reading.images import read_image
from tlx.data.reading.pixels import read_pixels
from tlx.data.reading.windows import windowed
from tlx.features.keys import label


def save(path: Path, values: list[float], kind: type) -> Path:
    Image.fromarray(np.array([values], dtype=kind)).save(path)
    return path


@pytest.mark.parametrize(("name", "kind"), [("a.png", np.uint16), ("a.tif", np.uint16), ("a.tif", np.float32)])
def test_more_than_eight_bits_in_a_window(tmp_path, name, kind):
    """Guards against 12 bits in a file of 16 that arrive nearly black, though their range was said."""
    path = save(tmp_path / name, [0, 1000, 2048, 3096, 4096, 60_000], kind)
    assert read_pixels(path, 1, window=(2048, 4096)).tolist() == [[0, 62, 128, 193, 255, 255]]
    assert read_image(path, 3, window=(2048, 4096))[:, 0, 1].tolist() == [62, 62, 62]
    if kind is np.uint16:
        assert read_pixels(path, 1).tolist() == [[0, 4, 8, 12, 16, 233]]  # of 65,535, as ever


def test_negative_values(tmp_path):
    """Guards against Hounsfield units in TIFF files cut off at 0."""
    for kind in (np.int32, np.float32):
        path = save(tmp_path / "a.tif", [-2000, -160, 40, 240, 2000], kind)
        assert read_pixels(path, 1, window=(40, 400)).tolist() == [[0, 0, 128, 255, 255]]


def test_eight_bits_have_no_window(tmp_path):
    """Guards against photographs beside scans, turned black by the scans' window."""
    path = save(tmp_path / "a.png", [0, 100, 255], np.uint8)
    assert read_pixels(path, 1, window=(2048, 4096)).tolist() == [[0, 100, 255]]


def test_nothing_but_numbers_comes_out():
    """Guards against NaN and infinity, which become any number at all as uint8."""
    values = np.array([np.nan, -np.inf, np.inf, 0.5])
    assert windowed(values, (0.5, 1.0)).tolist() == [0, 0, 255, 128]


@pytest.mark.parametrize("window", [[40], [40, 0], [40, -4], [1, 2, 3], ["a", 2], "wide", 7])
def test_a_wrong_window_is_told_before_torch(window):
    """Guards against a division by zero in every reading process."""
    with pytest.raises(ConfigError, match=r"dataset\.window"):
        compose(["backbone=small_cnn", f"dataset.window={window}".replace("'", "")])


def test_a_right_window_composes(node):
    """Guards against windows with negative centres refused, and runs before there were windows trained again."""
    assert compose(["backbone=small_cnn", "dataset.window=[-600,1500]"]).dataset.window == [-600, 1500]
    assert source_of(node("digits", window=[0.5, 1e-3])).mistakes() == []
    with_window, without = (compose(["backbone=small_cnn", f"dataset.window={w}"]) for w in ("[1,2]", "null"))
    assert with_window.run_name != without.run_name
    assert "window" not in identity(without)["dataset"]


@pytest.fixture
def tree(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "deep" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((rng.integers(0, 1000, (20, 24)) + 1000 * (i % 2)).astype(np.uint16)).save(path)
    return tmp_path / "deep"


def test_images_that_arrive_black_are_told_of(tree, node):
    """Guards against scans of 12 bits that are trained on as black pictures, without a word, the second time too."""
    for _ in range(2):
        (line,) = [line for line in load_checked(node("folder", root=str(tree))).findings(16) if "black" in line]
        assert line.endswith("of 65,535, so they appear nearly black; dataset.window=[1024,2048] shows 0 to 2,048")
        assert line.startswith("40 images have more than 8 bits but no value above 1,9")
    told = load_checked(node("folder", root=str(tree), window=[1024, 2048])).findings(16)
    assert not [line for line in told if "black" in line]


def first(data: ImageDataModule, split: str) -> torch.Tensor:
    loader = data.train_dataloader() if split == "train" else data.val_dataloader()
    images = {int(i): image for batch in loader for i, image in zip(batch["index"], batch["image"], strict=True)}
    return torch.stack([images[i] for i in sorted(images)])


@pytest.mark.parametrize("augment", ["none", "light"])
def test_two_windows_share_nothing(tree, node, preprocessing, augment):
    """Guards against pixels, or what frozen layers make of them, that were computed in another window."""
    windows = {"narrow": [500, 1000], "wide": [2048, 4096], "none": None}
    sets = {
        name: ImageDataModule(node("folder", root=str(tree), augment=augment, window=w), preprocessing, seed=0)
        for name, w in windows.items()
    }
    for split in ("train", "val"):
        for view in (None, 0):
            assert len({label(data.drawing(split, view)) for data in sets.values()}) == 3
        for _ in range(2):  # the second time from the images that were kept
            shown = {name: first(data, split) for name, data in sets.items()}
            means = [float(images.float().mean()) for images in shown.values()]
            assert means[0] > means[1] + 30 > means[2] + 60, (split, means)
    assert sets["none"].drawing("train", None) == {"decode": "full"}  # rows from before there were windows are found
    reduced = ImageDataModule(node("folder", root=str(tree), decode="reduced"), preprocessing, seed=0)
    assert reduced.drawing("train", None) == {"decode": "reduced"}


def test_a_target_domain_has_a_window_of_its_own(tree, node, preprocessing):
    """Guards against images of another scanner shown in the window of the first."""
    keys = {"root": str(tree), "augment": "none", "check": False}
    source, target = node("folder", window=[500, 1000], **keys), node("folder", window=[2048, 4096], **keys)
    data = ImageDataModule(source, preprocessing, seed=0, target=target, paired=True)
    batch = next(iter(data.train_dataloader()))
    assert batch["unlabelled"]["image"].max() < 130 < 250 < batch["image"].max()  # of values up to 2,000
    assert data.drawing("train", None)["window"] == [500, 1000]
    assert data.drawing("target_train", None)["window"] == data.drawing("test", None)["window"] == [2048, 4096]


def test_predict_reads_in_the_window_of_the_training(tree, node, preprocessing):
    """Guards against predictions from pixels of another brightness than were trained on."""
    dataset = node("folder", root="/moved/away", window=[1000, 2000])
    data = ImageDataModule(dataset, preprocessing, seed=0)
    files = [tree / "a" / "0.png"]
    (batch,) = data.predict_loader(files)
    plain = ImageDataModule({**dataset, "window": None}, preprocessing, seed=0)
    (dark,) = plain.predict_loader(files)
    assert batch["image"].float().mean() > 40 > dark["image"].float().mean()


@pytest.mark.run
def test_a_run_carries_its_window(tree, tmp_path):
    """Guards against a window that is lost on the way from the command line to the run and back to `predict`."""
    words = ["backbone=small_cnn", "backbone.width=4", "dataset=folder", f"dataset.root={tree}", "logger=none"]
    words += ["dataset.image_size=16", "dataset.channels=1", "dataset.augment=none", "dataset.window=[1000,2000]"]
    words += ["strategy=full", "trainer.stage_epochs=8", "optimizer.lr=1e-2", f"run_dir={tmp_path / 'run'}"]
    run = tlx.train(compose(words))
    assert run.config.dataset.window == [1000, 2000]
    assert run.metrics["test/accuracy"] == 1
    files = sorted(tree.rglob("*.png"))
    assert run.predict(files).labels == [file.parent.name for file in files]


@pytest.mark.run
def test_a_run_that_adapts_predicts_in_the_window_of_its_target(tree, tmp_path, monkeypatch):
    """Guards against images of the target's scanner predicted in the window of the source's."""
    words = ["backbone=small_cnn", "backbone.width=4", "dataset=folder", f"dataset.root={tree}", "logger=none"]
    words += ["dataset.image_size=16", "dataset.window=[1000,2000]", "target=folder", f"target.root={tree}"]
    words += ["target.window=[500,1000]", "strategy=adabn", "trainer.stage_epochs=1", f"run_dir={tmp_path / 'run'}"]
    run = tlx.train(compose(words))
    seen = []

    def spy(dataset, *rest, **keys):
        seen.append(list(dataset["window"]))
        return ImageDataModule(dataset, *rest, **keys)

    monkeypatch.setattr("tlx.inference.predict.ImageDataModule", spy)
    assert len(run.predict([tree / "a"])) == 20
    assert seen == [[500, 1000]]
