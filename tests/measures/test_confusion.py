"""Confusion, precision, recall and calibration by tables made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support
from torchmetrics.classification import MulticlassSpecificity

from tlx.measures.confusion import class_figures, confusion_matrix, most_confused, reliability


def test_rows_of_the_confusion_matrix_are_true_classes():
    """Guards against a matrix that is transposed, or that lacks classes which do not occur."""
    target, predicted = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 1, 1, 1, 0])
    assert confusion_matrix(target, predicted, 4).tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_precision_recall_and_f1_are_those_of_scikit_learn():
    """Guards against precision and recall that are exchanged, and against 0 where nothing was asked."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 5, (200,), generator=generator)
    predicted = torch.where(torch.rand(200, generator=generator) < 0.6, target, torch.randint(0, 4, (200,)))
    found = class_figures(confusion_matrix(target, predicted, 6))
    expected = precision_recall_fscore_support(target, predicted, labels=range(6), zero_division=math.nan)
    for ours, theirs in zip((found.precision, found.recall, found.f1), expected, strict=False):
        assert ours.tolist() == pytest.approx(theirs.tolist(), nan_ok=True)
    assert found.support.tolist() == expected[3].tolist()
    assert math.isnan(found.recall[5])  # no image of the class
    assert math.isnan(found.f1[5])
    assert found.recall[0] != found.precision[0]
    specificity = MulticlassSpecificity(6, average=None)(predicted, target)
    assert found.specificity.tolist() == pytest.approx(specificity.tolist())


# Ten images in three bins of five: (0.2, 0.4]: 2 at 0.3 and 0.4, one right; (0.4, 0.6]: 4 at 0.5, all right;
# (0.8, 1.0]: 4 at 0.9, 1.0, 1.0, 0.9, two right. ECE = 2/10 |0.5-0.35| + 4/10 |1-0.5| + 4/10 |0.5-0.95| = 0.41.
CONFIDENCE = [0.3, 0.4, 0.5, 0.5, 0.5, 0.5, 0.9, 1.0, 1.0, 0.9]
RIGHT = [1, 0, 1, 1, 1, 1, 1, 1, 0, 0]


def test_the_expected_calibration_error_is_that_of_a_table_made_by_hand():
    """Guards against a mean over bins instead of over images, and against borders that belong to the upper bin."""
    found = reliability(torch.tensor(CONFIDENCE, dtype=torch.float64), torch.tensor(RIGHT, dtype=torch.bool), bins=5)
    assert found.count.tolist() == [0, 2, 4, 0, 4]
    assert found.accuracy.tolist() == pytest.approx([math.nan, 0.5, 1.0, math.nan, 0.5], nan_ok=True)
    assert found.confidence.tolist() == pytest.approx([math.nan, 0.35, 0.5, math.nan, 0.95], nan_ok=True)
    assert found.ece == pytest.approx(0.41)


@pytest.mark.parametrize(
    ("confidence", "right", "ece"), [([1.0], [True], 0.0), ([1.0], [False], 1.0), ([0.75] * 4, [1, 1, 1, 0], 0.0)]
)
def test_calibration_of_few_images(confidence, right, ece):
    """Guards against 0 / 0 in a set of one image, and a perfect classifier that is called uncalibrated."""
    assert reliability(torch.tensor(confidence), torch.tensor(right)).ece == pytest.approx(ece)


def test_there_are_fifteen_bins_up_to_1():
    """Guards against another number than the paper's, and against confidence 1 in a bin of its own."""
    found = reliability(torch.tensor([0.06, 1.0, 0.94]), torch.tensor([True, True, True]))
    assert found.count.tolist() == [1] + [0] * 13 + [2]


def test_the_most_frequent_mistakes_come_first_and_right_ones_never():
    """Guards against the diagonal among the mistakes, and pairs the wrong way round."""
    confusion = torch.tensor([[90, 3, 0], [7, 80, 0], [0, 3, 70]])
    assert most_confused(confusion, 2) == [(1, 0, 7), (0, 1, 3)]
    assert most_confused(torch.eye(3, dtype=torch.int64), 5) == []
