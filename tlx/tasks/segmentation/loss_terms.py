"""The text that names a loss, such as `ce+0.5*lovasz`. Only the standard library."""

from __future__ import annotations

import math

LOSSES = ("ce", "dice", "focal", "lovasz")


def loss_terms(text: str) -> dict[str, float]:
    """Return the weight of each term of a loss.

    Args:
        text: Names of `LOSSES` joined by `+`, each with a factor before it or without: `ce+dice`, `2*ce+lovasz`.

    Raises:
        ValueError: The text is no such sum; the message says what is expected.

    Examples:
        >>> from tlx.tasks.segmentation.loss_terms import loss_terms
        >>> loss_terms("ce + 0.5*lovasz")
        {'ce': 1.0, 'lovasz': 0.5}
    """
    terms: dict[str, float] = {}
    for part in text.split("+"):
        factor, star, name = part.rpartition("*")
        name = name.strip()
        if name not in LOSSES or name in terms:
            raise ValueError(f"a sum of {', '.join(LOSSES)}, each at most once")
        try:
            terms[name] = float(factor) if star else 1.0
        except ValueError:
            raise ValueError(f"a number before the * of {name}") from None
        if not 0 < terms[name] < math.inf:
            raise ValueError(f"a number above 0 before the * of {name}")
    return terms
