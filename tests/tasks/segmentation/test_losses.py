"""The losses of segmentation against written-out references, and ignored pixels in each."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tlx.data.ignored import IGNORED
from tlx.tasks.dense import whole_batch
from tlx.tasks.dense.whole_batch import over_processes
from tlx.tasks.segmentation.loss_terms import LOSSES, loss_terms
from tlx.tasks.segmentation.losses import segmentation_loss


def _batch() -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 6, 5, generator=drawn)
    target = torch.randint(0, 3, (2, 6, 5), generator=drawn, dtype=torch.uint8)
    return scores, target


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_count_in_no_term(name):
    """Guards against a term in which the scores of ignored pixels, or their number, change the loss."""
    scores, target = _batch()
    wide = torch.cat([scores, 50 * torch.randn(2, 3, 6, 4)], dim=3)
    ignored = torch.cat([target, torch.full((2, 6, 4), IGNORED, dtype=torch.uint8)], dim=2)
    loss = segmentation_loss(scores, target, {name: 1.0})
    torch.testing.assert_close(segmentation_loss(wide, ignored, {name: 1.0}), loss)
    assert float(loss) > 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_ignored_pixels_alone_has_no_loss(name):
    """Guards against NaN from a mean over no pixel, which would end the training."""
    scores, target = _batch()
    scores.requires_grad_()
    loss = segmentation_loss(scores, torch.full_like(target, IGNORED), {name: 1.0})
    loss.backward()
    assert float(loss) == 0
    assert float(scores.grad.abs().max()) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_right_scores_have_no_loss_and_wrong_ones_have(name):
    """Guards against a term that rewards the wrong class."""
    _, target = _batch()
    right = torch.nn.functional.one_hot(target.long(), 3).movedim(-1, 1) * 100.0
    wrong = torch.nn.functional.one_hot((target.long() + 1) % 3, 3).movedim(-1, 1) * 100.0
    assert float(segmentation_loss(right, target, {name: 1.0})) == pytest.approx(0, abs=1e-5)
    assert float(segmentation_loss(wrong, target, {name: 1.0})) >= 0.99


def test_terms_against_references():
    """Guards against another formula: Dice over the batch, the focal loss's exponent, the order of Lovász errors."""
    scores, target = _batch()
    p, truth = scores.softmax(1), target.long()
    dice = []
    for one in range(3):
        both = 2 * (p[:, one] * (truth == one)).sum()
        dice.append(1 - both / (p[:, one].sum() + (truth == one).sum()))
    of_truth = p.gather(1, truth[:, None])
    focal = ((1 - of_truth) ** 2 * -of_truth.log()).mean()
    expected = {"dice": torch.stack(dice).mean(), "focal": focal, "ce": -of_truth.log().mean()}
    for name, value in expected.items():
        torch.testing.assert_close(segmentation_loss(scores, target, {name: 1.0}), value)
    hard = torch.nn.functional.one_hot(truth.flip(1), 3).movedim(-1, 1) * 1000.0  # at the corners it is 1 - IoU
    jaccard = []
    for one in range(3):
        called, true = truth.flip(1) == one, truth == one
        jaccard.append(1 - (called & true).sum() / (called | true).sum())
    torch.testing.assert_close(segmentation_loss(hard, target, {"lovasz": 1.0}), torch.stack(jaccard).mean())


def test_weights_of_terms_and_classes():
    """Guards against factors that are dropped, and class weights that are normalised away."""
    scores, target = _batch()
    one, other = (segmentation_loss(scores, target, {name: 1.0}) for name in ("ce", "dice"))
    torch.testing.assert_close(segmentation_loss(scores, target, {"ce": 2.0, "dice": 0.5}), 2 * one + 0.5 * other)
    doubled = segmentation_loss(scores, target, {"ce": 1.0}, torch.tensor([2.0, 2.0, 2.0]))
    torch.testing.assert_close(doubled, 2 * one)


@pytest.mark.parametrize("name", ["ce", "dice", "focal"])
def test_two_processes_have_the_loss_and_the_gradient_of_one_with_both_batches(name, monkeypatch):
    """Guards against Dice of each process's images, and a mean over pixels that counts those of processes unequally."""
    scores, target = _batch()
    target[0, :4] = IGNORED
    weights = torch.tensor([1.0, 3.0, 0.5])
    whole = scores.clone().requires_grad_()
    expected = segmentation_loss(whole, target, {name: 1.0}, weights)
    expected.backward()
    parts: list[Tensor] = []
    for i in range(2):
        segmentation_loss(scores[i][None], target[i][None], {name: 1.0}, weights, lambda s: (parts.append(s), s)[1])
    monkeypatch.setattr(whole_batch, "trainer_of", lambda module: SimpleNamespace(world_size=2))
    monkeypatch.setattr(whole_batch.dist, "all_reduce", lambda sums: sums.copy_(parts[0] + parts[1]))
    for i in range(2):
        own = scores[i][None].clone().requires_grad_()
        module = SimpleNamespace(training=True)
        loss = segmentation_loss(own, target[i][None], {name: 1.0}, weights, lambda s, m=module: over_processes(s, m))
        loss.backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(own.grad[0] / 2, whole.grad[i])  # DDP takes the mean over the processes


@pytest.mark.parametrize("text", ["", "ce+ce", "cross_entropy", "x*ce", "0*ce", "ce+", "inf*ce", "nan*ce"])
def test_a_loss_that_is_no_sum_of_terms_is_refused(text):
    """Guards against a misspelt loss found after minutes of reading images."""
    with pytest.raises(ValueError, match=r"sum of|number"):
        loss_terms(text)
