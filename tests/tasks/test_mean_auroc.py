"""The area under the ROC curve: its value, what is left out, and a run that is selected by it."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

import tlx
from tests.adaptation.test_runs import history
from tlx.backbones import small_cnn
from tlx.base.errors import TlxError
from tlx.tasks import Classification
from tlx.tasks.classification.class_counts import IGNORED
from tlx.tasks.classification.mean_auroc import MeanAuroc, one_vs_rest_auroc

CLASSES = 4


def seen(count: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with ties, of classes of which the last has no image."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, CLASSES - 1, (count,), generator=generator)
    logits = torch.randn(count, CLASSES, generator=generator)
    logits[range(count), target] += 0.7
    logits[: count // 2] = logits[: count // 2].round()
    return logits, target


def test_each_class_against_the_rest_is_that_of_scikit_learn():
    """Guards against columns of other classes, ties that count whole, and 0 where nothing can be said."""
    logits, target = seen()
    probabilities = logits.softmax(1)
    found = one_vs_rest_auroc(probabilities, target)
    expected = [roc_auc_score(target == one, probabilities[:, one]) for one in range(CLASSES - 1)]
    assert found.tolist() == pytest.approx([*expected, math.nan], abs=1e-6, nan_ok=True)
    assert one_vs_rest_auroc(probabilities, torch.zeros_like(target)).isnan().all()


def test_the_mean_is_over_all_batches_and_over_the_classes_that_there_are():
    """Guards against a mean of batches, padding that counts, and a class without images that counts as 0."""
    logits, target = seen()
    ranking = MeanAuroc()
    for part in (slice(0, 40), slice(40, 90)):
        ranking.update(logits[part], target[part])
    ranking.update(logits[:3], torch.full((3,), IGNORED))
    expected = [roc_auc_score(target == one, logits.softmax(1)[:, one]) for one in range(CLASSES - 1)]
    assert float(ranking.compute()["auroc"]) == pytest.approx(sum(expected) / 3, abs=1e-6)
    ranking.reset()
    ranking.update(logits, torch.ones_like(target))
    assert ranking.compute() == {}


def test_probabilities_are_kept_only_where_they_are_asked_for():
    """Guards against the memory of a whole split in every run."""
    for monitor, kept in (("val/loss", 0), ("val/auroc", 1)):
        task = Classification(small_cnn(width=4), ["a", "b"], monitor=monitor).eval()
        batch = {
            "image": torch.zeros(2, 3, 16, 16, dtype=torch.uint8),
            "target": torch.tensor([0, 1]),
            "index": torch.arange(2),
        }
        task.validation_step(batch, 0)
        assert len(task.measured.val_auroc.probabilities) == kept


def test_a_validation_split_of_one_class_is_told():
    """Guards against a run in which every epoch counts as the best, as nothing was measured."""
    task = Classification(small_cnn(width=4), ["a", "b"], monitor="val/auroc", mode="max").eval()
    task.log_dict = lambda figures: None
    image, target = torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.tensor([1, 1])
    task.validation_step({"image": image, "target": target, "index": torch.arange(2)}, 0)
    with pytest.raises(
        TlxError, match=r"task.monitor: expected validation images of two classes or more for val/auroc"
    ):
        task.on_validation_epoch_end()


@pytest.mark.run
@pytest.mark.parametrize("key", ["task.monitor=val/auroc task.mode=max", "++strategy.monitor=val/auroc"])
def test_a_run_is_selected_by_it(uneven, tmp_path, key):
    """Guards against a figure that is not there where the strategy asks for it, and the worst checkpoint."""
    typed = [*uneven, *key.split(), "strategy=full", "trainer.stage_epochs=4", "trainer.keep=best", "optimizer.lr=3e-3"]
    run = tlx.train(tlx.compose([*typed, f"run_dir={tmp_path / 'run'}"]))
    curve = [float(row["val/auroc"]) for row in history(run)]
    assert run.metrics["val/auroc"] == pytest.approx(max(curve))
    assert len(set(curve)) > 1
    best = torch.load(run.checkpoints / "best.ckpt", weights_only=True)["epoch"]
    assert curve.index(max(curve)) == best
