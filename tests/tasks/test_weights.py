"""Weights of classes: what they are, what the loss makes of them, and that a loaded run has the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

import tlx
from tlx.adaptation.base import widened
from tlx.backbones import small_cnn
from tlx.base.errors import ConfigError, TlxError
from tlx.tasks import Classification
from tlx.tasks.classification.weights import balanced, by_name, scaled
from tlx.tasks.learner import Learning

COUNTS = [60, 20, 5]
NAMES = ["cat", "dog", "owl"]


def task_of(weights, **keys) -> Classification:
    torch.manual_seed(0)
    learning = Learning(class_counts=COUNTS)
    return Classification(small_cnn(width=4), NAMES, class_weights=weights, learning=learning, **keys)


def batch(count: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return {"image": image, "target": torch.arange(count) % 3, "index": torch.arange(count)}


def test_balanced_weights_are_those_of_scikit_learn():
    """Guards against another formula, and against a class without images that makes the others infinite or smaller."""
    labels = np.repeat([0, 1, 2], COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced(COUNTS) == pytest.approx(expected.tolist())
    assert scaled(balanced(COUNTS), COUNTS).tolist() == pytest.approx(expected.tolist())  # their mean is 1 already
    assert balanced([60, 0, 20, 5]) == pytest.approx([expected[0], 1.0, *expected[1:]])


def test_named_weights_keep_their_ratio_and_have_the_mean_1_over_the_images():
    """Guards against a learning rate that means something else because of weights, and weights by position."""
    weights = scaled(by_name({"owl": 3.0, "cat": 0.5}, NAMES), COUNTS)
    assert (weights / weights[1]).tolist() == pytest.approx([0.5, 1.0, 3.0])
    assert sum(w * n for w, n in zip(weights.tolist(), COUNTS, strict=True)) / sum(COUNTS) == pytest.approx(1)
    assert by_name({1: 2.0}, ["0", "1"]) == [1.0, 2.0]  # YAML reads 1 as a number


def test_a_name_that_is_no_class_is_told_with_the_closest():
    """Guards against a weight without effect."""
    with pytest.raises(TlxError, match=r"task.class_weights: expected names of classes, got 'dgo'; did you mean 'dog'"):
        task_of({"dgo": 2.0})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_of_weight_times_cross_entropy(smoothing):
    """Guards against weights that do not reach the loss, or reach the parts of a smoothed target."""
    task, seen = task_of("balanced", label_smoothing=smoothing), batch()
    logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    weights = torch.tensor(balanced(COUNTS))
    each = F.cross_entropy(logits, seen["target"], label_smoothing=smoothing, reduction="none")
    assert float(task.loss_of(logits, seen)) == pytest.approx(float((weights[seen["target"]] * each).mean()))
    halves = [task.loss_of(logits[part], {"target": seen["target"][part]}) for part in (slice(0, 6), slice(6, 12))]
    assert float(sum(halves)) / 2 == pytest.approx(float(task.loss_of(logits, seen)))  # as in two processes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_loss_is_that_of_every_precision(dtype):
    """Guards against logits and weights of two types, and weights that are rounded once more with the loss."""
    task, seen = task_of("balanced").to(dtype), batch()
    logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    loss = task.loss_of(logits, seen)
    assert loss.dtype == widened(logits).dtype
    assert float(loss) == pytest.approx(float(task_of("balanced").loss_of(logits.float(), seen)), rel=5e-3)


def test_what_selects_is_weighted_like_what_trains():
    """Guards against a best checkpoint by another loss, padding that counts, and an accuracy that is weighted."""
    task, plain, seen = task_of("balanced").eval(), task_of(None).eval(), batch()
    seen["target"][9:] = -1
    with torch.no_grad():
        for one in (task, plain):
            for part in (slice(0, 5), slice(5, 12)):
                one.test_step({key: value[part] for key, value in seen.items()}, 0)
                one.validation_step({key: value[part] for key, value in seen.items()}, 0)
        logits = task(seen["image"]).float()
    weights = torch.tensor(balanced(COUNTS), dtype=torch.float32)
    found, without = task.measured.test.compute(), plain.measured.test.compute()
    assert task.measured.val.compute() == found
    expected = F.cross_entropy(logits, seen["target"], weights, ignore_index=-1)
    assert float(found.pop("loss")) == pytest.approx(float(expected), rel=1e-5)
    assert float(without.pop("loss")) == pytest.approx(float(F.cross_entropy(logits[:9], seen["target"][:9])), rel=1e-5)
    assert found == without


def test_a_checkpoint_without_weights_is_as_before():
    """Guards against checkpoints of earlier versions that are refused for a key which they lack."""
    assert "class_weights" not in task_of(None).state_dict()
    assert task_of("balanced").state_dict()["class_weights"].tolist() == pytest.approx(balanced(COUNTS))


MISTAKES = [
    (["task.class_weights={5: 2, 12: 3}"], "a class of dataset 'digits', got 12"),
    (
        ["task.class_weights=balance"],
        "expected balanced, a mapping or null, got 'balance'\n    did you mean 'balanced'",
    ),
    (["task.class_weights={5: 0}"], "task.class_weights.5: expected a number above 0, got 0"),
    (["task.class_weights={5: two}"], "task.class_weights.5: expected a number, got 'two'"),
    (["task.class_weights=balanced", "dataset.sampling=balanced"], "expected one of task.class_weights=balanced and"),
    (["dataset.sampling=uniform"], "dataset.sampling: expected balanced or null, got 'uniform'"),
    (["target=plates", "target.sampling=balanced", "strategy=coral"], "target.sampling: expected null"),
]


@pytest.mark.parametrize(("typed", "told"), MISTAKES, ids=[" ".join(typed) for typed, _ in MISTAKES])
def test_a_mistake_is_told_before_anything_is_built(typed, told):
    """Guards against a mistyped class that shows when the network is built, and classes that count twice over."""
    with pytest.raises(ConfigError) as caught:
        tlx.compose(["backbone=small_cnn", "dataset=digits", *typed])
    assert len(caught.value.mistakes) == 1
    assert told in str(caught.value)


@pytest.mark.run
@pytest.mark.parametrize("weights", ["balanced", "{0: 0.5, 2: 4}"])
def test_a_run_is_selected_and_tested_by_its_own_loss(uneven, tmp_path, weights):
    """Guards against weights that are lost with the process that trained, or of the whole set in place of train."""
    config = tlx.compose([*uneven, f"task.class_weights={weights}", "strategy=full", f"run_dir={tmp_path / 'run'}"])
    run = tlx.train(config)
    held = run.model.class_weights
    counts = [36, 12, 4]
    told = balanced(counts) if weights == "balanced" else [0.5, 1.0, 4.0]
    assert held.tolist() == pytest.approx(scaled(told, counts).tolist())
    again = run.test()
    assert again["test/loss"] == pytest.approx(run.metrics["test/loss"], rel=1e-4)
    plain = tlx.train(tlx.compose([*uneven, "strategy=full", f"run_dir={tmp_path / 'plain'}"]))
    assert plain.metrics["train/steps"] == run.metrics["train/steps"]
    assert plain.metrics["test/loss"] != pytest.approx(run.metrics["test/loss"], rel=1e-3)
