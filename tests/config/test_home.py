"""`~` in paths: no shell expands it after a dotted key, and Hydra's grammar does not take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tlx.config import check_command_line, compose, for_hydra


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("pets/cats/1.jpg", "pets/dogs/1.jpg", "cars/fast/1.jpg", "cars/slow/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_home_directory_is_found(home: Path) -> None:
    """Guards against `dataset.root=~/pets`, as everybody types it, being refused as no key=value."""
    config = compose(["dataset=folder", "dataset.root=~/pets", "output_dir=~"])
    assert config.dataset.root == f"{home}/pets"
    assert config.run_dir.startswith(f"{home}/pets-")


def test_each_value_of_a_sweep_is_found(home: Path) -> None:
    """Guards against a sweep over folders in which only the first is found."""
    overrides = ["dataset=folder", "dataset.root=~/pets,~/cars"]
    assert check_command_line(overrides, None, multirun=True) == []
    assert for_hydra(overrides, None)[1].endswith(f"dataset.root={home}/pets,{home}/cars")


def test_a_deletion_stays_a_deletion(home: Path) -> None:
    """Guards against Hydra's `~key` being taken for the home directory."""
    config = compose(["optimizer=sgd", "~optimizer.nesterov"])
    assert "nesterov" not in config.optimizer or config.optimizer.nesterov is None
