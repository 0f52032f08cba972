"""`tlx train resume=RUN`: resume a run from its directory alone, even if it was moved."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tlx.base.errors import ConfigError, TlxError
from tlx.base.slurm import is_one_of_several
from tlx.building.safety import refuse_foreign_targets
from tlx.config.amended import amended
from tlx.config.check import check
from tlx.config.free_keys import NOT_IDENTITY
from tlx.config.overrides import at_home
from tlx.config.receiver import READ, find_paths, not_taken, received, refuse_a_crowd
from tlx.config.stored import as_config
from tlx.runs.run import Run

log = logging.getLogger("tlx")


def resumed(directory: str | Path, overrides: Sequence[str] = ()) -> DictConfig:
    """Return the configuration with which a run resumes.

    Args:
        directory: The run directory.
        overrides: `key=value` for paths, and for keys that decide where and how fast a run trains but not its result.

    Raises:
        TlxError: There is no such run, a key may not change, or its configuration would run foreign code.
    """
    run = Run(directory)
    if run.directory.is_dir() and not run.status:
        raise TlxError(
            f"resume: expected a run directory, got '{run.directory}', which has no status.json; "
            "to list the runs: tlx runs"
        )
    stored: Any = OmegaConf.to_container(run.config, resolve=True)
    refuse_foreign_targets({**stored, "logger": None}, str(run.directory / "config.yaml"))
    config = as_config(received(stored, str(run.directory)))
    if left := not_taken(stored):
        log.warning("%s", left)
    find_paths(config, run.started_in)
    for text in at_home(overrides):
        key, equals, _ = text.lstrip("+").partition("=")
        if not equals:
            raise TlxError(f"expected overrides as key=value, got '{text}'")
        may_change = _may_change()
        if key not in may_change:
            raise TlxError(
                f"resume: expected the configuration that the run began with, got {text}; these keys may change: "
                f"{', '.join(may_change)}; for another configuration train a new run, with backbone=run to start from "
                "this one"
            )
    plain = amended(config, at_home(overrides))
    mistakes = check(plain)
    if mistakes:
        raise ConfigError(mistakes)
    refuse_a_crowd(plain, is_one_of_several())
    return as_config(plain)


def _may_change() -> list[str]:
    free = [f"{part}.{key}" for part, keys in NOT_IDENTITY.items() for key in keys]
    return sorted(["force", *free, *(f"{part}.{key}" for part, keys in READ.items() for key in keys)])
