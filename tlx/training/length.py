"""Shorten the stages of a run so that they fit into `trainer.max_minutes`, from a trial of a few steps."""

from __future__ import annotations

import logging
import time

from tlx.base.printable import duration
from tlx.records.settled import AUTO
from tlx.training.devices import processes
from tlx.training.epoch_length import epoch_of
from tlx.training.minutes import Trial
from tlx.training.planning import plan
from tlx.training.timing import Timing

log = logging.getLogger("tlx")


def length_within(timing: Timing) -> float:
    """Return the fraction of the epochs of each stage that fits into `trainer.max_minutes`, at most 1.

    It is settled once, before the first step, so a resumed run has the same stages, and rates fall to the end of each.

    Args:
        timing: The run; memory format and precision are measured first where they are `auto`.
    """
    config, data = timing.config.copy(), timing.data
    if config.trainer.max_minutes is None or config.get("classifier") is not None:
        return 1.0
    allowed = 60.0 * float(config.trainer.max_minutes)
    if data.paired:
        log.info("trainer.max_minutes: steps with a target domain are not timed; training stops when the time is over")
        return 1.0
    if AUTO in (config.trainer.channels_last, config.trainer.precision):
        config.trainer.channels_last, config.trainer.precision = timing.mode.channels_last, timing.mode.precision
    config.trainer.length = 1.0
    start = time.perf_counter()
    trial = Trial(config, data, data.train_dataloader())
    stages = plan(config, trial.task.group_names, epoch_of(config, data).steps)
    seconds = trial.of(stages, tested=False)
    count: int = processes(config) * config.trainer.num_nodes
    whole = (seconds.training + seconds.validation) / count
    length = round(min(1.0, allowed / whole), 4)
    found = f"a trial of {time.perf_counter() - start:.0f} s says {duration(whole)} for all stages"
    if length == 1:
        log.info("trainer.max_minutes=%g: %s: nothing is shortened", config.trainer.max_minutes, found)
        return 1.0
    log.info(
        "trainer.max_minutes=%g: %s: each trains %.3g of its epochs (trainer.length), at least one; for the whole "
        "training type trainer.max_minutes=null",
        config.trainer.max_minutes, found, length,
    )  # fmt: skip
    return max(length, 1e-4)
