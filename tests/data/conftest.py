"""Small folders of images, and dataset nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tlx.backbones.preprocessing import Preprocessing


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TLX_CACHE", str(folder))
    return folder


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Mapping[str, int]], Path]:
    """Write `{"train/cat": 3, …}`: that many PNG files of 12x8 pixels, no two alike, in each folder."""

    def make(counts: Mapping[str, int], root: Path = tmp_path / "tree") -> Path:
        random = np.random.default_rng(0)
        root.mkdir(exist_ok=True)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = random.integers(0, 256, (8, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{i}.png")
        return root

    return make


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(16, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def node() -> Callable[..., dict[str, Any]]:
    """Return a composed dataset node; keys given override."""

    def make(source: str = "digits", **keys: Any) -> dict[str, Any]:
        common = {
            "channels": 3,
            "image_size": None,
            "batch_size": 8,
            "num_workers": 0,
            "augment": "light",
            "horizontal_flip": True,
            "val_fraction": 0.2,
            "split_seed": 0,
            "labels_per_class": None,
            "fraction": None,
            "subset_seed": 0,
            "check": True,
            "on_bad": "stop",
        }
        return {"_target_": f"tlx.data.{source}", "name": source, **common, **keys}

    return make
