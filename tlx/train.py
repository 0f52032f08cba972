"""The steps of an experiment: configuration -> data, task, plan -> fit in stages -> test once -> run directory."""

from __future__ import annotations

import logging
import sys
import traceback
from types import ModuleType

from omegaconf import DictConfig

from tlx.base.console import logging_to
from tlx.base.errors import Interrupted
from tlx.base.interruption import Interruption
from tlx.base.places import refuse_unwritable
from tlx.base.ranks import is_first
from tlx.config.receiver import paths_read
from tlx.config.stored import settled
from tlx.procedures import procedure_of
from tlx.records.settled import settle, undecided
from tlx.runs.run import Run
from tlx.training import distributed
from tlx.training.devices import processes
from tlx.training.memory import refuse_what_does_not_fit
from tlx.training.out_of_memory import explained
from tlx.training.resolvers import COMPUTATION

log = logging.getLogger("tlx")


def train(config: DictConfig) -> Run:
    """Train a composed configuration and test it once; return its run.

    If the run is already finished, it is returned; if it is unfinished, it resumes from its last checkpoint; with
    `force` it is trained again from scratch.

    Args:
        config: The result of `tlx.compose`.

    Raises:
        TlxError: A mistake that the user can fix: no such weights, broken images, too few labels, a loss that is NaN.
        Interrupted: The run was stopped by SIGTERM or Ctrl-C; it has saved its state.

    Examples:
        >>> import tlx
        >>> small = ["backbone=small_cnn", "backbone.width=8", "dataset=digits", "dataset.image_size=16", "logger=none"]
        >>> config = tlx.compose([*small, "strategy=full", "trainer.stage_epochs=1", "run_dir=outputs/example"])
        >>> run = tlx.train(config)
        >>> run.metrics["train/epochs"], run.metrics["train/steps"]
        (1.0, 34.0)
        >>> tlx.train(config).directory  # already finished: nothing is trained
        PosixPath('outputs/example')
    """
    config = settled(config)  # Hydra passes references; the run's name must not depend on the value chosen for `auto`
    run = Run(config.run_dir)
    refuse_unwritable(config.output_dir, config.run_dir)
    run.refuse_place()
    if distributed.is_worker():  # torchrun or SLURM started this command once per device
        return _train_as_one_of_several(config, run)
    distributed.check_alone(config)
    new = not run.begun
    if new:  # a refused run leaves no directory
        refuse_what_does_not_fit(config)
    interruption = Interruption()
    with interruption.watching(), run.lock() as lock, logging_to(run.directory):
        state = run.state_for(config)
        if state == "finished":
            log.info(run.finished_already)
            return run
        if not new:
            refuse_what_does_not_fit(config)
        try:
            config = _resume(config, run) if state == "unfinished" else _begin(config, run)
            count = processes(config)
            procedure = procedure_of(config)
            data, task = procedure.build(config)
            timing = procedure.timing(config, data, task)
            with explained(config, data):
                if undecided(config):
                    config = settle(config, COMPUTATION, timing)
                    run.write_config(config)
                if count == 1:  # several processes correct their number of readers after the first epoch
                    timing.time_step()
            if count > 1:
                distributed.launch(run, count, lock)
            else:
                procedure(config, data, task, interruption).fit()
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


def _resume(config: DictConfig, run: Run) -> DictConfig:
    log.info("resuming %s (force=true trains again from scratch)", procedure_of(config).resumes_at(run))
    if read := paths_read(config):
        log.info("reads %s", ", ".join(read))
    return run.resume(config)


def _train_as_one_of_several(config: DictConfig, run: Run) -> Run:
    distributed.check_world(config)
    state = run.state_for(config)  # the same in every process: process 0 changes nothing before all have connected
    if state == "finished":
        return run
    if is_first():
        config = _resume(config, run) if state == "unfinished" else _begin(config, run)
    try:
        with distributed.stopping_together(run, config) as interruption:
            procedure = procedure_of(config)
            procedure(config, *procedure.build(config), interruption).fit(from_scratch=state == "nothing")
    except Exception as error:
        distributed.note_failure(run, error)
        raise
    return run


class _Train(ModuleType):
    """Makes `tlx.train(cfg)` work whether or not this module, which has the same name, was imported before."""

    def __call__(self, config: DictConfig) -> Run:
        return train(config)


sys.modules[__name__].__class__ = _Train
