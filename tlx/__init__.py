"""tlx: transfer a deep vision network to your own images.

cfg = tlx.compose(["dataset=digits", "strategy=gradual"])
run = tlx.train(cfg)
run.metrics, run.model
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlx.base.errors import ConfigError, TlxError
    from tlx.choice.atlas import atlas
    from tlx.choice.audit import audit
    from tlx.config import compose
    from tlx.runs.run import Run
    from tlx.train import train

__version__ = "0.1.0"

# Imported on first use: torch and Lightning take seconds, `tlx --help` must not.
_LAZY = {
    "atlas": "tlx.choice.atlas",
    "audit": "tlx.choice.audit",
    "compose": "tlx.config",
    "train": "tlx.train",
    "Run": "tlx.runs.run",
    "TlxError": "tlx.base.errors",
    "ConfigError": "tlx.base.errors",
}

__all__ = ["ConfigError", "Run", "TlxError", "__version__", "atlas", "audit", "compose", "train"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'tlx' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Return the public names, which a notebook completes; rooms that were imported meanwhile are not among them."""
    return sorted(__all__)
