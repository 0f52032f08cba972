"""scikit-learn's 1,797 handwritten digits of 8x8 pixels, which need no download."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlx.base.errors import Mistake, TlxError
from tlx.data.sources.base import Source
from tlx.data.sources.keys import SourceKeys
from tlx.data.splits.samples import ImageSet, Sample, Split

if TYPE_CHECKING:
    import numpy as np

_EXPECTED = "at least two different digits from 0 to 9"


@dataclass
class DigitsKeys(SourceKeys):
    """scikit-learn's digits."""

    classes: list[int] | None = None


class DigitsSource(Source):
    """scikit-learn's digits; its own key `classes` selects some of them."""

    keys = DigitsKeys
    lists_files = False
    is_enlarged = True  # from 8 pixels to `image_size`

    def all_class_names(self) -> list[str]:
        """Return the selected digits."""
        classes = self.node.get("classes")
        return [str(digit) for digit in (range(10) if classes is None else classes)]

    def own_mistakes(self) -> list[Mistake]:
        """Return a mistake if the classes are not digits."""
        classes = self.node.get("classes")
        if classes is None or _are_digits(classes):
            return []
        return [Mistake("dataset.classes", _EXPECTED, str(list(classes)), "such as dataset.classes=[0,1,2,3,4]")]

    def content(self) -> dict[str, Any]:
        """Return {}: the name identifies the set."""
        return {}

    def read(self) -> ImageSet:
        """Load the set with `digits`."""
        return digits(**self.arguments)


def digits(
    classes: Sequence[int] | None = None, *, name: str = "digits", val_fraction: float = 0.2, split_seed: int = 0
) -> ImageSet:
    """Return scikit-learn's digits, gray, with values 0..16 scaled to 0..255; a fifth is the test split.

    Args:
        classes: Selected digits, in the order of their indices; None: all ten.
        name: Name of the set.
        val_fraction: Fraction of all images for validation.
        split_seed: Seed of the split.

    Raises:
        TlxError: `classes` are not different digits.
    """
    import torch

    from tlx.data.splits.division import carve

    chosen = list(range(10)) if classes is None else list(classes)
    if not _are_digits(chosen):
        raise TlxError(f"dataset.classes: expected {_EXPECTED}, got {chosen}")
    values, shown = _table()
    pixels = torch.from_numpy(values * (255 / 16)).round().to(torch.uint8).view(-1, 1, 8, 8)  # (1797, 1, 8, 8)
    targets = {digit: target for target, digit in enumerate(chosen)}
    samples = [Sample(row, targets[d], f"digit {row}") for row, d in enumerate(shown.tolist()) if d in targets]
    names = [str(digit) for digit in chosen]
    return carve(name, names, Split(samples, pixels), val_fraction, 0.2, split_seed)


def _are_digits(classes: Sequence[int]) -> bool:
    return set(classes) <= set(range(10)) and len(set(classes)) == len(classes) > 1


def _table() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (1797, 64), float64, and the digits (1797,).

    They are read from scikit-learn's file, because importing scikit-learn takes seconds in every job of a sweep.
    """
    import numpy as np

    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1], table[:, -1].astype(int)
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return pixels, digits
