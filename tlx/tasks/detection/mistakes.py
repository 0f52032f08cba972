"""The mistakes of a detector, each with its kind: what a false detection lies on, and what an object was missed for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tlx.tasks.detection.matching import Detected, Matches, Objects, pairwise_iou
from tlx.tasks.detection.verdicts import Verdicts

INEXACT = 0.1  # IoU from which a box that fits no object is one of a nearby object
EXACT = 0.5


@dataclass(frozen=True)
class Mistake:
    """A false detection or a missed object.

    Args:
        image: The image, from 0.
        box: Left, top, right and bottom in its pixels.
        label: The class of the detection or of the object.
        score: Of the detection; of an object NaN.
        kind: In words.
        iou: The highest IoU with an object of the image, or for an object with a shown detection; 0: with none.
        other: The class of that object or detection; -1: there is none.
    """

    image: int
    box: tuple[float, float, float, float]
    label: int
    score: float
    kind: str
    iou: float
    other: int


def confident_errors(matches: Matches, verdicts: Verdicts, most: int) -> list[Mistake]:
    """Return the false detections with the highest scores."""
    detected, objects = matches.detected, matches.objects
    wrong = np.flatnonzero(verdicts.wrong)
    wrong = wrong[np.argsort(-detected.score[wrong], kind="stable")][:most]
    found = []
    for i in wrong.tolist():
        iou, other = _nearest(detected, i, objects)
        kind = _kind(iou, other == detected.label[i], "background", "found twice")
        found.append(_mistake(detected, i, float(detected.score[i]), kind, iou, other))
    return found


def missed_objects(matches: Matches, verdicts: Verdicts, most: int) -> list[Mistake]:
    """Return the missed objects, the largest first."""
    detected, objects = matches.detected, matches.objects
    shown = verdicts.right | verdicts.wrong
    faint = np.zeros(len(objects.label), dtype=bool)
    partner = detected.partner[~shown, 0]
    faint[partner[partner >= 0]] = True
    missed = np.flatnonzero(~verdicts.found)
    areas = (objects.box[missed, 2:] - objects.box[missed, :2]).prod(axis=1)
    missed = missed[np.argsort(-areas, kind="stable")][:most]
    seen = Objects(detected.image[shown], detected.label[shown], detected.box[shown])
    found = []
    for i in missed.tolist():
        iou, other = _nearest(objects, i, seen)
        kind = _kind(iou, other == objects.label[i], "nothing found", "taken by another object")
        found.append(_mistake(objects, i, math.nan, "score below the threshold" if faint[i] else kind, iou, other))
    return found


def _nearest(boxes: Detected | Objects, i: int, others: Detected | Objects) -> tuple[float, int]:
    """Return the highest IoU of a box with other boxes of its image, and the class of that one; 0 and -1: with none."""
    near = np.flatnonzero(others.image == boxes.image[i])
    ious = pairwise_iou(boxes.box[i][None], others.box[near])[0]
    if not ious.any():
        return 0.0, -1
    best = int(ious.argmax())
    return float(ious[best]), int(others.label[near[best]])


def _mistake(boxes: Detected | Objects, i: int, score: float, kind: str, iou: float, other: int) -> Mistake:
    left, top, right, bottom = boxes.box[i].tolist()
    return Mistake(int(boxes.image[i]), (left, top, right, bottom), int(boxes.label[i]), score, kind, iou, other)


def _kind(iou: float, same: bool, apart: str, taken: str) -> str:
    if iou < INEXACT:
        return apart
    if iou >= EXACT:
        return taken if same else "another class"
    return "inexact" if same else "inexact, another class"
