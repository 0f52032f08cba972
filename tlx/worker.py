"""One of several processes that train a run directory: `torchrun … -m tlx.worker RUN`."""

from __future__ import annotations

import os
import sys
import traceback

from tlx.errors import TlxError
from tlx.imports import start_lean
from tlx.legible import escape_what_terminals_lack


def main() -> None:
    """Train the configuration that the run directory holds."""
    start_lean()
    escape_what_terminals_lack()
    from tlx.interruption import Interruption
    from tlx.run import Run
    from tlx.train import build, fit

    run = Run(sys.argv[1])
    config = run.config
    try:
        fit(config, *build(config), Interruption())
    except Exception as error:
        run.note("failed", error=str(error) or type(error).__name__, traceback=traceback.format_exc())
        if isinstance(error, TlxError) and os.environ.get("TLX_FULL_ERROR") != "1":
            sys.exit(2)  # the process that started this one says what went wrong
        raise


if __name__ == "__main__":
    main()
