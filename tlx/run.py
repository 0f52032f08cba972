"""A run directory: everything that `test` and `predict` need, so that it can be moved elsewhere."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig, OmegaConf

from tlx.config.amended import amended
from tlx.config.check import check
from tlx.config.naming import difference, identity_hash
from tlx.config.receiver import paths_read, received
from tlx.config.safety import refuse_foreign_targets, trust_typed
from tlx.config.stored import as_config, stored_config
from tlx.environment import environment
from tlx.errors import ConfigError, TlxError, closest
from tlx.files import is_locked, locked, write_text
from tlx.lineage import ancestors, carried_over
from tlx.ownership import OwnFiles
from tlx.printable import one_line
from tlx.records import read_environment, read_metrics, read_model, read_status, unreadable
from tlx.records.escapes import escaped

log = logging.getLogger("tlx")

if TYPE_CHECKING:
    from tlx.backbones.preprocessing import Preprocessing
    from tlx.predictions import Predictions
    from tlx.tasks.base import Task


class Run:
    """A run directory, finished or not.

    Files: `config.yaml` (resolved), `model.json` (architecture, preprocessing, class names), `status.json`,
    `environment.json` (versions, machine, command of each start), `metrics.json` (flat), `metrics.csv` (a row an
    epoch), `test_predictions.csv` (a row a test image), `review/` (pictures and review.md), `checkpoints/best.ckpt` and
    `last.ckpt`, TensorBoard events with `projector/` and `projector_config.pbtxt`, `tlx.log`; `.lock` is held by the
    process that trains; `files.json` lists those that tlx has written, which are the only ones it ever removes.
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
    def place(self) -> str:
        """Its directory as messages name it: in one line."""
        return one_line(self.directory)

    @property
    def files(self) -> OwnFiles:
        """Which of its files tlx has written."""
        return OwnFiles(self.directory)

    @property
    def status(self) -> dict[str, Any]:
        """How the run stands; empty where nothing was begun.

        `state` is `running` (with `pid` and `host`), `finished`, `failed` (with `error` and `traceback`) or
        `interrupted` (with `reason`).
        """
        return read_status(self.directory)

    @property
    def begun(self) -> bool:
        """Whether a process has ever held the directory as a run's."""
        return any(os.path.lexists(self.directory / name) for name in (".lock", "status.json"))

    @property
    def finished(self) -> bool:
        """Whether it was trained and tested to its end."""
        return self.status.get("state") == "finished"

    @property
    def killed(self) -> bool:
        """Whether it says that it is running, and no process runs it."""
        return self.status.get("state") == "running" and not is_locked(self.directory / ".lock")

    def standing(self, config: DictConfig) -> str:
        """Return what there is of the run of a configuration: `finished`, `unfinished` or `nothing`.

        Raises:
            TlxError: The directory holds the run of another configuration.
        """
        if config.force or not self.status:
            return "nothing"
        if self.status.get("identity") not in (None, identity_hash(config)):
            keys = difference(self.config, config)
            if not keys:  # the same keys, and something else behind a path
                raise TlxError(
                    f"expected the images, weights or source run that {self.place} began with, got others behind "
                    "the same paths; force=true trains it anew"
                )
            raise TlxError(
                f"run_dir: expected a new directory or one of this configuration, got '{self.place}' of another "
                f"({keys}); leave run_dir and run_name out, or force=true replaces it"
            )
        if self.finished:
            return "finished"
        return "unfinished" if (self.checkpoints / "last.ckpt").is_file() else "nothing"

    @property
    def finished_already(self) -> str:
        """What is said when the same configuration is asked for again."""
        return f"finished already: {self.place} (force=true trains again)"

    @property
    def metrics(self) -> dict[str, float]:
        """Final figures: `test/accuracy`, `val/accuracy` (both of the best checkpoint), `train/seconds`, …"""
        return read_metrics(self._need("metrics.json").parent)

    @property
    def config(self) -> DictConfig:
        """The resolved configuration; a `${…}` in it is text."""
        return stored_config(self._need("config.yaml").parent)

    @property
    def environment(self) -> list[dict[str, Any]]:
        """Under which circumstances it was started, each time; see tlx/environment.py."""
        return read_environment(self.directory)

    @property
    def description(self) -> dict[str, Any]:
        """What model.json holds: architecture, preprocessing, layer groups, class names."""
        return read_model(self._need("model.json").parent)

    @cached_property
    def model(self) -> Task:
        """The trained task with its best weights, in eval mode, on the CPU."""
        return self.with_weights("best.ckpt")

    def with_weights(self, checkpoint: str) -> Task:
        """Return the trained task with the weights of a checkpoint, in eval mode, on the CPU."""
        from tlx.backbones.preprocessing import Preprocessing
        from tlx.backbones.rebuild import rebuild
        from tlx.checkpoints import read_weights
        from tlx.config.building import build_node

        told, config = self.description, self.config
        file = self.directory / "model.json"
        refuse_foreign_targets(config.task, str(self.directory / "config.yaml"), "task")
        backbone = rebuild(told["architecture"], file)
        backbone.preprocessing = Preprocessing.from_dict(told["preprocessing"])
        task: Task = build_node(config.task, "task", backbone=backbone, class_names=told["class_names"])
        if config.get("classifier") is not None:
            from tlx.features.classical_head import give_classical_head

            reads = tuple(told.get("reads") or ())
            if not reads or not set(reads) <= set(backbone.group_names):
                raise unreadable(file, f"reads: layer groups of {', '.join(backbone.group_names)}", f"{list(reads)}")
            give_classical_head(task, reads)
        path = self._need(f"checkpoints/{checkpoint}")
        weights = read_weights(path)
        try:  # what adapted the network is no part of it
            task.load_state_dict({key: value for key, value in weights.items() if not key.startswith("adaptation.")})
        except (RuntimeError, TlxError) as error:
            got = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
            raise unreadable(path, "the weights of the network in model.json", got or str(error)) from error
        return task.eval()

    def test(self, overrides: Sequence[str] = ()) -> dict[str, float]:
        """Evaluate the best checkpoint on the test split.

        Args:
            overrides: Such as `["dataset.root=~/pets"]`, where the images have moved. A source of the user's own, which
                the run directory alone is not trusted to name, is named here: `dataset._target_=mysource.load`.
        """
        config = self._overridden(overrides)
        self._need("checkpoints/best.ckpt")  # before torch is imported, which takes seconds
        source = str(self.directory / "config.yaml")
        for part in ("dataset", "target"):
            refuse_foreign_targets(config.get(part), source, part)
        typed = {text.lstrip("+").partition("=")[0] for text in overrides}
        stored = [
            path
            for path in paths_read(config)
            if path.partition("=")[0] not in typed | {"backbone.run", "backbone.path"}
        ]
        if stored:
            log.warning("reads %s, as %s says", ", ".join(stored), source)
        from tlx.evaluate import evaluate

        return evaluate(self, config)

    def predict(
        self, images: Sequence[str | Path], batch_size: int = 32, on_bad: Literal["stop", "skip"] = "stop"
    ) -> Predictions:
        """Return class names and probabilities for image files, folders and globs; `on_bad` as `dataset.on_bad`."""
        self._need("checkpoints/best.ckpt")
        from tlx.predictions import predict

        return predict(self, images, batch_size, on_bad)

    # Writing, by the process that trains

    def refuse_place(self) -> None:
        """Refuse a directory that cannot be this run's; nothing is written there.

        Raises:
            TlxError: It holds what is no run of tlx, or a file that would be written is a link.
        """
        self.files.refuse_foreign()
        self.files.refuse_links()

    @contextmanager
    def lock(self) -> Iterator[int]:
        """Be the only process that trains this run; another one is waited for. Yields the handle of the lock."""

        def waiting() -> None:
            now = self.status
            host = one_line(now.get("host"))
            print(f"waiting for process {now.get('pid')} on {host}, which trains {self.place}", flush=True)

        with locked(self.directory / ".lock", waiting) as handle:
            yield handle

    def begin(self, config: DictConfig) -> None:
        """Start afresh: remove the files that an earlier attempt wrote, and no others; write the configuration."""
        self.files.start()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._start(config)

    def go_on(self, config: DictConfig) -> DictConfig:
        """Take up an unfinished run; return its configuration with what `auto` was settled to when it began."""
        config = config.copy()
        for key in ("precision", "channels_last", "compile"):
            config.trainer[key] = self.config.trainer[key]
        self.files.go_on()
        self._start(config)
        return config

    def _start(self, config: DictConfig) -> None:
        starts = [*self.environment, environment()]
        self.write_config(config)
        self._write("environment.json", json.dumps(starts, indent=2))
        self.write_status("running", identity=identity_hash(config))

    def write_config(self, config: DictConfig) -> None:
        """Write the resolved configuration."""
        plain = escaped(OmegaConf.to_container(config, resolve=True))
        text = OmegaConf.to_yaml(OmegaConf.create(plain))  # a value that is the text `${x}` stays one
        self._write("config.yaml", f"# tlx test {one_line(self.directory)}\n{text}")

    def note(self, state: str, **more: Any) -> None:
        """Write how the run ended, if that can be written at all, and unless a process of several has done so."""
        with suppress(OSError, TlxError):  # a full disk is what may have ended it
            if state == "failed" and self.status.get("state") == "failed":
                return
            self.write_status(state, **more)

    def write_status(self, state: str, **more: Any) -> None:
        """Write how the run stands."""
        status = {"state": state, "pid": os.getpid(), "host": socket.gethostname(), "time": time.time(), **more}
        if "identity" in self.status:
            status = {"identity": self.status["identity"], **status}
        if state != "running":
            self.files.settle()
        self._write("status.json", json.dumps(status, indent=2))  # last: whoever reads it finds the rest done

    def describe_model(self, task: Task, preprocessing: Preprocessing, config: DictConfig, data: str = "") -> None:
        """Write model.json, and let every checkpoint carry it and the configuration.

        Args:
            task: The network.
            preprocessing: What its images went through; the size may be another than the backbone's own.
            config: The configuration.
            data: Fingerprint of the images that it trains on.
        """
        told = {
            "identity": identity_hash(config),
            "task": config.task.name,
            "architecture": task.backbone.architecture,
            "preprocessing": preprocessing.to_dict(),
            "group_names": task.backbone.group_names,
            "num_features": task.backbone.num_features,
            "class_names": task.class_names,
            "lineage": ancestors(config),
            "carried": carried_over(task),
        }
        if config.get("classifier") is not None:
            told["reads"] = list(task.read_groups or task.backbone.group_names[-1:])
        told = escaped(told)
        self._write("model.json", json.dumps(told, indent=2))
        task.carried = {"model": told, "config": escaped(OmegaConf.to_container(config, resolve=True)), "data": data}

    def finish(self, metrics: dict[str, float]) -> None:
        """Write the final figures and mark the run finished."""
        plain = {key: float(value) for key, value in sorted(metrics.items())}
        self._write("metrics.json", json.dumps(plain, indent=2))
        self.files.remove("checkpoints/stage_best.ckpt")  # what a next stage would have started from
        self.write_status("finished")

    # Inside

    def _write(self, name: str, text: str) -> None:
        self.files.add(name)
        write_text(self.directory / name, text)

    def _need(self, name: str) -> Path:
        path = self.directory / name
        if path.is_file() or (path.exists() and not name.endswith(".ckpt")):  # of what is no file its reader tells
            return path
        if not self.directory.is_dir():
            parent = self.directory.parent
            beside = [p.name for p in parent.iterdir() if (p / "config.yaml").is_file()] if parent.is_dir() else []
            near = closest(self.directory.name, beside)
            hint = f"; did you mean '{parent / near}'?" if near else ""
            raise TlxError(f"expected a run directory, got '{self.place}' (no such directory){hint}")
        state = self.status.get("state")
        hint = "what runs there are: tlx list runs"
        if state is not None:
            hint = f"to train it to its end: {'tlx train ' + one_line(shlex.quote(f'resume={self.directory}'))}"
        raise TlxError(f"expected a finished run with {name}, got '{self.place}' ({state or 'no run'}); {hint}")

    def _overridden(self, overrides: Sequence[str]) -> DictConfig:
        from tlx.resume import find_paths

        stored: Any = OmegaConf.to_container(self.config, resolve=True)
        mine = as_config(received(stored, str(self.directory)))
        find_paths(mine, self)
        plain = amended(mine, overrides)
        # How it came about is past: the weights are in the checkpoint.
        for text in overrides:
            trust_typed(text)
        past = ("backbone", "optimizer", "logger")
        mistakes = [m for m in check(plain) if m.path.split(".")[0] not in past]
        if mistakes:
            raise ConfigError(mistakes)
        return as_config(plain)
