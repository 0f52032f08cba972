"""Average precision of matched detections in any number of resamples of the images.

A resample is a row of counts of the images, as in `tlx.measures.intervals`; a row of ones is the whole set. Detections
are sorted once; an image that is drawn twice counts its detections twice at the same rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlx.tasks.detection.matching import Matches

RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's; precision is averaged over them


@dataclass(frozen=True)
class RankedClass:
    """The detections of one class in all images by falling score, at T IoU thresholds.

    Args:
        image: Image of each detection (D,).
        score: (D,).
        hits: For each threshold the places of the right ones, ascending.
        ignored: For each threshold the places of those that do not count, ascending.
        objects: Number of objects of the class in each image (N,).
    """

    image: np.ndarray
    score: np.ndarray
    hits: list[np.ndarray]
    ignored: list[np.ndarray]
    objects: np.ndarray


def ranked_classes(matches: Matches, classes: int) -> list[RankedClass]:
    """Return the detections of each class by falling score; of equal scores, the earlier image comes first."""
    detected, objects = matches.detected, matches.objects
    found = []
    for one in range(classes):
        own = np.flatnonzero(detected.label == one)
        own = own[np.argsort(-detected.score[own], kind="stable")]
        hit, ignored = detected.hit[own], detected.ignored[own]
        found.append(
            RankedClass(
                image=detected.image[own],
                score=detected.score[own],
                hits=[np.flatnonzero(column) for column in hit.T],
                ignored=[np.flatnonzero(column) for column in ignored.T],
                objects=np.bincount(objects.image[objects.label == one], minlength=matches.images),
            )
        )
    return found


def precision_and_recall(ranked: RankedClass, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the average precision and the recall at each threshold in each resample, each (B, T), float64.

    Both are NaN where no object is drawn.

    Args:
        ranked: The class.
        drawn: Count of each image in each resample (B, N), integers.
    """
    counts = drawn[:, ranked.image]
    total = np.cumsum(counts, axis=1)
    objects = (drawn @ ranked.objects)[:, None]
    columns = [
        _at_one_threshold(counts, total, objects, *each) for each in zip(ranked.hits, ranked.ignored, strict=True)
    ]
    precisions, recalls = (np.stack(column, axis=1) for column in zip(*columns, strict=True))
    there = objects > 0
    return np.where(there, precisions, np.nan), np.where(there, recalls, np.nan)


def _at_one_threshold(
    counts: np.ndarray, total: np.ndarray, objects: np.ndarray, hits: np.ndarray, ignored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the average precision and the recall in each of B resamples (B,) at one IoU threshold.

    Args:
        counts: How often a resample has each detection, by descending score (B, D).
        total: Their sums from the highest score on (B, D).
        objects: Objects of each resample (B, 1).
        hits: Places of the right detections (h,).
        ignored: Places of detections that do not count (i,).
    """
    if not len(hits):
        return np.zeros(len(counts)), np.zeros(len(counts))
    right = np.cumsum(counts[:, hits], axis=1)
    called = total[:, hits]
    if len(ignored):
        before = np.zeros((len(counts), len(ignored) + 1), dtype=called.dtype)
        np.cumsum(counts[:, ignored], axis=1, out=before[:, 1:])
        called = called - before[:, np.searchsorted(ignored, hits)]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(called > 0, right / called, 0.0)
        recall = np.where(objects > 0, right / objects, 0.0)
    # Between two right detections precision only falls, so the highest one from a recall upwards is at a right one.
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, recall.ravel(), side="right").reshape(recall.shape)
    return (highest * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS), recall[:, -1]
