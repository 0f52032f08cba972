"""A search with Optuna's ask-and-tell interface. It can be stopped at any moment and resumes up to the planned total.

The study is a journal in the sweep's directory. The result of a trial is read from its run directory, not from the
launcher, so a launcher that loses a job loses nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from tlx.base.compat.optuna import resumed_trial
from tlx.base.errors import TlxError
from tlx.base.files import is_locked, locked
from tlx.building.nodes import build_node
from tlx.building.safety import locate
from tlx.callbacks.trial_place import TrialPlace
from tlx.runs.run import Run
from tlx.strategies.monitor import monitored
from tlx.sweeps.launcher import TlxLauncher
from tlx.sweeps.records import Record, Records
from tlx.sweeps.space import Space, space

if TYPE_CHECKING:
    from optuna import Study, Trial


class OptunaSweeper(Sweeper):
    """Asks the study for trials, has the launcher train them, reports their results to the study.

    Args:
        n_trials: The planned total, including all trials of earlier starts, however they ended.
        n_jobs: Trials at once; `auto`: as many jobs as the launcher runs at once.
        seed: Seed of the sampler; the number of earlier trials is added, so that a resumed search draws new points.
        sampler: Configuration node of one of `optuna.samplers`.
        pruner: Configuration node of one of `optuna.pruners`.
        params: Search space in addition to that of the command line, `{key: "interval(0.1, 1)"}`.
    """

    def __init__(
        self,
        n_trials: int = 30,
        n_jobs: int | str = "auto",
        seed: int = 0,
        sampler: Mapping[str, Any] | None = None,
        pruner: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            known = "n_trials, n_jobs, seed, sampler, pruner and params"
            raise TlxError(f"hydra.sweeper: expected {known}, got {', '.join(unknown)}")
        if not isinstance(n_trials, int) or n_trials < 1:
            raise TlxError(f"hydra.sweeper.n_trials: expected a number of at least 1, got '{n_trials}'")
        if n_jobs != "auto" and (not isinstance(n_jobs, int) or n_jobs < 1):
            raise TlxError(f"hydra.sweeper.n_jobs: expected auto or a number of at least 1, got '{n_jobs}'")
        self.n_trials, self.n_jobs, self.seed = n_trials, n_jobs, seed
        self.sampler: dict[str, Any] = _plain(sampler) or {"_target_": "optuna.samplers.TPESampler"}
        self.pruner: dict[str, Any] = _plain(pruner) or {"_target_": "optuna.pruners.NopPruner"}
        self.params: dict[str, str] = _plain(params) or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes in, and make the launcher."""
        from hydra.core.plugins import Plugins

        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not isinstance(launcher, TlxLauncher):
            raise TlxError(
                "hydra/launcher: expected basic, joblib, submitit_local, submitit_slurm or ray for a search, got "
                f"'{config.hydra.launcher._target_}'"
            )
        self.jobs = launcher
        self.directory = Path(str(config.hydra.sweep.dir))
        self.journal = self.directory / "study.log"
        self.records = Records(self.directory)

    def sweep(self, arguments: list[str]) -> None:
        """Search until there are `n_trials` trials.

        Raises:
            TlxError: Another process runs the same search.
            Interrupted: The search was stopped; its running trials resume at the next start.
        """
        from tlx.callbacks.study import open_study, refuse_pickles

        def busy() -> None:
            raise TlxError(f"expected a search that no process runs, got {self.directory}, which another process runs")

        with locked(self.directory / ".lock", busy):
            wanted = space([*(f"{k}={v}" for k, v in self.params.items()), *arguments])
            resumes = self.journal.is_file()
            mode = self.records.about.get("mode", "min")
            study = open_study(self.journal, "minimize" if mode == "min" else "maximize")
            self.jobs.swept = list(wanted.searched)
            self.records.update_about(total=self.n_trials, swept=self.jobs.swept)
            if resumes:
                refuse_pickles(study, self.journal, str(self.sampler["_target_"]))
                self._report_finished(study)
            study.sampler = self._sampler(before=len(study.get_trials(deepcopy=False)))
            while trials := self._next(study, wanted):
                self.jobs.launch_jobs(
                    [(t.number, wanted.overrides(t.params), self._place(t).variable()) for t in trials]
                )
                for trial in trials:
                    self._report(study, trial.number)

    def _next(self, study: Study, wanted: Space) -> list[Trial]:
        """Return the next trials to train: unfinished ones first, then new ones up to the planned total."""
        from optuna.trial import TrialState

        known = study.get_trials(deepcopy=False)
        at_once = self.jobs.at_once if self.n_jobs == "auto" else int(self.n_jobs)
        left = [t for t in known if t.state == TrialState.RUNNING]
        whole = [t for t in left if set(t.params) == set(wanted.searched)]
        for one in left:
            if one not in whole:  # a kill while it was being asked for left it incomplete: it cannot be resumed
                study.tell(one.number, state=TrialState.FAIL)
        trials = [resumed_trial(study, t) for t in whole[:at_once]]
        while len(trials) < at_once and len(study.get_trials(deepcopy=False)) < self.n_trials:
            trials.append(study.ask(dict(wanted.searched)))
        return trials

    def _report_finished(self, study: Study) -> None:
        """Report the trials that ended but that a killed sweep did not report."""
        from optuna.trial import TrialState

        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self.records.path(trial.number).is_file():
                record = self.records.read(trial.number)
                if record.run_dir and Run(record.run_dir).finished and not is_locked(Path(record.run_dir) / ".lock"):
                    self._report(study, trial.number)

    def _report(self, study: Study, number: int) -> None:
        from optuna.trial import TrialState

        from tlx.callbacks.study import PRUNED

        record = self.records.read(number)
        value = _value(record)
        if value is not None and math.isfinite(value):
            study.tell(number, value)
        elif PRUNED in next(t for t in study.get_trials(deepcopy=False) if t.number == number).user_attrs:
            study.tell(number, state=TrialState.PRUNED)
            self.records.write(
                replace(record, state="pruned")
            )  # a job of several processes ends with an error for its launcher
        else:
            study.tell(number, state=TrialState.FAIL)

    def _place(self, trial: Trial) -> TrialPlace:
        return TrialPlace(trial.number, str(self.journal.resolve()), self.pruner)

    def _sampler(self, before: int) -> Any:
        node = dict(self.sampler)
        accepted = signature(locate(node["_target_"], "hydra.sweeper.sampler")).parameters
        if "seed" in accepted and node.get("seed") is None:
            node["seed"] = self.seed + before
        return build_node(node, "hydra.sweeper.sampler")


def _value(record: Record) -> float | None:
    if record.state != "finished":
        return None
    run = Run(record.run_dir)
    return run.metrics.get(monitored(run.config).name)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
