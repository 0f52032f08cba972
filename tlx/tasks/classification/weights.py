"""How much the images of a class count in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tlx.base.errors import TlxError, did_you_mean
from tlx.data.splits.typed_classes import class_called

BALANCED = "balanced"


def by_name(told: Mapping[str, float], class_names: Sequence[str]) -> list[float]:
    """Return the weight of each class; one that is not named has 1.

    Args:
        told: Class name -> weight, above 0.
        class_names: In the order of the outputs.

    Raises:
        TlxError: A name is no class.
    """
    weights = {class_called(name, class_names): float(weight) for name, weight in told.items()}
    unknown = [name for name in weights if name not in class_names]
    if unknown:
        hint = did_you_mean(unknown[0], class_names) or f"there are {len(class_names)} classes"
        raise TlxError(f"task.class_weights: expected names of classes, got '{unknown[0]}'; {hint}")
    return [weights.get(name, 1.0) for name in class_names]


def balanced(counts: Sequence[float]) -> list[float]:
    """Return n / (K * n_k) for each class, as scikit-learn's `compute_class_weight("balanced", …)` (King, Zeng 2001).

    Args:
        counts: Training images n_k of each class, n in all. A class without any is not among the K, and has 1.
    """
    present = sum(count > 0 for count in counts)
    return [sum(counts) / (present * count) if count else 1.0 for count in counts]


def scaled(weights: Sequence[float], counts: Sequence[float]) -> Tensor:
    """Return weights (K,), float32, scaled so that their mean over the training images is 1.

    So the mean of weight times loss over a batch estimates a weighted mean over the training images, and a learning
    rate means what it means without weights. Dividing by the sum of a batch's weights would give another loss in each
    process of several, and for each division of a batch.

    Args:
        weights: Of each class.
        counts: Training images of each class.
    """
    images = sum(counts)
    mean = sum(w * n for w, n in zip(weights, counts, strict=True)) / images if images else 1.0
    return torch.tensor([weight / mean for weight in weights], dtype=torch.float32)


def initial_weights(
    asked: str | Mapping[str, float] | None, class_names: Sequence[str], counts: Sequence[float] | None
) -> Tensor | None:
    """Return the weights of the classes (K,), scaled by their training images; 1 where these are not known."""
    if asked is None:
        return None
    named = None if isinstance(asked, str) else by_name(asked, class_names)
    if counts is None:
        return torch.ones(len(class_names))
    return scaled(balanced(counts) if named is None else named, counts)
