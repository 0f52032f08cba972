"""Two small domains with labels in a .npz file each: digits, and other digits, brighter, larger and noisy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.conftest import shared_file


@pytest.fixture(scope="session")
def domains(shared_folder: Path) -> tuple[Path, Path]:
    """The files of both, which all workers have in common."""
    source = shared_file(shared_folder, "domains/source.npz", write_domains)
    return source, source.with_name("target.npz")


def write_domains(source: Path) -> None:
    """Write both; the one that is looked for last."""
    values, labels = load_digits(return_X_y=True)
    images = (values.reshape(-1, 8, 8) * 255 / 16).round()
    images, labels = images[labels < 4], labels[labels < 4]
    rng = np.random.default_rng(0)
    other = 110 + np.kron(images, np.ones((2, 2)))[:, 1:15, 1:15] * 0.45 + rng.normal(0, 25, (len(images), 14, 14))
    half = len(images) // 2
    for name, pixels, rows in (("target", other, slice(half, None)), ("source", images, slice(0, half))):
        chosen = pixels[rows].clip(0, 255).astype(np.uint8)
        np.savez(source.with_name(f"{name}.npz"), images=chosen, labels=labels[rows])


@pytest.fixture
def overrides(domains) -> list[str]:
    source, target = domains
    return [
        "dataset=arrays", f"dataset.path={source}", "dataset.name=one", "target=arrays", f"target.path={target}",
        "target.name=other", "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16",
        "dataset.augment=affine", "target.augment=affine", "dataset.horizontal_flip=false",
        "target.horizontal_flip=false", "optimizer.lr=1e-2", "logger=none", "trainer.stage_epochs=3",
    ]  # fmt: skip
