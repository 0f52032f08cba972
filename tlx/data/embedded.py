"""scikit-learn's digits: 1,797 handwritten digits of 8x8 pixels that need no download."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tlx.data.samples import ImageSet, Sample, Split
from tlx.data.splits import carve
from tlx.errors import TlxError


def digits(
    classes: Sequence[int] | None = None, *, name: str = "digits", val_fraction: float = 0.2, split_seed: int = 0
) -> ImageSet:
    """Return scikit-learn's digits, gray, values 0..16 stretched to 0..255; a fifth is the test split.

    Args:
        classes: Digits wanted, in the order of their targets; None: all ten.
        name: Name of the set.
        val_fraction: Fraction of all images for validation.
        split_seed: Seed of the split.

    Raises:
        TlxError: `classes` are not different digits.
    """
    from sklearn.datasets import load_digits

    chosen = list(range(10)) if classes is None else list(classes)
    if not set(chosen) <= set(range(10)) or len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise TlxError(f"dataset.classes: expected at least two different digits from 0 to 9, got {chosen}")
    data = load_digits()
    pixels = torch.from_numpy(data.images * (255 / 16)).round().to(torch.uint8)[:, None]  # (1797, 1, 8, 8)
    targets = {digit: target for target, digit in enumerate(chosen)}
    samples = [Sample(row, targets[int(d)], f"digit {row}") for row, d in enumerate(data.target) if int(d) in targets]
    names = [str(digit) for digit in chosen]
    return carve(name, names, Split(samples, pixels), val_fraction, 0.2, split_seed)
