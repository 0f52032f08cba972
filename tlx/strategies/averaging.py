"""The share that each step of a stage has in an average of the stage's weights. Uses only the standard library."""

from __future__ import annotations

import math

EMA = "ema"
_TIME_CONSTANT = 0.1  # of a moving average, as a fraction of the steps of a stage


def share_of_step(average: float | str, done: int, steps: int) -> float | None:
    """Return the share that the weights after a step get in the average, in (0, 1]; None: they are not averaged.

    The new average is `average + share * (weights - average)`. A share of 1 begins it.

    - A fraction F: the mean of the weights after each of the last `ceil(F * steps)` steps (Izmailov et al. 2018,
      Averaging Weights Leads to Wider Optima, section 3; here the rate falls as usual).
    - `ema`: an exponential moving average with decay `1 - 10 / steps`, which forgets within a tenth of the stage. So a
      stage of any length averages over the same fraction of it: a decay d for n steps is d^(n / m) for m (Busbridge
      et al. 2023, How to Scale Your EMA, section 2). The first steps have a lower decay, k / (k + 9) for step k, that
      of `tf.train.ExponentialMovingAverage(num_updates=k - 1)`, so that they do not outweigh the others.

    Args:
        average: `trainer.average_weights`: a fraction in (0, 0.5], or `ema`.
        done: Optimizer steps of the stage so far, at least 1.
        steps: Optimizer steps of the whole stage.

    Examples:
        >>> [share_of_step(0.3, done, 10) for done in (7, 8, 9, 10)]
        [None, 1.0, 0.5, 0.3333333333333333]
        >>> [round(share_of_step("ema", done, 500), 3) for done in (1, 2, 100, 500)]
        [1.0, 0.818, 0.083, 0.02]
    """
    if average == EMA:
        decay = min(1 - 1 / max(_TIME_CONSTANT * steps, 1), done / (done + 9))
        return 1.0 if done == 1 else 1 - decay
    averaged = done - steps + math.ceil(float(average) * steps)
    return 1 / averaged if averaged > 0 else None


def averaged_text(average: float | str) -> str:
    """Return what is averaged, for a table: `last 10%` or `ema`."""
    return EMA if average == EMA else f"last {100 * float(average):.3g}%"
