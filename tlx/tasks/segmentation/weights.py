"""Class weights of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tlx.tasks.classification.weights import balanced, by_name, scaled


def pixel_weights(
    asked: str | Mapping[str, float] | None, class_names: Sequence[str], pixels: Sequence[float] | None
) -> Tensor | None:
    """Return the weights of classes (K,), scaled to a mean of 1 over the training pixels; None: all are 1.

    `balanced` is the root of n / (K * n_k): areas differ by factors of thousands, and with the whole factor a class of
    a few pixels would decide alone about the gradient.

    Args:
        asked: Class name -> weight, others 1; `balanced`; or None.
        class_names: The K classes.
        pixels: Training pixels n_k of each class; None: not known, then the weights are 1 until they are loaded.

    Raises:
        TlxError: A name is not a class.
    """
    if asked is None:
        return None
    named = None if isinstance(asked, str) else by_name(asked, class_names)
    if pixels is None:
        return torch.ones(len(class_names))
    weights = [weight**0.5 for weight in balanced(pixels)] if named is None else named
    return scaled(weights, pixels)
