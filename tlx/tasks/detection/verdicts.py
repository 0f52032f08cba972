"""Which detections are right and which objects are found, at an IoU of 0.5 and from each class's threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlx.tasks.detection.matching import Matches


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on the detections and objects of `Matches`.

    Args:
        right: Whether a detection from the threshold of its class matches an object (D,).
        wrong: Whether it matches neither an object nor an ignored one (D,).
        found: Whether an object is matched by such a detection (G,).
    """

    right: np.ndarray
    wrong: np.ndarray
    found: np.ndarray


def judged(matches: Matches, thresholds: np.ndarray) -> Verdicts:
    """Return the verdicts; the first threshold of IoU in `matches` is 0.5.

    Args:
        matches: Matched detections.
        thresholds: The score of each class (K,) from which a detection counts.
    """
    detected = matches.detected
    shown = detected.score >= thresholds[detected.label]
    right = shown & detected.hit[:, 0]
    found = np.zeros(len(matches.objects.label), dtype=bool)
    found[detected.partner[right, 0]] = True
    return Verdicts(right, shown & ~right & ~detected.ignored[:, 0], found)


def image_f1(matches: Matches, verdicts: Verdicts) -> np.ndarray:
    """Return the F1 of each image (N,); NaN for one without objects and detections."""
    right, wrong = (
        np.bincount(matches.detected.image[which], minlength=matches.images)
        for which in (verdicts.right, verdicts.wrong)
    )
    objects = np.bincount(matches.objects.image, minlength=matches.images)
    with np.errstate(invalid="ignore"):
        f1: np.ndarray = 2 * right / (right + wrong + objects)
    return f1
