"""The steps that all procedures share: describe the training, train, test once, write the report."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.model_summary import summarize

from tlx.backbones.backbone import Backbone
from tlx.base.console import logging_to, quiet
from tlx.base.interruption import Interruption
from tlx.base.places import refuse_little_room
from tlx.base.ranks import is_first
from tlx.building.loggers import logger_nodes
from tlx.callbacks.checkpoint_reading import progress
from tlx.callbacks.checkpoints import settle_files
from tlx.callbacks.test_recorder import TestRecorder
from tlx.config.hyperparameters import hyperparameters
from tlx.data.batches.batch_process import readers_named
from tlx.data.batches.dataset import RowSource
from tlx.data.datamodule import ImageDataModule
from tlx.features.prefix_cache import PrefixCache
from tlx.inference import known_images
from tlx.measures.remarks import class_remarks, gap_remarks
from tlx.measures.sections import Sections
from tlx.procedures.closing import closing_lines, next_commands
from tlx.records.resamples import FILE as RESAMPLES
from tlx.records.resamples import Resamples
from tlx.review.report import report
from tlx.review.training_page import training_page
from tlx.runs.run import Run
from tlx.tasks.catalog import headline_in
from tlx.tasks.module import Task
from tlx.training.experiment import build
from tlx.training.loggers import open_loggers
from tlx.training.out_of_memory import explained
from tlx.training.run_logger import RunLogger
from tlx.training.timing import Timing
from tlx.training.trainer import build_cache

log = logging.getLogger("tlx")


class Procedure(ABC):
    """A way to train in this process, which may be one of several; process 0 writes the run directory.

    Args:
        config: The configuration with all `auto` values settled.
        data: Its images.
        task: Its network with the initial weights.
        interruption: The request to stop that the run may receive.
    """

    networks_written: int  # the largest number of copies of the weights that the run directory holds at once
    # Times the network if memory format, precision or torch.compile is `auto`.
    timing: Callable[[DictConfig, ImageDataModule, Task], Timing]

    def __init__(self, config: DictConfig, data: ImageDataModule, task: Task, interruption: Interruption) -> None:
        self.config, self.data, self.task, self.interruption = config, data, task, interruption
        self.run = Run(config.run_dir)
        self.cache: PrefixCache | None = None
        self._loggers: list[RunLogger] | None = None

    @staticmethod
    def head(config: DictConfig, backbone: Backbone, classes: int) -> dict[str, Any]:
        """Return the arguments that replace the task's own head; {}: it keeps its own."""
        return {}

    @classmethod
    def build(cls, config: DictConfig) -> tuple[ImageDataModule, Task]:
        """Build the images and the network of a configuration."""
        return build(config, cls.head)

    @staticmethod
    def resumes_at(run: Run) -> str:
        """Return where a run that was not finished goes on, in words; its files are put in order."""
        settle_files(run.checkpoints)
        at = progress(run.checkpoints / "last.ckpt")
        return f"after epoch {at['epochs']}, step {at['global_step']}"

    def fit(self, from_scratch: bool = False) -> None:
        """Train and test.

        If the run directory holds a last checkpoint, training resumes from it.

        Args:
            from_scratch: Ignore that checkpoint: another process may be about to remove it.
        """
        with logging_to(self.run.directory), quiet(), readers_named():
            status = "failed"
            try:
                with explained(self.config, self.data):
                    self._fit(from_scratch)
                status = "success"
            finally:
                for logger in self._loggers or ():
                    logger.close(status)

    @abstractmethod
    def _fit(self, from_scratch: bool) -> None:
        """Train and test as `fit` does, with the log open."""

    @abstractmethod
    def train_only(self, identity: str) -> dict[str, float]:
        """Train without loggers and without a test, and leave the final weights in the task.

        Training resumes from the last checkpoint if there is one. The run directory gets model.json, metrics.csv and
        the checkpoints.

        Args:
            identity: What decides the result, for model.json.

        Returns:
            The figures `train/…`.
        """

    def _describe(self, images: str, identity: str) -> None:
        """Prepare the network for `train_only`: describe it, and open the cache; arguments as there."""
        config, task = self.config, self.task
        task.carry(self.run.describe_model(task, self.data.preprocessing, config, images, identity))
        task.set_memory_format(bool(config.trainer.channels_last))
        self.cache = build_cache(config, self.data, self.interruption)

    @abstractmethod
    def _first_trained(self) -> Collection[str]:
        """Return the layer groups that train from the first stage on."""

    def _introduce(self, images: str) -> None:
        """Write and log the description of the network and the data; open the cache.

        Args:
            images: Fingerprint of the images.
        """
        config, task = self.config, self.task
        if is_first():
            task.carry(self.run.describe_model(task, self.data.preprocessing, config, images))
            if not (self.run.checkpoints / "best.ckpt").is_file():
                weights = sum(tensor.nbytes for tensor in (*task.parameters(), *task.buffers()))
                refuse_little_room(self.run.directory, self.networks_written * weights)
        summary = summarize(task, max_depth=3) if config.trainer.model_summary else None
        for text in (self.data.describe(), task.backbone.report, self._still_random(), task.head_report, summary):
            if text is not None and str(text):
                log.info("%s", text)
        task.set_memory_format(bool(config.trainer.channels_last))
        self.cache = build_cache(config, self.data, self.interruption)

    def _still_random(self) -> str:
        """Return a warning if layer groups keep random weights while those above them train, else ''."""
        backbone = self.task.backbone
        if backbone.report is None or not backbone.report.random:
            return ""
        trained = self._first_trained()
        frozen = [group for group in backbone.group_names if group not in trained]
        warning = f"  warning: frozen with random weights: {', '.join(frozen)}; to train them: strategy=scratch"
        return warning if frozen else ""

    def _open_loggers(self, step: int | None, epoch: int | None = None) -> list[RunLogger]:
        """Return the loggers of the run; they are opened once.

        Args:
            step: The next step, if an earlier process has logged; entries from this step on are discarded.
            epoch: The next epoch, if it trains any; likewise.
        """
        if self._loggers is None:
            self._loggers = open_loggers(self.config, hyperparameters(self.config), step, epoch)
        return self._loggers

    def _recorder(self) -> TestRecorder:
        """Return the recorder of the test; it keeps pictures only if there is a logger to show them."""
        logged = bool(logger_nodes(self.config.logger))
        return TestRecorder(self.data.sizes["test"], self.data.test_images if logged else None)

    def _finish(
        self,
        best: Task,
        evaluator: pl.Trainer,
        trained: Mapping[str, Any],
        tested: Mapping[str, float],
        seen: TestRecorder,
    ) -> None:
        """Write the review and the metrics and mark the run as finished; all processes wait for this.

        Args:
            best: The network that was tested.
            evaluator: The Trainer that tested it.
            trained: Figures of the training.
            tested: Figures of the test.
            seen: What was recorded of the test.
        """
        if is_first():
            figures = {**trained, **tested}
            loggers = self._open_loggers(figures["train/steps"])
            sections = best.review(self.data, seen.seen)
            if sections.resampled and seen.seen is not None:
                self._write_resamples(sections, seen.seen.index.tolist())
            if loggers:
                sections = replace(sections, pictures=[*sections.pictures, training_page(self.data)])
            figures |= report(self.run, hyperparameters(self.config), sections, figures, loggers)
            if self._compares_features(best):
                self._write_known(best, evaluator)
            self.run.finish(figures)
            headline = headline_in(figures) or best.kind.headline
            for line in closing_lines(
                self.run.directory, figures, headline, self.data.sizes["test"], sections.by_class
            ):
                log.info("%s", line)
            for remark in self._remarks(figures):
                log.warning("%s", remark)
            log.info("next:")
            for command in next_commands(self.run.directory, any(one.has_epoch_axis for one in loggers)):
                log.info("  %s", command)
        evaluator.strategy.barrier()

    def _compares_features(self, best: Task) -> bool:
        """Return whether predictions of the network are compared with its features of known images."""
        return True

    def _write_known(self, best: Task, evaluator: pl.Trainer) -> None:
        if self.config.trainer.limit_batches is not None:  # a trial; it may not read more images
            return

        def stored(split: str) -> RowSource | None:
            if self.cache is None:
                return None
            how = self.cache.numerics(best, evaluator.precision, evaluator.precision_plugin.forward_context)
            return self.cache.features(best, split, how)

        known = known_images.seen_by(best, self.data, evaluator.strategy.root_device, stored)
        if known is not None:
            self.run.files.add(known_images.FILE)
            known_images.write(self.run.directory / known_images.FILE, known)

    def _write_resamples(self, sections: Sections, index: list[int]) -> None:
        images = self.data.test_fingerprint(index)
        self.run.write(RESAMPLES, Resamples(images, len(index), sections.units, sections.resampled).text())

    def _remarks(self, figures: Mapping[str, float]) -> list[str]:
        """Return what to notice in the figures; images of a target domain are expected to differ from validation's."""
        kind, sizes = self.task.kind, self.data.sizes
        if headline_in(figures) != kind.headline:  # a user's own task, whose figures may be better if smaller
            return []
        gap = [] if self.data.domain is not None else gap_remarks(figures, kind.headline, sizes["val"], sizes["test"])
        return [*gap, *class_remarks(figures, kind.headline, kind.of_class)]
