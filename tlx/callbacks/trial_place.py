"""Pass the trial that a process trains in an environment variable, which torchrun's workers inherit."""

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
        number: Number of the trial.
        study: Path of the study's journal.
        pruner: Configuration node of the pruner, as plain values.
    """

    number: int
    study: str
    pruner: Mapping[str, Any]

    def variable(self) -> dict[str, str]:
        """Return the environment variable, as `{name: value}`."""
        return {TRIAL: json.dumps(asdict(self))}

    @staticmethod
    def parse(text: str) -> TrialPlace:
        """Return the trial described by the variable."""
        return TrialPlace(**json.loads(text))
