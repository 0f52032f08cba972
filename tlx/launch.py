"""Hand a command line to Hydra: one run, or a multirun through whichever launcher is configured."""

from __future__ import annotations

import os
import sys

import hydra
from omegaconf import DictConfig

from tlx.config.compose import CONFIG_NAME, conf_dir, register
from tlx.config.defaults import complete
from tlx.errors import TlxError
from tlx.run import Run


def hydra_main(arguments: list[str]) -> None:
    """Run `tlx train` under Hydra with checked arguments."""
    register()
    if os.environ.get("TLX_FULL_ERROR") == "1":
        os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [sys.argv[0], *arguments]
    multirun = bool({"-m", "--multirun"} & set(arguments))
    if multirun:  # Hydra then hands a job's exception on as it is, instead of a part of its traceback
        os.environ["HYDRA_FULL_ERROR"] = "1"
    hydra.main(str(conf_dir()), CONFIG_NAME, version_base="1.3")(job if multirun else single_job)()


def job(config: DictConfig) -> float | None:
    """Train one configuration; return the best monitored value, which sweepers optimise."""
    config = complete(config)
    run = Run(config.run_dir)
    if run.finished and not config.force:  # known before torch is imported
        print(run.finished_already)
    else:
        from tlx.train import train

        run = train(config)
    return run.metrics.get(config.task.monitor)


def single_job(config: DictConfig) -> None:
    """Train one configuration; a mistake that the user can mend ends in its message and exit code 2."""
    try:
        job(config)
    except TlxError as error:
        if os.environ.get("TLX_FULL_ERROR") == "1":
            raise
        print(f"tlx: {error}", file=sys.stderr)
        sys.exit(2)
