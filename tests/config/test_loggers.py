"""`logger` takes one option of its group, or a list of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tlx.base.allowed import VARIABLE
from tlx.base.errors import ConfigError
from tlx.building import loggers
from tlx.config import check_command_line, compose
from tlx.config.receiver import not_taken, received
from tlx.config.stored import malformed

SMALL = ("backbone=small_cnn", "dataset=digits", "run_dir=here")
TENSORBOARD = {
    "_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": "here", "name": "", "version": "",
    "default_hp_metric": False,
}  # fmt: skip
WANDB = "pytorch_lightning.loggers.WandbLogger"


def logger_of(*overrides: str, config_dir: Path | None = None) -> dict[str, Any]:
    return OmegaConf.to_container(compose([*SMALL, *overrides], config_dir).logger, resolve=True)  # type: ignore[return-value]


def mistakes(*overrides: str, config_dir: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose([*SMALL, *overrides], config_dir)
    return [str(mistake) for mistake in caught.value.mistakes]


def own(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder


def test_one_logger_is_stored_as_it_always_was():
    """Guards against a config.yaml, and keys on a command line, that are others than those of earlier runs."""
    assert logger_of() == logger_of("logger=tensorboard") == logger_of("logger=[tensorboard]") == TENSORBOARD
    assert list(logger_of()) == list(TENSORBOARD)
    assert logger_of("logger.save_dir=there", "logger.max_queue=3") == {
        **TENSORBOARD, "save_dir": "there", "max_queue": 3,
    }  # fmt: skip
    assert logger_of("logger=none") == {"_target_": None}
    assert compose([*SMALL, "logger=[tensorboard,csv]"]).run_name == compose([*SMALL, "logger=none"]).run_name


def test_a_list_holds_each_logger_below_its_name(tmp_path):
    """Guards against loggers of a list that are merged into one, on a command line and in an experiment."""
    both = logger_of("logger=[tensorboard,csv]", "logger.csv.flush_logs_every_n_steps=7")
    assert both["tensorboard"] == TENSORBOARD
    assert both["csv"]["flush_logs_every_n_steps"] == 7
    text = "# @package _global_\ndefaults:\n  - override /logger: [csv, tensorboard]\n"
    folder = own(tmp_path / "own", "experiment/both.yaml", text)
    found = logger_of("experiment=both", config_dir=folder)
    assert list(found) == ["csv", "tensorboard"]
    assert found["tensorboard"] == TENSORBOARD
    assert not check_command_line([*SMALL[:2], "logger=[tensorboard,csv],none"], None, multirun=True)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["logger=[]"], "an empty list"),
        (["logger=[none,csv]"], "'none' in a list"),
        (["logger=[tensorbord,csv]"], "did you mean 'tensorboard'?"),
        (["logger=[tensorboard,csv]", "logger.prefix=x"], "type: logger.tensorboard.prefix=…"),
        (["logger=[tensorboard,csv]", "logger.csv.prefx=x"], "did you mean 'prefix'?"),
        (["logger=[tensorboard,csv]", "logger.csv._target_=null"], "logger.csv._target_"),
        (["logger=csv", "logger.flush_logs_every_n_steps=0"], "at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_a_list_is_told(typed, expected):
    """Guards against a key of no logger that is dropped, and a list that stands for another choice."""
    assert any(expected in one for one in mistakes(*typed))


def test_a_users_own_option_without_a_name_of_its_keys_stands_alone(tmp_path):
    """Guards against two nodes that Hydra merges into one in silence."""
    node = "_target_: pytorch_lightning.loggers.CSVLogger\nsave_dir: x\n"
    folder = own(tmp_path / "own", "logger/mine.yaml", node)
    assert logger_of("logger=mine", config_dir=folder)["save_dir"] == "x"
    (found,) = mistakes("logger=[tensorboard,mine]", config_dir=folder)
    assert "start its file with `mine:`" in found


def test_a_missing_package_is_told_in_one_line(monkeypatch):
    """Guards against an ImportError after the network was built, and a folder `wandb` that is taken for the package."""
    monkeypatch.setenv(VARIABLE, "")
    for spec in (None, type("Namespace", (), {"origin": None})):
        monkeypatch.setattr(loggers, "find_spec", lambda name, spec=spec: spec)
        (found,) = mistakes("logger=[tensorboard,wandb]")
        assert found.startswith("logger.wandb: expected the package wandb, got none")
        assert "pip install 'tlx[wandb]'" in found
        (found,) = mistakes("logger=mlflow")
        assert "pip install 'tlx[mlflow]'" in found


def test_a_file_alone_sends_no_figures_away(tmp_path, loggers_installed):
    """Guards against options of somebody else that log the receiver's figures to their own server."""
    text = "# @package _global_\ndefaults:\n  - override /logger: [tensorboard, wandb]\n"
    folder = own(tmp_path / "own", "experiment/spy.yaml", text)
    (found,) = mistakes("experiment=spy", config_dir=folder)
    assert found.startswith("logger.wandb._target_: expected a _target_ of pytorch_lightning.loggers.CSVLogger")
    assert "type logger=wandb" in found
    assert logger_of("logger=[tensorboard,wandb]")["wandb"]["_target_"] == WANDB  # typed


def test_a_stored_list_is_read_and_not_taken(loggers_installed):
    """Guards against a run of several loggers that cannot be read again, and against its tracking server."""
    config = OmegaConf.to_container(compose([*SMALL, "logger=[tensorboard,wandb]"]), resolve=True)
    assert not list(malformed(config))
    assert received(config, "here")["logger"] == TENSORBOARD
    assert f"logger {WANDB}" in not_taken(config)
    config["logger"]["wandb"]["project"] = 3
    assert [mistake.path for mistake in malformed(config)] == ["logger.wandb.project"]
    config["logger"] = {"wandb": {"project": "x"}}
    assert [mistake.path for mistake in malformed(config)] == ["logger.wandb._target_"]
