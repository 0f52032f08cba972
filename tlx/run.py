"""A run directory: everything that `test` and `predict` need, so that it can be moved elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from tlx.config.check import check
from tlx.config.safety import refuse_foreign_targets
from tlx.errors import ConfigError, TlxError, closest

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing
    from tlx.predictions import Predictions
    from tlx.tasks.base import Task


class Run:
    """A run directory, finished or not.

    Files: `config.yaml` (resolved), `model.json` (architecture, preprocessing, class names), `status.json`,
    `metrics.json` (flat), `metrics.csv` (a row an epoch), `checkpoints/best.ckpt` and `last.ckpt`, TensorBoard events,
    `tlx.log`.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).expanduser()

    def __repr__(self) -> str:
        return f"Run('{self.directory}')"

    # Reading

    @property
    def checkpoints(self) -> Path:
        """The directory of checkpoints."""
        return self.directory / "checkpoints"

    @property
    def status(self) -> dict[str, Any]:
        """`state` (running, finished, failed), and what goes with it; empty where nothing was begun."""
        path = self.directory / "status.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def finished(self) -> bool:
        """Whether it was trained and tested to its end."""
        return self.status.get("state") == "finished"

    @property
    def finished_already(self) -> str:
        """What is said when the same configuration is asked for again."""
        return f"finished already: {self.directory} (force=true trains again)"

    @property
    def metrics(self) -> dict[str, float]:
        """Final figures: `test/accuracy`, `val/accuracy` (both of the best checkpoint), `train/seconds`, …"""
        return json.loads(self._need("metrics.json").read_text(encoding="utf-8"))

    @property
    def config(self) -> DictConfig:
        """The resolved configuration."""
        config = OmegaConf.load(self._need("config.yaml"))
        assert isinstance(config, DictConfig)
        return config

    @property
    def description(self) -> dict[str, Any]:
        """What model.json holds: architecture, preprocessing, layer groups, class names."""
        return json.loads(self._need("model.json").read_text(encoding="utf-8"))

    @cached_property
    def model(self) -> Task:
        """The trained task with its best weights, in eval mode, on the CPU."""
        import torch

        from tlx.backbones.preprocessing import Preprocessing
        from tlx.config.building import build_node

        told, config = self.description, self.config
        refuse_foreign_targets(told["architecture"], str(self.directory / "model.json"))
        refuse_foreign_targets(OmegaConf.to_container(config.task), str(self.directory / "config.yaml"))
        backbone = build_node(told["architecture"], load=False)
        backbone.preprocessing = Preprocessing.from_dict(told["preprocessing"])
        task: Task = build_node(config.task, _partial_=True)(backbone=backbone, class_names=told["class_names"])
        path = self._need("checkpoints/best.ckpt")
        task.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
        return task.eval()

    def test(self, overrides: Sequence[str] = ()) -> dict[str, float]:
        """Evaluate the best checkpoint on the test split.

        Args:
            overrides: Such as `["dataset.root=~/pets"]`, where the images have moved. A source of the user's own, which
                the run directory alone is not trusted to name, is named here: `dataset._target_=mysource.load`.
        """
        config = self._overridden(overrides)
        if not any(o.startswith("dataset._target_=") for o in overrides):  # a source that the user names is trusted
            try:
                refuse_foreign_targets(self.config.dataset, f"{self.directory / 'config.yaml'}, dataset")
            except TlxError as error:
                own = f"dataset._target_={self.config.dataset._target_}"
                raise TlxError(f"{error}; where you trust it: tlx test {self.directory} {own}") from None
        self._need("checkpoints/best.ckpt")  # before torch is imported, which takes seconds
        from tlx.evaluate import evaluate

        return evaluate(self, config)

    def predict(self, images: Sequence[str | Path], batch_size: int = 32) -> Predictions:
        """Return class names and probabilities for image files, folders and globs."""
        self._need("checkpoints/best.ckpt")
        from tlx.predictions import predict

        return predict(self, images, batch_size)

    # Writing, by the process that trains

    def begin(self, config: DictConfig) -> None:
        """Start afresh: remove what an earlier attempt left, write the configuration."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        for pattern in ("events.out.tfevents.*", "metrics.*", "model.json", "hparams.yaml"):
            for path in self.directory.glob(pattern):
                path.unlink()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.write_config(config)
        self.write_status("running")

    def write_config(self, config: DictConfig) -> None:
        """Write the resolved configuration."""
        text = OmegaConf.to_yaml(config, resolve=True)
        _write(self.directory / "config.yaml", f"# tlx test {self.directory}\n{text}")

    def write_status(self, state: str, **more: Any) -> None:
        """Write how the run stands."""
        status = {"state": state, "pid": os.getpid(), "host": socket.gethostname(), "time": time.time(), **more}
        _write(self.directory / "status.json", json.dumps(status, indent=2))

    def describe_model(self, task: Task, preprocessing: Preprocessing, config: DictConfig) -> None:
        """Write model.json, and let every checkpoint carry it and the configuration.

        Args:
            task: The network.
            preprocessing: What its images went through; the size may be another than the backbone's own.
            config: The configuration.
        """
        told = {
            "task": config.task.name,
            "architecture": task.backbone.architecture,
            "preprocessing": preprocessing.to_dict(),
            "group_names": task.backbone.group_names,
            "num_features": task.backbone.num_features,
            "class_names": task.class_names,
        }
        _write(self.directory / "model.json", json.dumps(told, indent=2))
        task.carried = {"model": told, "config": OmegaConf.to_container(config, resolve=True)}

    def finish(self, metrics: dict[str, float]) -> None:
        """Write the final figures and mark the run finished."""
        plain = {key: float(value) for key, value in sorted(metrics.items())}
        _write(self.directory / "metrics.json", json.dumps(plain, indent=2))
        (self.checkpoints / "stage_best.ckpt").unlink(missing_ok=True)  # what a next stage would have started from
        self.write_status("finished")

    # Inside

    def _need(self, name: str) -> Path:
        path = self.directory / name
        if path.is_file():
            return path
        if not self.directory.is_dir():
            parent = self.directory.parent
            beside = [p.name for p in parent.iterdir() if (p / "config.yaml").is_file()] if parent.is_dir() else []
            near = closest(self.directory.name, beside)
            hint = f"; did you mean '{parent / near}'?" if near else ""
            raise TlxError(f"expected a run directory, got '{self.directory}' (no such directory){hint}")
        state = self.status.get("state", "no run")
        raise TlxError(f"expected a finished run with {name}, got '{self.directory}' ({state})")

    def _overridden(self, overrides: Sequence[str]) -> DictConfig:
        bad = [o for o in overrides if "=" not in o]
        if bad:
            raise TlxError(f"expected overrides as key=value, got {', '.join(bad)}")
        config = OmegaConf.merge(self.config, OmegaConf.from_dotlist([o.lstrip("+") for o in overrides]))
        assert isinstance(config, DictConfig)
        plain: Any = OmegaConf.to_container(config, resolve=True)
        # Where the backbone came from is past: its weights are in the checkpoint.
        mistakes = [m for m in check(plain) if not m.path.startswith("backbone")]
        if mistakes:
            raise ConfigError(mistakes)
        return config


def _write(path: Path, text: str) -> None:
    """Write to a file beside it and rename, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + f".{os.getpid()}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
