from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from tlx.tasks.classification.class_counts import IGNORED, ClassCounts

CLASSES = 7


def batches(rare: bool) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Five batches, with padding; `rare`: two classes are never there, of which one is predicted."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 9, CLASSES, generator=generator)
    target = torch.randint(0, CLASSES - 2 if rare else CLASSES, (5, 9), generator=generator)
    if rare:
        logits[..., -1] = -100
    target[-1, 5:] = IGNORED
    return list(zip(logits, target, strict=True))


@pytest.mark.parametrize("rare", [False, True])
def test_figures_are_those_of_torchmetrics(rare):
    """Guards against means over classes that are nowhere, padding that counts, or a mean of batch means."""
    seen = batches(rare)
    tally = ClassCounts(CLASSES)
    wanted = {
        "accuracy": MulticlassAccuracy(CLASSES, average="micro", ignore_index=IGNORED),
        "balanced_accuracy": MulticlassAccuracy(CLASSES, average="macro", ignore_index=IGNORED),
        "f1": MulticlassF1Score(CLASSES, average="macro", ignore_index=IGNORED),
    }
    for logits, target in seen:
        tally.update(logits, target)
        for metric in wanted.values():
            metric.update(logits, target)
    figures = {name: float(value) for name, value in tally.compute().items()}
    logits, target = (torch.cat(parts) for parts in zip(*seen, strict=True))
    expected = {name: float(metric.compute()) for name, metric in wanted.items()}
    expected["loss"] = float(F.cross_entropy(logits, target, ignore_index=IGNORED))
    assert figures == pytest.approx(expected, abs=1e-6)


def test_a_tally_starts_anew():
    """Guards against figures of one epoch that hold those of the epochs before."""
    (first, *_), tally = batches(False), ClassCounts(CLASSES)
    tally.update(*first)
    before = tally.compute()
    tally.reset()
    assert not tally.update_called
    tally.update(*first)
    assert tally.compute() == before


def test_the_shares_of_two_processes_are_those_of_one():
    """Guards against sums of one process, and against means of sums where classes have weights."""
    weight = torch.linspace(0.5, 2, CLASSES)
    whole, parts = ClassCounts(CLASSES), [ClassCounts(CLASSES), ClassCounts(CLASSES)]
    for number, seen in enumerate(batches(False)):
        whole.update(*seen, weight)
        parts[number % 2].update(*seen, weight)
    parts[0].merge_state(parts[1])  # as torchmetrics puts states of processes together
    expected = {name: pytest.approx(float(value)) for name, value in whole.compute().items()}
    assert {name: float(value) for name, value in parts[0].compute().items()} == expected
