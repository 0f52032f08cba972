"""Hand a command line to Hydra: one run, or a sweep of many."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from tlx.base.errors import Interrupted, TlxError
from tlx.base.printable import printable
from tlx.config.compose import CONFIG_NAME, compose, conf_dir, register
from tlx.config.defaults import complete
from tlx.config.overrides import readable, sweep_jobs
from tlx.runs.run import Run
from tlx.strategies.monitor import monitored


def hydra_main(arguments: list[str]) -> None:
    """Run `tlx train` under Hydra with checked arguments, without -m."""
    found: list[TlxError] = []

    def task(config: DictConfig) -> None:
        try:
            job(config)
        except TlxError as error:  # kept from Hydra, which would say more of it than its message
            found.append(error)

    _hydra(arguments, task)
    if found:
        raise found[0]


def multirun(arguments: list[str], overrides: Sequence[str], config_dir: str | None) -> int:
    """Run a sweep, with a line a job and tables at the end.

    Args:
        arguments: For Hydra, checked.
        overrides: As the user typed them.
        config_dir: A directory of the user's own options.

    Returns:
        The exit code: 0 where every job has finished or was pruned, else 1; 128 + its number where a signal came.

    Raises:
        TlxError: A mistake that stops the whole sweep.
    """
    from tlx.config.multirun import count, refuse_several_processes, sweep_name, swept_keys
    from tlx.sweeps import plugins
    from tlx.sweeps.progress import Progress
    from tlx.sweeps.records import Records
    from tlx.sweeps.stopping import SWEEP
    from tlx.sweeps.table import report

    refuse_several_processes()
    first = compose(next(sweep_jobs(readable(overrides))), config_dir)
    directory = Path(first.output_dir).expanduser() / "sweeps" / sweep_name(overrides)
    records = Records(directory)
    records.open()
    records.update_about(
        command=["tlx", "train", *arguments],
        swept=swept_keys(overrides),
        monitor=monitored(first).name,
        mode=monitored(first).mode,
        total=count(overrides),
    )
    plugins.register()
    SWEEP.number = None
    quoted = str(directory).replace("\\", "\\\\").replace('"', '\\"')
    places = [f'hydra.sweep.dir="{quoted}"', "hydra.sweep.subdir=."]
    try:
        with SWEEP.on_signals(signal.SIGINT, signal.SIGTERM), Progress(records):
            _hydra([*arguments, *places], job)
        SWEEP.check()
        code = 0
    except Interrupted as error:
        code = error.exit_code
    text, found = report(directory)
    print(printable(text))
    wrong = [result for result in found if result.record.state not in ("finished", "pruned")]
    return code or int(bool(wrong))


def _hydra(arguments: Sequence[str], task: Callable[[DictConfig], object]) -> None:
    register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands an exception on as it is; tlx.cli says what a user can mend
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(str(conf_dir()), CONFIG_NAME, version_base="1.3")(task)()


def job(config: DictConfig) -> float | None:
    """Train one configuration; return the best monitored value, which sweepers optimise."""
    config = complete(config)
    run = Run(config.run_dir)
    if run.state_for(config) == "finished":  # known before torch is imported
        print(run.finished_already)
    else:
        from tlx.train import train

        run = train(config)
    return run.metrics.get(monitored(config).name)
