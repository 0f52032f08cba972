"""One of several processes that train a run directory: `torchrun … -m tlx.worker RUN`."""

from __future__ import annotations

import os
import sys

from tlx.errors import TlxError


def main() -> None:
    """Train the configuration that the run directory holds."""
    from tlx import distributed
    from tlx.run import Run
    from tlx.train import build, fit

    config = Run(sys.argv[1]).config
    try:
        fit(config, *build(config))
    except TlxError as error:
        if os.environ.get("TLX_FULL_ERROR") == "1":
            raise
        if distributed.is_first():
            print(f"tlx: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
