"""Train the stages of a strategy with gradients in one `Trainer.fit`, then test the best weights once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from tlx.base.errors import Diverged, TlxError
from tlx.base.interruption import Interruption
from tlx.callbacks.checkpoint_reading import progress
from tlx.callbacks.checkpoints import Checkpoints, settle_files
from tlx.callbacks.frozen_prefix import UntouchedPrefix
from tlx.callbacks.stages import Stages
from tlx.callbacks.whole_images import WholeImages
from tlx.data.batches.batch_process import readers_named
from tlx.data.datamodule import ImageDataModule
from tlx.procedures.base import Procedure
from tlx.records import unreadable
from tlx.records.settled import AUTO
from tlx.strategies.monitor import monitored
from tlx.strategies.validated import ONLY_THE_LAST
from tlx.tasks.module import Task
from tlx.training.devices import processes
from tlx.training.epoch_length import epoch_of, too_short
from tlx.training.experiment import build
from tlx.training.kept_weights import keeps_last, too_few_to_select
from tlx.training.out_of_memory import is_out_of_memory
from tlx.training.planning import plan
from tlx.training.rate_search import suggested_rate
from tlx.training.timing import TrainingSteps
from tlx.training.trainer import build_callbacks, build_trainer
from tlx.training.validation_rhythm import rarely_validated, validation_rhythm

log = logging.getLogger("tlx")


class StagedTraining(Procedure):
    """The callback `Stages` freezes and unfreezes layer groups; `Checkpoints` keeps the best and the last weights."""

    networks_written = 2
    timing = TrainingSteps

    def __init__(self, config: DictConfig, data: ImageDataModule, task: Task, interruption: Interruption) -> None:
        super().__init__(config, data, task, interruption)
        monitor = monitored(config)
        self.epoch = epoch_of(config, data)
        self.stages = Stages(plan(config, task.group_names, self.epoch.steps), *monitor, self.run.checkpoints)
        self.stages.keeps_last = keeps_last(config, self.stages.stages, task.kind, data.sizes["val"])
        decides = data.validates and not self.stages.keeps_last
        self.stages.every = validation_rhythm(config, self.stages.stages, decides)
        pause = 0.0 if config.trainer.strategy == "fsdp" else float(config.trainer.get("checkpoint_seconds", 10.0))
        self.checkpoints = Checkpoints(self.run.checkpoints, self.stages, *monitor, interruption, pause)
        self.whole: WholeImages | None = None
        if config.trainer.get("average_weights") is not None:
            self.networks_written += 1  # last.ckpt holds the average, too

    def _first_trained(self) -> tuple[str, ...]:
        return plan(self.config, self.task.group_names)[0].trained

    def _fit(self, from_scratch: bool) -> None:
        images = self.data.fingerprint()
        at = None if from_scratch else self._begun(images)
        self._introduce(images)
        self._describe_length()
        if self.stages.keeps_last and self.config.trainer.keep == AUTO:
            log.info("  %s", too_few_to_select(self.data.sizes["val"], self.checkpoints.monitor))
        if self.data.whole_differs:
            agreement = self.checkpoints.agreement
            self.whole = WholeImages(self.stages, self.run.with_weights, self._open_loggers, agreement)
        if self.config.trainer.compile:
            self.task.backbone.compile()
        if at is None or not at["done"]:
            self._train(at)
            at = progress(self.checkpoints.last)
        self._test(at)

    def _begun(self, images: str) -> dict[str, Any] | None:
        """Return the progress of the last checkpoint; None: there is none.

        Args:
            images: Fingerprint of the images.

        Raises:
            TlxError: The run began with other images.
        """
        last = self.checkpoints.last
        at = progress(last) if last.is_file() else None
        if at is not None and at["data"] != images:
            raise TlxError(
                f"dataset: expected the images that the run began with, got others behind the same names; "
                f"{self.run.place} cannot be resumed; force=true trains it again from scratch"
            )
        return at

    def train_only(self, identity: str) -> dict[str, float]:
        """Train the stages; images that select no weights are looked at when a stage ends."""
        self._loggers = []
        if self.stages.keeps_last:
            self.stages.every = [ONLY_THE_LAST] * len(self.stages.stages)
        settle_files(self.run.checkpoints)
        images = self.data.fingerprint()
        at = self._begun(images)
        self._describe(images, identity)
        if self.config.trainer.compile:
            self.task.backbone.compile()
        trains = at is None or not at["done"]
        if trains:
            self._train(at)
        if not (trains and self.stages.keeps_last):
            self.run.load_weights(self.task, "best.ckpt")
        at = progress(self.checkpoints.last)
        return {"train/seconds": at["seconds"], "train/epochs": at["epochs"], "train/steps": at["global_step"]}

    def _describe_length(self) -> None:
        """Log the length of an epoch and of the stages, and which stages are short."""
        stages, upper = self.stages.stages, self.task.kind.upper_groups
        for line in (*self.epoch.describe(stages), *rarely_validated(stages, self.stages.every)):
            log.info("  %s", line)
        for line in too_short(self.config, stages, self.epoch, upper):
            log.warning("  warning: %s", line)

    def _train(self, at: Mapping[str, Any] | None) -> None:
        """Train, from the last checkpoint if there is one.

        Args:
            at: Progress of that checkpoint.
        """
        loggers = self._open_loggers(at["global_step"], at["epochs"]) if at else self._open_loggers(None)
        callbacks = build_callbacks(
            self.config, self.stages, self.checkpoints, self.run, self.cache, self.data.domain, self.whole
        )
        trainer = build_trainer(self.config, callbacks, loggers, self.stages.total_epochs, data=self.data)
        begin = self.checkpoints.last if at else None
        with self.interruption.deferred(), _suggesting_a_rate(self.config):
            try:
                with readers_named():
                    trainer.fit(self.task, datamodule=self.data, ckpt_path=begin, weights_only=True)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                if at is None or self.checkpoints.begun or "CUDA" in str(error) or is_out_of_memory(error):
                    raise
                raise unreadable(
                    self.checkpoints.last, "the state that this run needs to resume", _brief(error)
                ) from error
        if self.checkpoints.agreement.now():
            self.interruption.stop()

    def _test(self, at: Mapping[str, Any]) -> None:
        """Test the weights that validation selected; the test split is read only here."""
        best = self.run.model
        best.set_memory_format(bool(self.config.trainer.channels_last))
        recorder = self._recorder()
        callbacks: list[pl.Callback] = [recorder]
        if self.cache is not None:
            callbacks.insert(0, UntouchedPrefix(self.stages.stages, self.cache))
        if self.whole is not None:
            self._restore(self.whole, at)
            callbacks.append(self.whole)
        evaluator = build_trainer(self.config, callbacks, [], self.stages.total_epochs, eval_only=True, data=self.data)
        tested = dict(evaluator.test(best, datamodule=self.data, verbose=False)[0])
        if (self.run.checkpoints / "oracle.ckpt").is_file():
            tested |= self._oracle_selected()
        trained = {"train/seconds": at["seconds"], "train/epochs": at["epochs"], "train/steps": at["global_step"]}
        whole = {} if self.whole is None else self.whole.figures
        self._finish(best, evaluator, {**trained, **at["figures"], **whole}, tested, recorder)

    def _restore(self, whole: WholeImages, at: Mapping[str, Any]) -> None:
        try:
            whole.load_state_dict(at["whole_images"])
        except (LookupError, ValueError) as error:
            last = self.checkpoints.last
            raise unreadable(last, "the state that this run needs to resume", _brief(error)) from error

    def _oracle_selected(self) -> dict[str, float]:
        """Test the weights that the labels of the target domain would have selected: `oracle/test_…`."""
        chosen = self.run.with_weights("oracle.ckpt")
        chosen.set_memory_format(bool(self.config.trainer.channels_last))
        evaluator = build_trainer(self.config, [], [], epochs=1, eval_only=True, data=self.data)
        tested = evaluator.test(chosen, datamodule=self.data, verbose=False)[0]
        return {f"oracle/{key.replace('/', '_')}": value for key, value in tested.items()}


def _brief(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}"


@contextmanager
def _suggesting_a_rate(config: DictConfig) -> Iterator[None]:
    """If the loss diverges within the first epoch, try lower rates and suggest the largest one that works."""
    try:
        yield
    except Diverged as error:
        if not error.early or processes(config) * config.trainer.num_nodes > 1:
            raise
        raise Diverged(error.message, suggested_rate(config, *build(config)), early=True) from None


PROCEDURE = StagedTraining
