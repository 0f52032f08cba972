from __future__ import annotations

import numpy as np
import pytest
import torch

from tlx.base.errors import TlxError
from tlx.config.naming import look_again
from tlx.data import arrays
from tlx.data.catalog import source_of
from tlx.data.checked import load_checked


def images(count: int, channels: int | None = None) -> np.ndarray:
    shape = (count, 9, 7) if channels is None else (count, 9, 7, channels)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def labels(count: int, *, column: bool = False) -> np.ndarray:
    values = np.arange(count) % 3
    return values[:, None] if column else values


def test_medmnist_s_layout(tmp_path):
    """Guards against images on their side, labels of another row, and splits that get mixed up."""
    path = tmp_path / "set.npz"
    parts = {"train": 30, "val": 9, "test": 12}
    held = {}
    for part, count in parts.items():
        held |= {f"{part}_images": images(count, 3), f"{part}_labels": labels(count, column=True)}
    np.savez(path, **held)
    found = arrays(path)
    assert {name: len(split) for name, split in found.splits.items()} == parts
    assert found.class_names == ["0", "1", "2"]
    for part, split in found.splits.items():
        assert torch.equal(split.pixels, torch.from_numpy(held[f"{part}_images"]).permute(0, 3, 1, 2))
        assert [s.target for s in split.samples] == held[f"{part}_labels"][:, 0].tolist()
    assert found.carved == frozenset()


def test_keras_and_undivided_layouts(tmp_path):
    """Guards against a test split that is carved again, or one that is missed."""
    np.savez(tmp_path / "keras.npz", x_train=images(30), y_train=labels(30), x_test=images(12), y_test=labels(12))
    keras = arrays(tmp_path / "keras.npz")
    assert [len(s) for s in keras.splits.values()] == [24, 6, 12]
    assert keras.carved == {"val"}
    assert keras.train.pixels.shape == (30, 1, 9, 7)
    np.savez(tmp_path / "whole.npz", images=images(30), labels=labels(30) + 5, class_names=np.array(list("abcdefgh")))
    whole = arrays(tmp_path / "whole.npz")
    assert whole.class_names == list("abcdefgh")
    assert {s.target for split in whole.splits.values() for s in split.samples} == {5, 6, 7}
    assert whole.carved == {"val", "test"}


def test_the_catalog_knows_it_before_it_is_loaded(tmp_path, node):
    """Guards against a head of another size, and against two files with one name for a run."""
    path = tmp_path / "set.npz"
    np.savez(path, images=images(30), labels=labels(30) * 4)
    dataset = node("arrays", path=str(path))
    assert source_of(dataset).class_names() == arrays(path).class_names == ["0", "4", "8"]
    some = node("arrays", path=str(path), classes=[8, 0])
    assert source_of(some).class_names() == ["8", "0"]
    chosen = load_checked(some)
    assert chosen.images.class_names == ["8", "0"]
    assert sum(len(split) for split in chosen.images.splits.values()) == 20
    by_row = {s.name: s.target for split in chosen.images.splits.values() for s in split.samples}
    assert all((labels(30) * 4)[int(name.split()[1])] == (8, 0)[target] for name, target in by_row.items())
    before = source_of(dataset).identity()
    np.savez(path, images=images(31), labels=labels(31) * 4)
    look_again()
    assert source_of(dataset).identity() != before
    assert [m.path for m in source_of(node("arrays", path=str(path), classes=[8, 5])).mistakes()] == ["dataset.classes"]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"pictures": images(3)}, "expected arrays train_images and train_labels"),
        ({"images": images(3).astype(float), "labels": labels(3)}, "expected uint8 images"),
        ({"images": images(3), "labels": labels(4)}, "expected a label for each of 3 images"),
        ({"images": images(3), "labels": labels(3) / 2}, "expected whole numbers"),
        ({"images": images(3), "labels": np.array([{}, {}, {}])}, "expected plain numbers or texts"),
        ({"images": images(3), "labels": labels(3), "class_names": np.array(["a"])}, "expected labels from 0 to 0"),
    ],
)
def test_files_that_are_not_understood(held, expected, tmp_path):
    """Guards against guesses, and against objects in a file, which could run code."""
    np.savez(tmp_path / "set.npz", **held)
    with pytest.raises(TlxError, match=expected):
        arrays(tmp_path / "set.npz")


def test_no_such_file(tmp_path, node):
    """Guards against a traceback of numpy's."""
    (tmp_path / "usps.npz").write_bytes(b"no archive")
    with pytest.raises(TlxError, match=r"expected a \.npz file"):
        arrays(tmp_path / "usps.npz")
    with pytest.raises(TlxError, match=r"did you mean '.*usps.npz'"):
        arrays(tmp_path / "usp.npz")
    assert "did you mean" in str(source_of(node("arrays", path=str(tmp_path / "usp.npz"))).mistakes()[0])


def test_usps(test_data):
    """The canonical split of the real set."""
    found = arrays(test_data("usps") / "usps.npz")
    assert [len(s) for s in found.splits.values()] == [5833, 1458, 2007]
    assert found.class_names == [str(k) for k in range(10)]
