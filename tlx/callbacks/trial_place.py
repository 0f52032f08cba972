"""Which trial of which search a process trains: an environment variable, which torchrun's workers inherit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

TRIAL = "TLX_TRIAL"


@dataclass(frozen=True)
class TrialPlace:
    """Where a training process finds its trial.

    Args:
        number: Of the trial.
        study: The journal.
        pruner: The node of the pruner, as plain values.
    """

    number: int
    study: str
    pruner: Mapping[str, Any]

    def variable(self) -> dict[str, str]:
        """Return the environment variable that says so."""
        return {TRIAL: json.dumps(asdict(self))}

    @staticmethod
    def heard(text: str) -> TrialPlace:
        """Return what the variable says."""
        return TrialPlace(**json.loads(text))
