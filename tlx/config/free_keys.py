"""Keys that change where or how fast a run computes, but not its result."""

from __future__ import annotations

from tlx.records.settled import made_again

_READING = made_again("dataset") | {"download", "check", "on_bad"}
NOT_IDENTITY = {
    "trainer": made_again("trainer")
    | {"num_nodes", "model_summary", "log_every_n_steps", "checkpoint_groups", "checkpoint_seconds"},
    "dataset": _READING,
    "target": _READING,
    "cache": {"enabled", "dir", "max_gb"},
}
