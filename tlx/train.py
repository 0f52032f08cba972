"""The way of an experiment: configuration -> data, task, plan -> fit in stages -> test once -> run directory."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.model_summary import summarize

from tlx.adaptation import Adaptation
from tlx.base.console import logging_to, quiet
from tlx.base.errors import Diverged, Interrupted, TlxError
from tlx.base.interruption import Interruption
from tlx.base.places import refuse_little_room, refuse_unwritable
from tlx.base.ranks import is_first
from tlx.building.nodes import build_node
from tlx.building.safety import refuse_foreign_targets
from tlx.callbacks.checkpoints import Checkpoints, progress, save_weights, settle_files
from tlx.callbacks.frozen_prefix import UntouchedPrefix
from tlx.callbacks.stages import Stages
from tlx.config.hyperparameters import hyperparameters
from tlx.config.receiver import paths_read
from tlx.config.stored import settled
from tlx.data.batch_process import readers_named
from tlx.data.datamodule import ImageDataModule
from tlx.records import unreadable
from tlx.review.report import report
from tlx.review.witness import Witness
from tlx.runs.run import Run
from tlx.strategies.monitor import monitored
from tlx.tasks.base import Task
from tlx.training import distributed
from tlx.training.first_step import need_possible
from tlx.training.memory import refuse_what_does_not_fit
from tlx.training.optimizers import build_optimizer
from tlx.training.planning import build_backbone, feature_groups, plan
from tlx.training.rate_trial import rate_told
from tlx.training.trainer import build_cache, build_callbacks, build_logger, build_trainer
from tlx.training.trial import needs_trial, settle, settle_forward

log = logging.getLogger("tlx")


def train(config: DictConfig) -> Run:
    """Train a composed configuration and test it once; return its run.

    The same configuration again returns the finished run, and goes on with an unfinished one from its last checkpoint,
    unless `force` is true.

    Args:
        config: From `tlx.compose`.

    Raises:
        TlxError: A mistake that the user can mend: no such weights, broken images, too few labels, a loss that is NaN.
        Interrupted: The run was stopped by SIGTERM or Ctrl-C; it has saved where it is.
    """
    config = settled(config)  # Hydra hands over references; the run's name must not follow what `auto` is settled to
    run = Run(config.run_dir)
    refuse_unwritable(config.output_dir, config.run_dir)
    run.refuse_place()
    if distributed.is_worker():  # torchrun or SLURM started this very command for every device
        return _train_as_one_of_several(config, run)
    distributed.check_alone(config)
    new = not run.begun
    if new:  # what is refused leaves no directory
        refuse_what_does_not_fit(config)
    interruption = Interruption()
    with interruption.watching(), run.lock() as lock, logging_to(run.directory):
        standing = run.standing(config)
        if standing == "finished":
            log.info(run.finished_already)
            return run
        if not new:
            refuse_what_does_not_fit(config)
        try:
            config = _take_up(config, run) if standing == "unfinished" else _begin(config, run)
            count = distributed.processes(config)
            data, task = build(config)
            if needs_trial(config):
                classical = config.get("classifier") is not None
                config = (
                    settle_forward(config, task, data)
                    if classical
                    else settle(config, task, data, plan(config, task.group_names))
                )
                run.write_config(config)
            if count > 1:
                distributed.launch(run, count, lock)
            else:
                fit(config, data, task, interruption)
        except Interrupted as error:
            run.note("interrupted", reason=error.reason)
            raise
        except BaseException as error:
            run.note("failed", error=str(error) or type(error).__name__, traceback=traceback.format_exc())
            raise
        log.info("run: %s", run.place)
        return run


def _begin(config: DictConfig, run: Run) -> DictConfig:
    run.begin(config)
    return config


def _take_up(config: DictConfig, run: Run) -> DictConfig:
    settle_files(run.checkpoints)
    at = progress(run.checkpoints / "last.ckpt")
    log.info("goes on after %d epochs, %d steps (force=true trains anew)", at["epochs"], at["global_step"])
    if read := paths_read(config):
        log.info("reads %s", ", ".join(read))
    return run.go_on(config)


def _train_as_one_of_several(config: DictConfig, run: Run) -> Run:
    distributed.check_world(config)
    standing = run.standing(config)  # every process sees the same: the first one changes nothing before all have met
    if standing == "finished":
        return run
    if is_first():
        config = _take_up(config, run) if standing == "unfinished" else _begin(config, run)
    try:
        with distributed.stopping_together(run, config) as interruption:
            fit(config, *build(config), interruption, anew=standing == "nothing")
    except Exception as error:
        distributed.note_failure(run, error)
        raise
    return run


def build(config: DictConfig) -> tuple[ImageDataModule, Task]:
    """Build the data and the task of a configuration: the network with its weights and a new head."""
    refuse_foreign_targets(OmegaConf.to_container(config, resolve=True), "the configuration")
    pl.seed_everything(config.seed, verbose=False)
    backbone = build_backbone(config)
    adapts = config.strategy.get("adapt") is not None
    data = ImageDataModule(
        config.dataset, backbone.preprocessing, config.seed, config.cache.view_seed, config.get("target"), adapts
    )
    data.prepare_data()
    data.setup()
    data.need_trainable()
    pl.seed_everything(config.seed, verbose=False)  # the head starts the same whatever was drawn before it
    task: Task = build_node(config.task, "task", backbone=backbone, class_names=data.class_names)
    task.know_classes(data.class_counts)
    task.monitor, task.mode = monitored(config)
    optimizer: Any = OmegaConf.to_container(config.optimizer, resolve=True)
    task.make_optimizer = partial(build_optimizer, optimizer)
    if adapts:
        adaptation: Adaptation = build_node(config.strategy.adapt, "strategy.adapt")
        adaptation.build(task, data)
        task.adaptation = adaptation
    count = distributed.processes(config) * config.trainer.num_nodes
    need_possible(task, data, plan(config, task.group_names), [stage.name for stage in config.strategy.stages], count)
    return data, task


def fit(config: DictConfig, data: ImageDataModule, task: Task, interruption: Interruption, anew: bool = False) -> None:
    """Train and test in this process, which may be one of several; the first one writes the run directory.

    Where the run directory holds a last checkpoint, training goes on from it, unless `anew`: then another process may
    be about to remove it.
    """
    if config.get("classifier") is not None:
        return fit_classifier(config, data, task, interruption)
    run = Run(config.run_dir)
    monitor = monitored(config)
    stages = Stages(plan(config, task.group_names), *monitor, run.checkpoints)
    checkpoints = Checkpoints(run.checkpoints, stages, *monitor, interruption)
    at = progress(checkpoints.last) if checkpoints.last.is_file() and not anew else None
    with logging_to(run.directory), quiet(), readers_named():
        images = data.fingerprint()
        if at is not None and at["data"] != images:
            raise TlxError(
                f"dataset: expected the images that the run began with, got others behind the same names; "
                f"{run.place} cannot go on; force=true trains it anew"
            )
        _introduce(run, config, data, task, images)
        if config.trainer.compile:
            task.backbone.compile()
        cache = build_cache(config, data, interruption)
        if at is None or not at["done"]:
            logger = build_logger(config, at["global_step"] if at else None)
            callbacks = build_callbacks(config, stages, checkpoints, run, cache, data.domain)
            trainer = build_trainer(config, callbacks, logger, stages.total_epochs)
            with interruption.deferred(), _a_rate_named(config):
                try:
                    with readers_named():
                        begin = checkpoints.last if at else None
                        trainer.fit(task, datamodule=data, ckpt_path=begin, weights_only=True)
                except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                    if at is None or checkpoints.begun or "CUDA" in str(error):
                        raise
                    raise unreadable(checkpoints.last, "what this run needs to go on", _brief(error)) from error
            if checkpoints.agreement.now():
                interruption.stop()
            at = progress(checkpoints.last)
        trained = {"train/seconds": at["seconds"], "train/epochs": at["epochs"], "train/steps": at["global_step"]}

        # Selection by validation; the test split is read once, here.
        best = run.model
        best.set_layout(bool(config.trainer.channels_last))
        witness = _witness(config, data)
        untouched = [UntouchedPrefix(stages.stages, cache)] if cache is not None else []
        judge = build_trainer(config, [*untouched, witness], False, stages.total_epochs, judge=True)
        tested = dict(judge.test(best, datamodule=data, verbose=False)[0])
        if (run.checkpoints / "oracle.ckpt").is_file():
            tested |= _oracle_selected(run, config, data)
        if is_first():
            _finish(run, config, data, {**trained, **at["figures"]}, tested, witness)
        judge.strategy.barrier()  # no process returns before the run is finished


def _brief(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}"


@contextmanager
def _a_rate_named(config: DictConfig) -> Iterator[None]:
    """Try lower rates where the loss is no number before an epoch is completed, and name the largest that holds."""
    try:
        yield
    except Diverged as error:
        if not error.early or distributed.processes(config) * config.trainer.num_nodes > 1:
            raise
        raise Diverged(error.message, rate_told(config, *build(config)), early=True) from None


def fit_classifier(config: DictConfig, data: ImageDataModule, task: Task, interruption: Interruption) -> None:
    """Fit a classifier of scikit-learn on frozen features and test it, in this process, which may be one of several."""
    from tlx.features.classical_fit import ClassicalFit  # scikit-learn takes a second to import
    from tlx.features.classical_head import give_classical_head

    run = Run(config.run_dir)
    with logging_to(run.directory), quiet(), readers_named():
        groups = feature_groups(config, task.group_names)
        give_classical_head(task, groups)
        _introduce(run, config, data, task, data.fingerprint())
        cache = build_cache(config, data, interruption)
        node: Any = OmegaConf.to_container(config.classifier, resolve=True)
        choice = {"folds": config.strategy.folds, "scoring": config.strategy.scoring, "seed": config.seed}
        fitting = ClassicalFit(node, groups, data, cache, config.trainer.limit_batches, **choice)
        witness = _witness(config, data)
        judge = build_trainer(config, [fitting, witness], False, epochs=1, judge=True)
        start = time.perf_counter()
        selected = judge.validate(task, datamodule=data, verbose=False)
        figures = {"train/seconds": time.perf_counter() - start, "train/epochs": 0, "train/steps": 0}
        for one in selected:
            figures |= one
        tested = dict(judge.test(task, datamodule=data, verbose=False)[0])
        if is_first():
            save_weights(run.checkpoints / "best.ckpt", task)
            _finish(run, config, data, figures, tested, witness)
        judge.strategy.barrier()


def _introduce(run: Run, config: DictConfig, data: ImageDataModule, task: Task, images: str) -> None:
    """Write and log what is about to be trained, and on what."""
    if is_first():
        run.describe_model(task, data.preprocessing, config, images)
        if not (run.checkpoints / "best.ckpt").is_file():
            weights = sum(tensor.nbytes for tensor in (*task.parameters(), *task.buffers()))  # no classifier yet
            refuse_little_room(run.directory, weights if config.get("classifier") is not None else 2 * weights)
    summary = summarize(task, max_depth=3) if config.trainer.model_summary else None
    for text in (data.describe(), task.backbone.report, _still_random(config, task), task.head_report, summary):
        if text is not None and str(text):
            log.info("%s", text)
    task.set_layout(bool(config.trainer.channels_last))


def _still_random(config: DictConfig, task: Task) -> str:
    """Warn of layer groups that keep random weights while those above them learn."""
    if task.backbone.report is None or not task.backbone.report.random:
        return ""
    first = () if config.get("classifier") is not None else plan(config, task.group_names)[0].trained
    frozen = [group for group in task.backbone.group_names if group not in first]
    told = f"  warning: frozen with random weights: {', '.join(frozen)}; to train them: strategy=scratch"
    return told if frozen else ""


def _witness(config: DictConfig, data: ImageDataModule) -> Witness:
    """Return what sees the test; it keeps pictures where somebody will look at them."""
    logged = config.logger.get("_target_") is not None
    return Witness(data.sizes["test"], data.test_images if logged else None)


def _finish(
    run: Run, config: DictConfig, data: ImageDataModule, trained: dict[str, Any], tested: dict[str, Any], seen: Witness
) -> None:
    """Write the review and the figures of a run, and that it is finished."""
    figures = {**trained, **tested}
    logger = build_logger(config, figures["train/steps"])  # events of an earlier attempt at this review do not count
    run.finish(figures | report(run, hyperparameters(config), data, seen.evidence, figures, logger))
    log.info("%s", ", ".join(f"{k} {v:.4f}" for k, v in tested.items()))


def _oracle_selected(run: Run, config: DictConfig, data: ImageDataModule) -> dict[str, float]:
    """Test the weights that a selection by the target's labels would have taken: `oracle/test_…`."""
    chosen = run.with_weights("oracle.ckpt")
    chosen.set_layout(bool(config.trainer.channels_last))
    judge = build_trainer(config, [], False, epochs=1, judge=True)
    tested = judge.test(chosen, datamodule=data, verbose=False)[0]
    return {f"oracle/{key.replace('/', '_')}": value for key, value in tested.items()}


class _Train(ModuleType):
    """Lets `tlx.train(cfg)` work whether or not this module, which has the same name, was imported before."""

    def __call__(self, config: DictConfig) -> Run:
        return train(config)


sys.modules[__name__].__class__ = _Train
