"""Run several jobs at once on this machine with joblib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlx.base.errors import TlxError
from tlx.sweeps.job import Job, run
from tlx.sweeps.launcher import TlxLauncher, jobs_at_once
from tlx.sweeps.stopping import SWEEP


class JoblibLauncher(TlxLauncher):
    """Uses joblib's threads; each waits for the process that trains its job.

    joblib's own processes would each import torch, and one killed process would lose the jobs of all.

    Args:
        n_jobs: Jobs at once; `auto`: one per GPU; without GPUs half of the cores, at least 2.
        verbose: Level of joblib's own reports, 0 to 50.
    """

    def __init__(self, n_jobs: int | str = "auto", verbose: int = 0, **unknown: Any) -> None:
        if unknown:
            raise TlxError(f"hydra.launcher: expected n_jobs and verbose, got {', '.join(unknown)}")
        self.at_once = jobs_at_once(n_jobs, "n_jobs")
        self.verbose = verbose

    def run_jobs(self, jobs: Sequence[Job]) -> None:
        """Run the jobs, `n_jobs` at once."""
        from joblib import Parallel, delayed

        Parallel(n_jobs=self.at_once, backend="threading", batch_size=1, verbose=self.verbose)(
            delayed(run)(job, SWEEP) for job in jobs
        )
