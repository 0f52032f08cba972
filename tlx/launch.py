"""Pass a checked command line to Hydra: a single run, or a sweep."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from tlx.base.errors import Interrupted, TlxError
from tlx.base.places import refuse_unwritable
from tlx.base.printable import printable
from tlx.base.slurm import is_one_of_several
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
        except TlxError as error:  # kept from Hydra, which would print more than its message
            found.append(error)

    _hydra(arguments, task)
    if found:
        raise found[0]


def multirun(arguments: list[str], overrides: Sequence[str], config_dir: str | None) -> int:
    """Run a sweep; print one line per job, and tables at the end.

    Args:
        arguments: Checked arguments for Hydra.
        overrides: The overrides as the user typed them.
        config_dir: A directory of the user's own options.

    Returns:
        The exit code: 0 if every job has finished or was pruned, otherwise 1; after a signal, 128 + its number.

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
    failed = [result for result in found if result.record.state not in ("finished", "pruned")]
    return code or int(bool(failed))


def _hydra(arguments: Sequence[str], task: Callable[[DictConfig], object]) -> None:
    register()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra pass exceptions on; tlx.cli prints those that a user can fix
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(str(conf_dir()), CONFIG_NAME, version_base="1.3")(task)()


def job(config: DictConfig) -> float | None:
    """Train one configuration; return its best monitored value, which a search optimises."""
    config = complete(config)
    run = Run(config.run_dir)
    state = run.state_for(config)
    if state == "finished":  # found out before torch is imported
        print(run.finished_already)
    else:
        if "torch" not in sys.modules and not is_one_of_several():
            _announce(config, run, state)
        from tlx.train import train

        run = train(config)
    return run.metrics.get(monitored(config).name)


def _announce(config: DictConfig, run: Run, state: str) -> None:
    """Say what begins, and report the mistakes that can be found without torch, whose import takes seconds.

    Raises:
        TlxError: Nothing can be written at the run's place, or files of the data set are broken.
    """
    refuse_unwritable(config.output_dir, config.run_dir)
    run.refuse_place()
    if os.environ.get("TLX_CONSOLE") != "0":
        print(printable(f"{'resuming' if state == 'unfinished' else 'training'}: {run.place}"), flush=True)
    from tlx.data.checked import load_ahead  # imports NumPy: after the first line

    for node in (config.dataset, config.get("target")):
        if node is not None:
            plain: Any = OmegaConf.to_container(node, resolve=True)
            load_ahead(plain)
