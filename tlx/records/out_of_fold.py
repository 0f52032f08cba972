"""out_of_fold.csv: what each network of a cross-validation predicted for the images that it was not trained on."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tlx.base.errors import TlxError
from tlx.records.prediction_columns import (
    CONFIDENCE,
    FOLD,
    IMAGE,
    PREDICTED,
    REPEAT,
    TRUE,
    probability_columns,
)

FILE = "out_of_fold.csv"
_OWN = (IMAGE, TRUE, FOLD, REPEAT, PREDICTED, CONFIDENCE)


@dataclass(frozen=True, repr=False)
class OutOfFold:
    """Predictions for images that were held out, a row for each image and repeat.

    Args:
        images: Name of the image of each row, as in the set.
        class_names: Class names in the order of the probabilities.
        labels: True class of each row (N,), int64.
        fold: The fold that the image was in, from 1 (N,), int64.
        repeat: The division into folds, from 1 (N,), int64.
        probabilities: Of each class (N, K), float64; rows sum to 1 up to rounding.

    Examples:
        >>> import numpy as np
        >>> from tlx.records.out_of_fold import OutOfFold
        >>> ones = np.ones(2, int)
        >>> OutOfFold(["a.jpg", "b.jpg"], ["cat", "dog"], 0 * ones, ones, ones, np.array([[0.9, 0.1], [0.2, 0.8]]))
        <OutOfFold of 2 images, 1 wrong>
    """

    images: list[str]
    class_names: list[str]
    labels: np.ndarray
    fold: np.ndarray
    repeat: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        mean = self.mean()
        return f"<OutOfFold of {len(mean)} images, {int((mean.predicted != mean.labels).sum())} wrong>"

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class of each row (N,), int64."""
        most: np.ndarray = self.probabilities.argmax(axis=1)
        return most

    def mean(self) -> OutOfFold:
        """Return a row for each image, with the mean of its probabilities over repeats; `fold` is that of the first."""
        first = self.repeat == 1
        if first.all():
            return self
        order = [np.flatnonzero(self.repeat == repeat) for repeat in range(1, int(self.repeat.max()) + 1)]
        mean = np.mean([self.probabilities[rows] for rows in order], axis=0)
        names = [self.images[row] for row in order[0]]
        return OutOfFold(names, self.class_names, self.labels[first], self.fold[first], self.repeat[first], mean)

    def csv(self) -> str:
        """Return the content of the file: a row for each image and repeat, in the order of the set's images."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*_OWN, *probability_columns(self.class_names)])
        columns = (self.labels, self.fold, self.repeat, self.predicted, self.probabilities)
        for image, label, fold, repeat, most, row in zip(self.images, *(c.tolist() for c in columns), strict=True):
            numbers = [f"{value:.8g}" for value in row]
            writer.writerow(
                [image, self.class_names[label], fold, repeat, self.class_names[most], numbers[most], *numbers]
            )
        return text.getvalue()


def read_out_of_fold(path: Path, class_names: Sequence[str]) -> OutOfFold:
    """Return what the file of a run holds.

    Args:
        path: The file.
        class_names: Class names of the run.

    Raises:
        TlxError: It is damaged.
    """
    columns = probability_columns(class_names)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        places = {name: i for i, name in enumerate(class_names)}
        numbers = np.array([[float(row[column]) for column in columns] for row in rows]).reshape(-1, len(columns))
        labels, fold, repeat = (
            np.array(values, dtype=np.int64)
            for values in (
                [places[row[TRUE]] for row in rows],
                [int(row[FOLD]) for row in rows],
                [int(row[REPEAT]) for row in rows],
            )
        )
        return OutOfFold([row[IMAGE] for row in rows], list(class_names), labels, fold, repeat, numbers)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise TlxError(
            f"cannot read {path}: expected a table with {', '.join(_OWN)} and the classes, got {error!r}; "
            "force=true trains the run again"
        ) from error
