"""Confusion of classes with one another and with the background."""

from __future__ import annotations

import numpy as np
import torch

from tlx.data.box_labels import CLASS, IGNORE, NO_OBJECT
from tlx.tasks.detection.matching import IOUS, match
from tlx.tasks.detection.outputs import TestOutputs
from tlx.tasks.detection.summary import Summary


def class_confusion(outputs: TestOutputs, summary: Summary) -> torch.Tensor:
    """Return counts (L, L), L = K + 1, int64: row = class of the object, column = class of the detection.

    The last row counts detections of the background, the last column objects that no detection fits. Detections match
    objects of their own class first; the others then match those that are left, at an IoU of 0.5.

    Args:
        outputs: The recorded outputs.
        summary: The metrics of the split.
    """
    detected, verdicts = summary.matches.detected, summary.verdicts
    classes = len(summary.names)
    matrix = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    np.add.at(matrix, (detected.label[verdicts.right],) * 2, 1)
    wrong, missed = np.flatnonzero(verdicts.wrong), np.flatnonzero(~verdicts.found)
    left_found, left_truth = torch.full_like(outputs.found, NO_OBJECT), outputs.truth.clone()
    at = torch.from_numpy(detected.image[wrong]), torch.from_numpy(detected.place[wrong])
    left_found[at] = outputs.found[at]
    there = (left_truth[..., CLASS] >= 0) & (left_truth[..., IGNORE] == 0)
    left_truth[..., CLASS] = torch.where(there, left_truth[..., CLASS], NO_OBJECT)
    rows = left_truth[there]
    rows[torch.from_numpy(verdicts.found), CLASS] = NO_OBJECT
    left_truth[there] = rows
    again = match(left_found, left_truth, IOUS[:1], across_classes=True)
    partner = again.detected.partner[:, 0]
    right = partner >= 0
    true = again.objects.label[partner[right]]
    np.add.at(matrix, (true, again.detected.label[right]), 1)
    matrix[classes] += np.bincount(again.detected.label[~right], minlength=classes + 1)
    unmatched = np.ones(len(missed), dtype=bool)
    unmatched[partner[right]] = False
    matrix[:, classes] += np.bincount(again.objects.label[unmatched], minlength=classes + 1)
    return torch.from_numpy(matrix)
