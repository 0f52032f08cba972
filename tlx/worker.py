"""One of several processes that train a run directory: `torchrun … -m tlx.worker RUN`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Train the configuration that the run directory holds."""
    from omegaconf import OmegaConf

    from tlx.train import build, fit

    config = OmegaConf.load(Path(sys.argv[1]) / "config.yaml")
    fit(config, *build(config))


if __name__ == "__main__":
    main()
