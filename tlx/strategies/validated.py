"""Which epochs of a stage are validated. Uses only the standard library."""

from __future__ import annotations

import math

MOST = 40  # validations of a stage that are enough to see how it goes


ONLY_THE_LAST = 0  # as epochs from one validation to the next


def is_validated(number: int, epochs: int, every: int) -> bool:
    """Return whether an epoch is validated: the first and the last one of its stage, and others at equal distances.

    Args:
        number: The epoch, from 1.
        epochs: The epochs of its stage.
        every: Epochs from one validation to the next; ONLY_THE_LAST: the first one is not validated either.
    """
    return number == epochs or (every != ONLY_THE_LAST and (number == 1 or number % every == 0))


def enough(epochs: int) -> int:
    """Return the epochs from one validation to the next that make about MOST validations of a stage.

    Examples:
        >>> [enough(epochs) for epochs in (15, 40, 63, 84, 250)]
        [1, 1, 2, 3, 7]
    """
    return max(1, math.ceil(epochs / MOST))
