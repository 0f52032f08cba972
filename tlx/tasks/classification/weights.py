"""Class weights in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tlx.base.errors import TlxError, did_you_mean
from tlx.data.splits.typed_classes import class_called

BALANCED = "balanced"


def by_name(named: Mapping[str, float], class_names: Sequence[str]) -> list[float]:
    """Return the weight of each class; classes that are not named have weight 1.

    Args:
        named: Class name -> weight, above 0.
        class_names: Class names in the order of the outputs.

    Raises:
        TlxError: A name is not a class.
    """
    weights = {class_called(name, class_names): float(weight) for name, weight in named.items()}
    unknown = [name for name in weights if name not in class_names]
    if unknown:
        hint = did_you_mean(unknown[0], class_names) or f"there are {len(class_names)} classes"
        raise TlxError(f"task.class_weights: expected names of classes, got '{unknown[0]}'; {hint}")
    return [weights.get(name, 1.0) for name in class_names]


def balanced(counts: Sequence[float]) -> list[float]:
    """Return n / (K * n_k) for each class, as scikit-learn's `compute_class_weight("balanced", …)` (King, Zeng 2001).

    Args:
        counts: Training images n_k of each class, n in all. A class without images does not count in K and has 1.
    """
    present = sum(count > 0 for count in counts)
    return [sum(counts) / (present * count) if count else 1.0 for count in counts]


def scaled(weights: Sequence[float], counts: Sequence[float]) -> Tensor:
    """Return weights (K,), float32, scaled so that their mean over the training images is 1.

    Then the mean of weight times loss over a batch estimates the weighted mean over the training images, and learning
    rates keep their meaning. Dividing by the sum of a batch's weights would make the loss depend on how a batch is
    split over processes or accumulation steps.

    Args:
        weights: Weight of each class.
        counts: Number of training images of each class.
    """
    images = sum(counts)
    mean = sum(w * n for w, n in zip(weights, counts, strict=True)) / images if images else 1.0
    return torch.tensor([weight / mean for weight in weights], dtype=torch.float32)


def initial_weights(
    asked: str | Mapping[str, float] | None, class_names: Sequence[str], counts: Sequence[float] | None
) -> Tensor | None:
    """Return the class weights (K,), scaled with the numbers of training images; 1 if these are not known."""
    if asked is None:
        return None
    named = None if isinstance(asked, str) else by_name(asked, class_names)
    if counts is None:
        return torch.ones(len(class_names))
    return scaled(balanced(counts) if named is None else named, counts)
