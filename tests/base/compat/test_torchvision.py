"""What tlx uses of torchvision's data sets beyond their documentation is still there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torchvision.datasets as sets
from torchvision.transforms.functional import pil_to_tensor

from tests.data.official_layouts import BUILDERS
from tlx.base.compat import torchvision as compat


def test_images_in_memory_with_their_labels(tmp_path, monkeypatch):
    """Guards against labels of other images, of FER2013, which lies in memory."""
    monkeypatch.setattr(sets.fer2013, "check_integrity", lambda path, md5=None: Path(path).is_file())
    BUILDERS["fer2013"](tmp_path)
    dataset = sets.FER2013(tmp_path, "train")
    samples = compat.samples_of_fer2013(dataset)
    assert len(samples) == len(dataset) > 0
    for (image, label), (expected, target) in zip(samples, dataset, strict=True):
        assert (image[None] == pil_to_tensor(expected)).all()
        assert label == target


@pytest.mark.parametrize(
    ("name", "cls", "split", "samples_of"),
    [
        ("gtsrb", sets.GTSRB, "train", compat.samples_of_gtsrb),
        ("oxford_iiit_pet", sets.OxfordIIITPet, "trainval", compat.samples_of_pets),
    ],
)
def test_files_with_their_labels(name, cls, split, samples_of, tmp_path):
    """Guards against labels of other images, of sets of files, which are opened later than torchvision does."""
    BUILDERS[name](tmp_path)
    dataset = cls(tmp_path, split)
    samples = samples_of(dataset)
    assert len(samples) == len(dataset) > 0
    assert [label for _, label in samples] == [label for _, label in dataset]
    assert all(Path(file).is_file() for file, _ in samples)
