"""A run directory holds everything that `test` and `predict` need, so that it can be moved."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from omegaconf import DictConfig, OmegaConf

from tlx.base.errors import ConfigError, TlxError
from tlx.base.printable import one_line
from tlx.building.safety import refuse_foreign_targets, trust_typed
from tlx.config.amended import amended
from tlx.config.check import check
from tlx.config.naming import difference, identity_hash
from tlx.config.receiver import find_paths, paths_read, received
from tlx.config.settings import settings
from tlx.config.stored import as_config, stored_config
from tlx.config.whole_images import other_sizes
from tlx.records import unreadable
from tlx.records.directory import RunDirectory
from tlx.records.environment import environment
from tlx.records.escapes import escaped
from tlx.records.prediction_file import holds_table, refuse_place
from tlx.records.prediction_folder import PredictionFolder, is_table
from tlx.records.settled import keep
from tlx.runs.lineage import ancestors, carried_over
from tlx.strategies.folds import count_of_folds, is_kfold
from tlx.tasks.catalog import kind_of

log = logging.getLogger("tlx")
OUT_OF_FOLD = "out_of_fold.csv"

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tlx.backbones.preprocessing import Preprocessing
    from tlx.inference.evaluate import Tested
    from tlx.records.out_of_fold import OutOfFold
    from tlx.runs.wrong import Row, WrongImages
    from tlx.tasks.classification.task import Classification
    from tlx.tasks.module import Task
    from tlx.tasks.predictions import Predictions


class Run(RunDirectory):
    """A run directory, finished or not, with its network.

    Examples:
        >>> import tlx
        >>> small = ["backbone=small_cnn", "backbone.width=8", "dataset=digits", "dataset.image_size=16", "logger=none"]
        >>> config = tlx.compose([*small, "strategy=full", "trainer.stage_epochs=1", "run_dir=outputs/example"])
        >>> _ = tlx.train(config)
        >>> run = tlx.Run("outputs/example")
        >>> run.finished, run.config.strategy.name, run.model.group_names
        (True, 'full', ['stem', 'stage1', 'stage2', 'stage3', 'head'])
        >>> run.test()["test/accuracy"] == run.metrics["test/accuracy"]
        True
        >>> from PIL import Image
        >>> Image.new("L", (8, 8), color=255).save("blank.png")
        >>> predicted = run.predict(["blank.png"])
        >>> predicted.paths, predicted.probabilities.shape
        ([PosixPath('blank.png')], torch.Size([1, 10]))
        >>> predicted.labels[0] in run.description["class_names"]
        True
        >>> repr(run).startswith("<Run outputs/example: finished, test/accuracy 0.")
        True
        >>> run.plot().savefig("curves.png")  # in a notebook: run.plot()
        >>> wrong = run.wrong()  # a table, the most confident first
        >>> wrong[0]["true"] != wrong[0]["predicted"], wrong[0]["confidence"] >= wrong[-1]["confidence"]
        (True, True)
        >>> wrong[:9].show().savefig("wrong.png")
        >>> predicted
        <Predictions of 1 image>
        >>> predicted.show().savefig("predictions.png")
    """

    def __repr__(self) -> str:
        from tlx.runs.shown import run_line

        return run_line(self)

    def _repr_html_(self) -> str:
        from tlx.runs.shown import run_html

        return run_html(self)

    def state_for(self, config: DictConfig) -> str:
        """Return the state of a configuration's run in this directory: `finished`, `unfinished` or `nothing`.

        Raises:
            TlxError: The directory holds the run of another configuration.
        """
        if config.force or not self.status:
            return "nothing"
        if not self._is_of(config):
            keys = difference(self.config, config)
            if not keys:  # the keys are the same, but a path now leads to other data
                raise TlxError(
                    f"expected the images, weights or source run that {self.place} began with, got others behind "
                    "the same paths; force=true trains it again from scratch"
                )
            raise TlxError(
                f"run_dir: expected a new directory or one of this configuration, got '{self.place}' of another "
                f"({keys}); leave out run_dir and run_name, or replace that run with force=true"
            )
        if self.finished:
            return "finished"
        return "unfinished" if self.resumable else "nothing"

    def _is_of(self, config: DictConfig) -> bool:
        """Return whether this is the run of a configuration, whether its `auto` values are still `auto` or settled."""
        if self.status.get("identity") in (None, identity_hash(config)):
            return True
        described = (self.directory / "model.json").is_file()  # with the identity after `auto` was settled
        return described and self.description.get("identity") == identity_hash(keep(config, self.config))

    @property
    def config(self) -> DictConfig:
        """The resolved configuration; a `${…}` in it is text."""
        return stored_config(self.need("config.yaml").parent)

    @cached_property
    def model(self) -> Task:
        """The trained task with its best weights, in eval mode, on the CPU; of a cross-validation, all its networks."""
        return self._networks_of_folds() if is_kfold(self.config) else self.with_weights("best.ckpt")

    @property
    def folds(self) -> list[Run]:
        """The networks of a cross-validation, each as a run of its own; [] for other runs."""
        if not is_kfold(self.config):
            return []
        return [Run(self.directory / "folds" / str(i + 1)) for i in range(count_of_folds(self.config))]

    def _networks_of_folds(self) -> Task:
        from tlx.tasks.classification.ensemble import Ensemble

        first, *others = self.folds
        members = [first.model]
        for one in others:
            members.append(copy.deepcopy(first.model))
            one.load_weights(members[-1], "best.ckpt")
        return Ensemble(cast("list[Classification]", members)).eval()

    def out_of_fold(self) -> OutOfFold:
        """Return what each network of a cross-validation predicted for the images that it was not trained on.

        Raises:
            TlxError: The run is none, or is not finished.
        """
        from tlx.records.out_of_fold import read_out_of_fold

        if not is_kfold(self.config):
            raise TlxError(
                f"expected a run with validation=kfold, got '{self.place}'; its predictions for the test images are in "
                "test_predictions.csv"
            )
        return read_out_of_fold(self.need(OUT_OF_FOLD), self.description["class_names"])

    def _need_weights(self) -> None:
        self.need(OUT_OF_FOLD if is_kfold(self.config) else "checkpoints/best.ckpt")

    def with_weights(self, checkpoint: str) -> Task:
        """Return the trained task with the weights of a checkpoint, in eval mode, on the CPU."""
        from tlx.backbones.preprocessing import Preprocessing
        from tlx.backbones.rebuild import rebuild
        from tlx.building.nodes import build_node

        description, config = self.description, self.config
        file = self.directory / "model.json"
        refuse_foreign_targets(config.task, str(self.directory / "config.yaml"), "task")
        backbone = rebuild(description["architecture"], file)
        backbone.preprocessing = Preprocessing.from_dict(description["preprocessing"])
        more: dict[str, Any] = {}
        if config.get("classifier") is not None:
            from tlx.features.classical_head import classical_head

            reads = tuple(description.get("reads") or ())
            if not reads or not set(reads) <= set(backbone.group_names):
                raise unreadable(file, f"reads: layer groups of {', '.join(backbone.group_names)}", f"{list(reads)}")
            more = classical_head(backbone, reads, len(description["class_names"]))
        task: Task = build_node(config.task, "task", backbone=backbone, class_names=description["class_names"], **more)
        self.load_weights(task, checkpoint)
        return task.eval()

    def load_weights(self, task: Task, checkpoint: str) -> None:
        """Load the weights of a checkpoint into the network of this run.

        Raises:
            TlxError: The checkpoint is missing or damaged, or holds the weights of another network.
        """
        from tlx.callbacks.checkpoint_reading import read_weights

        path = self.need(f"checkpoints/{checkpoint}")
        weights = read_weights(path)
        try:  # the weights of the adaptation are not part of the network
            task.load_state_dict({key: value for key, value in weights.items() if not key.startswith("adaptation.")})
        except (RuntimeError, TlxError) as error:
            got = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
            raise unreadable(path, "the weights of the network in model.json", got or str(error)) from error

    def test(self, overrides: Sequence[str] = ()) -> dict[str, float]:
        """Evaluate the best checkpoint on the test split; return the metrics `test/…`. Arguments as for `tested`."""
        return self.tested(overrides).figures

    def tested(self, overrides: Sequence[str] = ()) -> Tested:
        """Evaluate the best checkpoint on the test split, with the figures of each class.

        Args:
            overrides: For example `["dataset.root=~/pets"]`, if the images have moved. A source of the user's own must
                be named here, `dataset._target_=mysource.load`: the run directory alone is not trusted to name code.
        """
        self._need_weights()  # before torch is imported, which takes seconds
        config = self._with_images(overrides)
        from tlx.inference.evaluate import evaluate

        return evaluate(self.model, config)

    def plot(self) -> Figure:
        """Return a figure of losses, main metric and learning rates over epochs, with lines between stages.

        A notebook shows it; `savefig("curves.png")` writes it. It can be drawn during training, too.

        Raises:
            TlxError: No epoch was completed; a classical classifier has none.
        """
        from tlx.runs.figures import curves_figure

        return curves_figure(self, kind_of(self.config.task).headline)

    def wrong(self) -> WrongImages:
        """Return the wrongly predicted test images, the most confident first; of masks and boxes, the worst images.

        `run.wrong().show()` draws them. First look for wrong labels among them.

        Raises:
            TlxError: The run is not finished.
        """
        from tlx.runs.figures import images_figure, review_figure
        from tlx.runs.wrong import wrong_images

        kind = kind_of(self.config.task)

        def draw(rows: Sequence[Row], overrides: Sequence[str]) -> Figure:
            if kind.worst_picture:
                return review_figure(self, kind.worst_picture)
            return images_figure(rows, self._with_images(overrides), self.description["preprocessing"])

        return wrong_images(self, kind, draw)

    def _with_images(self, overrides: Sequence[str]) -> DictConfig:
        """Return the configuration by which images are read again; log the paths that the run names itself."""
        config = self._overridden(overrides)
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
        return config

    def refuse_output(self, output: str | None) -> tuple[Path, bool]:
        """Return the place for predictions, and whether it holds earlier ones, after checking that it can be written.

        Args:
            output: The file, or the folder for tasks that write several files, or `.csv` for their table alone; None:
                the task's own.

        Raises:
            TlxError: Nothing can be written there, or this is no run.
        """
        into = kind_of(self.config.task).predicts_into
        place = Path(output or into).expanduser()
        if into.endswith("/") and not is_table(place):
            folder = PredictionFolder(place)
            folder.refuse()
            return place, folder.is_written()
        refuse_place(place)
        return place, holds_table(place)

    def predict(
        self, images: Sequence[str | Path], batch_size: int = 32, on_bad: Literal["stop", "skip"] = "stop"
    ) -> Predictions:
        """Return the task's predictions for image files, folders and globs; `on_bad` as `dataset.on_bad`."""
        self._need_weights()
        from tlx.inference.readable import readable

        paths = readable(images, on_bad)  # before torch is imported and a network is built
        from tlx.inference import known_images
        from tlx.inference.predict import predict

        config = self.config
        dataset = {**config.dataset, "batch_size": batch_size}
        if config.get("target") is not None:  # whose images it was adapted to, and is tested on
            dataset["window"] = config.target.get("window")
        return predict(self.model, dataset, paths, known_images.read(self.directory / known_images.FILE))

    @property
    def finished_already(self) -> str:
        """The message for a configuration whose run is already finished."""
        return f"finished already: {self.place} (force=true trains again)"

    # Writing, only by the process that trains

    def begin(self, config: DictConfig) -> None:
        """Start from scratch: remove the files of an earlier attempt, and no others; write the configuration."""
        for fold in self.fold_directories:
            fold.files.clear()
        self.files.start()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._start(config, identity_hash(config))

    def resume(self, config: DictConfig) -> DictConfig:
        """Resume an unfinished run; return its configuration with the values settled for `auto` when it began."""
        config = keep(config, self.config)
        self.files.resume()
        self._start(config, self.status.get("identity") or identity_hash(config))
        return config

    def _start(self, config: DictConfig, identity: str) -> None:
        starts = [*self.environment, environment()]
        self.write_config(config)
        self.write("environment.json", json.dumps(starts, indent=2))
        self.write_status("running", identity=identity)

    def write_config(self, config: DictConfig) -> None:
        """Write the resolved configuration, and its settings for lists of runs."""
        values: Any = OmegaConf.to_container(config, resolve=True)
        plain = escaped(values)
        text = OmegaConf.to_yaml(OmegaConf.create(plain))  # the text `${x}` stays text
        self.write("config.yaml", f"# tlx test {one_line(self.directory)}\n{text}")
        self.write("settings.json", json.dumps(settings(values), indent=0))

    def describe_model(
        self, task: Task, preprocessing: Preprocessing, config: DictConfig, data: str = "", identity: str | None = None
    ) -> dict[str, Any]:
        """Write model.json; return it with the configuration and the fingerprint, to be stored in every checkpoint.

        Args:
            task: The network.
            preprocessing: The preprocessing of its images; the size may differ from the backbone's own.
            config: The configuration.
            data: Fingerprint of the training images.
            identity: What decides the result; None: the hash of the configuration.
        """
        description = {
            "identity": identity or identity_hash(config),
            "task": config.task.name,
            "architecture": task.backbone.architecture,
            "preprocessing": preprocessing.to_dict(),
            **task.described(),
            "lineage": ancestors(config),
            "carried": carried_over(task),
        }
        if is_kfold(config):
            description["folds"] = count_of_folds(config)
        if config.get("classifier") is not None:
            description["reads"] = list(task.feature_groups)
        description = escaped(description)
        self.write("model.json", json.dumps(description, indent=2))
        return {"model": description, "config": escaped(OmegaConf.to_container(config, resolve=True)), "data": data}

    def _overridden(self, overrides: Sequence[str]) -> DictConfig:
        stored: Any = OmegaConf.to_container(self.config, resolve=True)
        mine = as_config(received(stored, str(self.directory)))
        find_paths(mine, self.started_in)
        plain = amended(mine, overrides)
        for text in overrides:
            trust_typed(text)
        # Keys that only training uses no longer matter: the weights are in the checkpoint.
        past = ("backbone", "optimizer", "logger")
        mistakes = [m for m in check(plain) if m.path.split(".")[0] not in past]
        if kind_of(mine.task).reads_maps:
            mistakes += other_sizes(stored["dataset"], plain["dataset"])
        if mistakes:
            raise ConfigError(mistakes)
        return as_config(plain)
