"""Match detections with the objects of their images, as COCO does, once for all images.

At each IoU threshold, the detections of an image choose in the order of their scores: the object of their class with
the highest IoU that no other detection has. One that fits only an ignored object counts neither as right nor as wrong
(Lin et al., Microsoft COCO, 2014; `COCOeval.evaluateImg` of pycocotools).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tlx.data.box_labels import CLASS, IGNORE
from tlx.tasks.detection.found import SCORE, counted

IOUS = np.linspace(0.5, 0.95, 10)
AT_ONCE = 2_000_000  # numbers that are processed together: as many images as have this many


@dataclass(frozen=True)
class Detected:
    """The detections of N images that count, D of them, in the order of the images and of falling scores.

    Args:
        image: Image of each (D,), from 0.
        place: Its row in the detections of the image (D,).
        label: Class (D,).
        score: (D,).
        box: Left, top, right and bottom (D, 4).
        partner: The object that it matches at each of T thresholds (D, T), an index of `Objects`; -1: none.
        ignored: Whether it matches only an ignored object (D, T).
    """

    image: np.ndarray
    place: np.ndarray
    label: np.ndarray
    score: np.ndarray
    box: np.ndarray
    partner: np.ndarray
    ignored: np.ndarray

    @property
    def hit(self) -> np.ndarray:
        """Whether each detection is right at each threshold (D, T)."""
        found: np.ndarray = self.partner >= 0
        return found


@dataclass(frozen=True)
class Objects:
    """The objects of N images that are not ignored, G of them, in the order of the images.

    Args:
        image: Image of each (G,), from 0.
        label: Class (G,).
        box: Left, top, right and bottom (G, 4).
    """

    image: np.ndarray
    label: np.ndarray
    box: np.ndarray


@dataclass(frozen=True)
class Matches:
    """Detections and objects of N images, matched."""

    detected: Detected
    objects: Objects
    images: int


def match(found: Tensor, truth: Tensor, ious: np.ndarray = IOUS, across_classes: bool = False) -> Matches:
    """Match the detections of images with their objects.

    Args:
        found: Detections (N, D, 6); rows that are empty or have a score below LEAST_SCORE do not count.
        truth: Objects (N, G, 6), as in a batch.
        ious: The thresholds (T,).
        across_classes: Whether a detection may match an object of another class.
    """
    kept = counted(found).numpy()
    there = (truth[..., CLASS] >= 0).numpy()
    found_rows, truth_rows = found.numpy(), truth.numpy()
    order = np.argsort(np.where(kept, -found_rows[..., SCORE], np.inf), axis=1, kind="stable")
    found_rows = np.take_along_axis(found_rows, order[..., None], axis=1)
    kept = np.take_along_axis(kept, order, axis=1)
    most = int(kept.sum(axis=1).max(initial=0))
    found_rows, kept, order = found_rows[:, :most], kept[:, :most], order[:, :most]
    usual = there & (truth_rows[..., IGNORE] == 0)
    crowd = there & ~usual
    images = len(found_rows)
    partner = np.full((images, most, len(ious)), -1, dtype=np.int32)
    ignored = np.zeros((images, most, len(ious)), dtype=bool)
    step = max(1, AT_ONCE // max(1, truth_rows.shape[1] * max(most, len(ious))))
    for start in range(0, images, step):
        some = slice(start, start + step)
        overlap = _overlap(found_rows[some], truth_rows[some], crowd[some])
        possible = kept[some, :, None] & there[some, None, :]
        if not across_classes:
            possible &= found_rows[some, :, None, CLASS] == truth_rows[some, None, :, CLASS]
        overlap[~possible] = -1
        _choose(overlap, usual[some], ious, partner[some], ignored[some])
    numbers = np.cumsum(usual, dtype=np.int32).reshape(usual.shape) - 1  # of objects, over all images
    if numbers.size:
        places = np.take_along_axis(numbers[:, None, :], np.maximum(partner, 0).reshape(images, 1, -1), axis=2)
        partner = np.where(partner >= 0, places.reshape(partner.shape), -1)
    of = np.broadcast_to(np.arange(images)[:, None], kept.shape)[kept]
    rows, objects = found_rows[kept], truth_rows[usual]
    detected = Detected(
        image=of,
        place=order[kept],
        label=rows[:, CLASS].astype(np.int64),
        score=rows[:, SCORE],
        box=rows[:, :4],
        partner=partner[kept],
        ignored=ignored[kept],
    )
    their = np.broadcast_to(np.arange(images)[:, None], usual.shape)[usual]
    return Matches(detected, Objects(their, objects[:, CLASS].astype(np.int64), objects[:, :4]), images)


def _choose(overlap: np.ndarray, usual: np.ndarray, ious: np.ndarray, partner: np.ndarray, ignored: np.ndarray) -> None:
    """Fill in the places of the chosen objects and which detections match only an ignored one, both (N, D, T).

    Args:
        overlap: IoU of detections and objects (N, D, G); negative where they cannot match.
        usual: Objects that are not ignored (N, G).
        ious: Thresholds (T,).
        partner: Filled in.
        ignored: Filled in.
    """
    last = overlap.shape[2] - 1
    if last < 0:
        return
    free = np.broadcast_to(usual[:, None, :], (len(usual), len(ious), last + 1)).copy()
    for i in range(overlap.shape[1]):
        own = overlap[:, i, None, :]  # (N, 1, G)
        fits = own >= ious[:, None]  # (N, T, G)
        candidates = np.where(fits & free, own, -1.0)
        best = last - candidates[..., ::-1].argmax(axis=2)  # of equal ones the last, as in pycocotools
        chosen = np.take_along_axis(candidates, best[..., None], axis=2) >= 0
        np.put_along_axis(free, best[..., None], np.take_along_axis(free, best[..., None], axis=2) & ~chosen, axis=2)
        partner[:, i] = np.where(chosen[..., 0], best, -1)
        ignored[:, i] = ~chosen[..., 0] & (fits & ~usual[:, None, :]).any(axis=2)


def _overlap(found: np.ndarray, truth: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Return the IoU of detections (N, D, 6) and objects (N, G, 6): (N, D, G), float64.

    For an ignored object it is the share of the detection that lies in it. Computed from left, top, width and height in
    the order of pycocotools' `bbIou`, so that thresholds are met by the same pairs.
    """
    found, truth = found[:, :, None, :4], truth[:, None, :, :4]
    sizes, origins = [], []
    for box in (found, truth):
        sizes.append((box[..., 2:] - box[..., :2]).astype(np.float64))
        origins.append(box[..., :2].astype(np.float64))
    ends = [origin + size for origin, size in zip(origins, sizes, strict=True)]
    common = np.maximum(np.minimum(*ends) - np.maximum(*origins), 0).prod(axis=-1)
    areas = [size.prod(axis=-1) for size in sizes]
    whole = np.where(crowd[:, None, :], areas[0], areas[0] + areas[1] - common)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou: np.ndarray = np.where(common > 0, common / whole, 0.0)
    return iou


def pairwise_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes (D, 4) and (G, 4): (D, G), float64."""
    none = np.zeros((1, len(truth)), dtype=bool)
    iou: np.ndarray = _overlap(found[None], truth[None], none)[0]
    return iou
