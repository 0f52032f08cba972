"""`test_resamples.json` of a run: its test metrics in each resample of its test images.

Runs that were tested on the same images drew the same resamples, so their values are paired: see
`tlx.measures.intervals`. Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tlx.records.reading import check, read_json, unreadable

FILE = "test_resamples.json"


@dataclass(frozen=True)
class Resamples:
    """The resamples of a run's test split.

    Args:
        images: Hash of the test images; runs with the same hash were tested on the same ones.
        count: Number of test images.
        units: Number of images, or of groups of images, that were drawn from.
        figures: Metric -> its value in each resample (B,), such as `test/accuracy`.
    """

    images: str
    count: int
    units: int
    figures: Mapping[str, np.ndarray]

    @property
    def drawn(self) -> str:
        """What was drawn, in words: `359 test images`, `12 groups of 359 test images`."""
        images = f"{self.count:,} test images"
        return images if self.units == self.count else f"{self.units:,} groups of {images}"

    def text(self) -> str:
        """Return the content of the file. The values of a metric are one text, which takes little time to read."""
        figures = {name: " ".join(f"{value:.6g}" for value in values) for name, values in self.figures.items()}
        return json.dumps({"images": self.images, "count": self.count, "units": self.units, "figures": figures})


@dataclass
class _Stored:
    images: str
    count: int
    units: int
    figures: dict[str, str]


def read_resamples(directory: Path) -> Resamples | None:
    """Return the resamples of a run; None if it has none: an earlier version of tlx, a single test image, an own task.

    Raises:
        TlxError: The file is damaged.
    """
    path, expected = directory / FILE, "metrics in resamples of the test images"
    try:
        plain = read_json(path, expected)
    except FileNotFoundError:
        return None
    check(plain, _Stored, path, expected)
    found = _Stored(**{key: plain[key] for key in _Stored.__dataclass_fields__})
    try:
        figures = {name: np.array(values.split(), dtype=np.float64) for name, values in found.figures.items()}
    except ValueError as error:
        raise unreadable(path, expected, str(error)[:100]) from error
    if len({len(values) for values in figures.values()}) > 1:
        raise unreadable(path, expected, "metrics with different numbers of resamples")
    return Resamples(**{**asdict(found), "figures": figures})
