from __future__ import annotations

import ast
import re
import shlex
import socket
import time
import zipfile
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image

from tests.data.official_layouts import BUILDERS, idx, level
from tlx.base.errors import TlxError
from tlx.data import ImageDataModule, torchvision_set
from tlx.data.reading.images import read_image
from tlx.data.sources.torchvision_table import TORCHVISION


@pytest.fixture
def any_checksum(monkeypatch):
    """Let torchvision accept files whose checksum is not that of the real ones."""
    for module in ("cifar", "flowers102", "stl10", "svhn", "semeion", "fer2013", "mnist", "imagenet"):
        there = lambda path, md5=None: Path(path).is_file()  # noqa: E731
        monkeypatch.setattr(getattr(torchvision.datasets, module), "check_integrity", there)


def test_there_is_a_layout_for_every_set():
    """Guards against a set in the table that no test has ever loaded."""
    assert set(BUILDERS) == set(TORCHVISION)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TORCHVISION))
def test_official_splits_labels_and_images(tmp_path, name, any_checksum, node, preprocessing):
    """Guards against mixed-up splits, labels off by one, images beside their labels, and a wrong layout of pixels."""
    known = TORCHVISION[name]
    BUILDERS[name](tmp_path)
    images = torchvision_set(name, tmp_path, download=False, val_fraction=0.25, test_fraction=0.25)
    sizes = {part: len(split) for part, split in images.splits.items()}
    classes = {"semeion": 10, "rendered_sst2": 2}.get(name, 3)
    train = {"cifar10": 5}.get(name, 1) * 4 * classes
    if known.test is None:
        assert sizes == {"train": 2 * classes, "val": classes, "test": classes}
    elif known.val is None:
        assert sizes == {"train": train * 3 // 4, "val": train // 4, "test": 4 * classes}
    else:
        assert sizes == {"train": train, "val": 4 * classes, "test": 4 * classes}
        assert images.rule == "official train, val and test splits"
    for part, split in images.splits.items():
        written_as = "train" if known.test is None or (part, known.val) == ("val", None) else part
        for sample in split.samples:
            image = read_image(sample.source) if isinstance(sample.source, Path) else split.pixels[sample.source]
            assert image.shape[0] == (known.channels if split.in_memory else 3)
            if name == "semeion":
                assert int((image[0, :-1].float().mean(1) == 255).sum()) == min(sample.target + 1, 15)
            else:
                assert abs(int(image.float().median()) - level(sample.target, written_as)) <= 1, sample
    if known.names:
        assert images.class_names == list(known.names)
    else:
        expected = {"country211": ["AD", "AE", "ZW"], "flowers102": torchvision.datasets.Flowers102.classes}
        things = [f"thing {t}" for t in range(classes)]
        found = [re.sub(r"^\d+\.|^t/|, synonym$", "", n).lower() for n in images.class_names]
        assert found == [n.lower() for n in expected.get(name, things)]
    keys = {"name": name, "root": str(tmp_path), "download": False, "test_fraction": 0.25, "val_fraction": 0.25}
    batch = next(iter(ImageDataModule({**node("torchvision_set"), **keys}, preprocessing, 0).val_dataloader()))
    assert batch["image"].shape[1:] == (3, 16, 16)


def test_emnist_stands_upright(tmp_path):
    """Guards against letters that lie on their side: EMNIST's files hold rows and columns exchanged."""
    BUILDERS["emnist_letters"](tmp_path)
    lying = np.zeros((12, 28, 28), dtype=np.uint8)
    lying[:, :14] = 255  # upper half in the file: left half of the letter
    lying[:, 27, 27] = range(12)
    idx(tmp_path / "EMNIST/raw/emnist-letters-train-images-idx3-ubyte", lying)
    pixels = torchvision_set("emnist_letters", tmp_path).train.pixels
    assert (pixels[:, 0, :, :14] == 255).all()
    assert (pixels[:, 0, :27, 14:] == 0).all()


def test_real_mnist_digits(test_data, tmp_path, node, preprocessing):
    """Guards against reading real idx files in another way than the same digits as PNG files."""
    with zipfile.ZipFile(test_data("mnist_png") / "mnist_png_subset.zip") as archive:
        for part, prefix in (("train", "train"), ("test", "t10k")):
            names = sorted(n for n in archive.namelist() if n.startswith(f"{part}/") and n.endswith(".png"))[::50]
            digits = np.stack([np.asarray(Image.open(archive.open(n))) for n in names])
            idx(tmp_path / f"MNIST/raw/{prefix}-images-idx3-ubyte", digits)
            idx(tmp_path / f"MNIST/raw/{prefix}-labels-idx1-ubyte", np.array([int(n.split("/")[1]) for n in names]))
    keys = {"name": "mnist", "root": str(tmp_path), "download": True, "augment": "none", "channels": 1}
    data = ImageDataModule({**node("torchvision_set"), **keys}, preprocessing, seed=0)
    assert data.sizes == {"train": 160, "val": 40, "test": 200}
    assert set(Counter(s.target for s in data.splits["val"].samples).values()) == {4}
    batch = next(iter(data.test_dataloader()))
    assert batch["target"].tolist() == [0] * 8
    assert torch.equal(data.splits["test"].pixels[7, 0], torch.from_numpy(digits[7]))


@pytest.mark.parametrize("name", ["mnist", "cifar10", "flowers102", "food101", "caltech101"])
def test_without_a_network(tmp_path, name, monkeypatch):
    """Guards against a long wait, a foreign traceback, or no word on what to do where there is no network."""

    def no_network(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    start = time.perf_counter()
    with pytest.raises(TlxError, match="download failed") as caught:
        torchvision_set(name, tmp_path / "data")
    assert time.perf_counter() - start < 1
    message = str(caught.value)
    assert f"dataset '{name}'" in message
    assert str(tmp_path / "data") in message
    assert "download=True" in message
    assert "dataset.root=DIR" in message
    assert socket.getdefaulttimeout() is None


def test_not_on_disk(tmp_path):
    """Guards against a download that was forbidden, or that torchvision cannot do."""
    with pytest.raises(TlxError, match=r"data_batch_1 is missing, and dataset\.download is false"):
        torchvision_set("cifar10", tmp_path, download=False)
    with pytest.raises(TlxError, match="cannot download it\nput it there by hand: https"):
        torchvision_set("stanford_cars", tmp_path, download=True)
    with pytest.raises(TlxError, match="did you mean 'cifar10'"):
        torchvision_set("cifar01", tmp_path)


def test_what_is_to_be_typed_runs_nothing_of_a_name(tmp_path):
    """Guards against a folder whose name ends the command that a message proposes, and begins another one."""
    for folder in ('a"; touch mark; "', "$(touch mark)", "a'; touch mark; '", "`touch mark`"):
        with pytest.raises(TlxError) as caught:
            torchvision_set("cifar10", tmp_path / folder, download=False)
        program, option, code = shlex.split(str(caught.value).partition("type: ")[2].partition("\n")[0])
        assert (program, option) == ("python", "-c")
        (call,) = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
        assert ast.literal_eval(call.args[0]) == str(tmp_path / folder)


def test_damaged_files(tmp_path):
    """Guards against training on a half downloaded set: real checksums are compared."""
    BUILDERS["cifar10"](tmp_path)
    with pytest.raises(TlxError, match="damaged or incomplete"):
        torchvision_set("cifar10", tmp_path, download=False)
