"""Train a run directory as one of several processes, which `tlx.training.process_group` starts."""

from __future__ import annotations

import os
import sys

from tlx.base import ending, owner
from tlx.base.errors import TlxError
from tlx.base.imports import start_lean
from tlx.base.legible import escape_what_terminals_lack


def main() -> None:
    """Train the configuration in the run directory."""
    ending.run(_train)


def _train() -> None:
    owner.watch_stdin()
    start_lean()
    escape_what_terminals_lack()
    from tlx.base.errors import Interrupted
    from tlx.procedures import procedure_of
    from tlx.runs.run import Run
    from tlx.training.distributed import has_lost_another, note_failure, stopping_together
    from tlx.training.experiment import build
    from tlx.training.process_group import LOST, MISTAKE

    run = Run(sys.argv[1])
    config = run.config
    try:
        with stopping_together(run, config) as interruption:
            procedure = procedure_of(config)
            procedure(config, *build(config, procedure.head), interruption).fit()
    except Interrupted as error:
        sys.exit(error.exit_code)
    except Exception as error:
        if has_lost_another(error):  # tlx.training.process_group knows which one
            sys.exit(LOST)
        note_failure(run, error)
        if isinstance(error, TlxError) and os.environ.get("TLX_FULL_ERROR") != "1":
            sys.exit(MISTAKE)  # the process that started this one prints the message
        raise


if __name__ == "__main__":
    main()
