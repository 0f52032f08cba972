"""Confusion matrices, and the scores that follow from them, against torchmetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.classification import MulticlassJaccardIndex

from tests.tasks.segmentation.masks import split
from tlx.data.ignored import IGNORED
from tlx.tasks.segmentation import confusion as counting
from tlx.tasks.segmentation import scores
from tlx.tasks.segmentation.confusion import confusion, confusion_by_image
from tlx.tasks.segmentation.outputs import badness, image_ious, rows_of
from tlx.tasks.segmentation.scores import ClassPixels


def flat(predicted: torch.Tensor, truth: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and predicted classes of the pixels that count, for scikit-learn."""
    counted = truth != IGNORED
    return truth[counted].numpy(), predicted[counted].numpy()


@pytest.mark.parametrize("at_once", [7, 2**22])
def test_the_confusion_is_that_of_scikit_learn_whatever_the_types(at_once, monkeypatch):
    """Guards against ignored pixels that count, rows that are predictions, and pieces that are lost or count twice."""
    monkeypatch.setattr(counting, "PIXELS_AT_ONCE", at_once)
    predicted, truth = (masks[:2, :11, 5:] for masks in split())
    expected = confusion_matrix(*flat(predicted, truth), labels=range(4))
    assert IGNORED in truth
    for true, called in ((truth, predicted), (truth.long(), predicted.byte()), (truth.int(), predicted.short())):
        found = confusion(called, true, 4)
        assert found.dtype == torch.int64
        assert found.tolist() == expected.tolist()
        each = confusion_by_image(called, true, 4)
        assert each.sum(dim=0).tolist() == expected.tolist()
        assert each[1].tolist() == confusion_matrix(*flat(called[1], true[1]), labels=range(4)).tolist()
    assert truth.max() == IGNORED  # the masks were left as they are
    assert confusion(predicted.long(), truth.long().masked_fill(truth == IGNORED, -1), 4).tolist() == expected.tolist()


def test_classes_beyond_the_last_are_ignored_too():
    """Guards against a value without a class that is counted as a class of the next row."""
    predicted, truth = torch.tensor([[0, 1, 1]]), torch.tensor([[2, 1, 0]])
    assert confusion(predicted, truth, 2).tolist() == [[0, 1], [0, 1]]
    assert confusion_by_image(predicted[:0], truth[:0], 2).shape == (0, 2, 2)


def test_the_mean_iou_is_that_of_all_pixels_by_torchmetrics_and_scikit_learn():
    """Guards against a mean over images, over batches, or over classes that are nowhere."""
    predicted, truth = split()
    metric = MulticlassJaccardIndex(6, average="none", ignore_index=IGNORED)
    for called, true in zip(predicted, truth, strict=True):
        metric.update(called, true.long())
    pixels = ClassPixels.of(confusion(predicted, truth, 6))  # two of six classes are nowhere
    ious = scores.iou(pixels)
    assert ious[:4].tolist() == pytest.approx(metric.compute()[:4].tolist(), abs=1e-6)
    assert ious[4:].isnan().all()
    of_pixels = flat(predicted, truth)
    assert ious[:4].tolist() == pytest.approx(jaccard_score(*of_pixels, average=None).tolist(), abs=1e-12)
    assert float(scores.class_mean(ious)) == pytest.approx(jaccard_score(*of_pixels, average="macro"), abs=1e-12)
    foreground = jaccard_score(*of_pixels, average="macro", labels=[0, 1, 3])
    assert float(scores.class_mean(ious, without=2)) == pytest.approx(foreground, abs=1e-12)
    means = [jaccard_score(*flat(p, t), average="macro") for p, t in zip(predicted, truth, strict=True)]
    assert abs(np.mean(means) - float(scores.class_mean(ious))) > 1e-3  # the two differ
    assert image_ious(confusion_by_image(predicted, truth, 6)).tolist() == pytest.approx(means, abs=1e-12)


def test_the_other_scores_are_those_of_scikit_learn():
    """Guards against precision and recall exchanged, and scores of all matrices but the last axes."""
    predicted, truth = split()
    of_pixels = flat(predicted, truth)
    several = torch.stack([torch.zeros(4, 4, dtype=torch.long), confusion(predicted, truth, 4)])
    pixels = ClassPixels.of(several)
    for score, reference in (
        (scores.dice, f1_score),
        (scores.precision, precision_score),
        (scores.recall, recall_score),
    ):
        assert score(pixels)[1].tolist() == pytest.approx(reference(*of_pixels, average=None).tolist(), abs=1e-12)
        assert score(pixels)[0].isnan().all()
    assert float(scores.accuracy(pixels)[1]) == pytest.approx((of_pixels[0] == of_pixels[1]).mean(), abs=1e-12)


def test_a_class_that_is_only_predicted_counts_as_zero():
    """Guards against predictions of a class that is nowhere that cost nothing."""
    found = scores.iou(ClassPixels.of(torch.tensor([[3, 1, 0], [0, 0, 0], [0, 0, 0]])))
    assert found[:2].tolist() == [0.75, 0]
    assert found[2].isnan()
    assert float(scores.class_mean(found)) == 0.375


def test_an_image_without_an_error_is_not_bad():
    """Guards against pictures of right predictions among the worst, and against a class that is absent as an error."""
    right, wrong, none = [[3, 0, 0], [0, 5, 0], [0, 0, 0]], [[3, 0, 0], [5, 0, 0], [0, 0, 0]], [[0] * 3] * 3
    found = badness(rows_of(torch.tensor([right, wrong, none]), torch.zeros(3, 2, 3)))
    assert found.isnan().tolist() == [True, False, True]
    assert float(found[1]) == pytest.approx(1 - 3 / 8 / 2)
