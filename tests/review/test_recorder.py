"""What the TestRecorder keeps of a test: the right rows in the right order, and no more than it may."""

from __future__ import annotations

from types import SimpleNamespace

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tlx.backbones import small_cnn
from tlx.callbacks import test_recorder
from tlx.callbacks.test_recorder import TestRecorder, _combined, _Gathered
from tlx.tasks import Classification
from tlx.tasks.classification import outputs as outputs_module
from tlx.tasks.classification.outputs import TestOutputs

CLASSES = 3


def make_task() -> Classification:
    torch.manual_seed(0)
    task = Classification(small_cnn(width=4, in_channels=1), ["a", "b", "c"])
    with torch.no_grad():
        task.head[-1].weight.mul_(100)  # so that some are confident
    return task


def samples(count: int, padding: int = 0) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
    told = [{"image": images[i], "target": torch.tensor(i % CLASSES), "index": torch.tensor(i)} for i in range(count)]
    return told + [{"image": images[0], "target": torch.tensor(-1), "index": torch.tensor(-1)}] * padding


def seen(items, images=None, batch_size=4, task=None) -> tuple[TestOutputs, Classification]:
    task = task or make_task()
    count = sum(int(item["index"]) >= 0 for item in items)
    callback = TestRecorder(count if images is None else images)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[callback],
    )  # fmt: skip
    trainer.test(task, DataLoader(items, batch_size=batch_size), verbose=False)
    return None if callback.seen is None else TestOutputs.of(callback.seen), task


def forward(task, items):
    images = torch.stack([item["image"] for item in items])
    with torch.no_grad():
        features = task.eval().features(images)
        return task.head(features).softmax(dim=1), features


def test_the_evidence_is_what_a_fresh_forward_pass_gives():
    """Guards against rows of another image, padding that counts, and features that are not the head's input."""
    items = samples(10)
    outputs, task = seen(samples(10, padding=2))
    probabilities, features = forward(task, items)
    assert outputs.index.tolist() == list(range(10))
    assert outputs.target.tolist() == [i % CLASSES for i in range(10)]
    torch.testing.assert_close(outputs.probabilities, probabilities)
    assert outputs.predicted.tolist() == probabilities.argmax(dim=1).tolist()
    torch.testing.assert_close(outputs.confidence, probabilities.max(dim=1).values)
    torch.testing.assert_close(outputs.true_probability, probabilities[range(10), outputs.target])
    assert outputs.embedded.tolist() == list(range(10))
    torch.testing.assert_close(outputs.features, features)
    assert torch.equal(outputs.thumbnails, torch.stack([item["image"] for item in items]))


def test_the_wrong_images_are_the_most_confident_ones(monkeypatch):
    """Guards against right images among them, against the least confident, and a picture of the neighbour."""
    monkeypatch.setattr(test_recorder, "WORST_AT_MOST", 4)
    items = samples(24)
    outputs, task = seen(items)
    probabilities, _ = forward(task, items)
    confidence, predicted = probabilities.max(dim=1)
    wrong = [i for i in range(24) if predicted[i] != i % CLASSES]
    assert len(wrong) > 4
    assert outputs.wrong == sorted(wrong, key=lambda i: -float(confidence[i]))[:4]
    for index, image in zip(outputs.wrong, outputs.wrong_images, strict=True):
        assert torch.equal(image, items[index]["image"])
        assert image.untyped_storage().nbytes() == image.numel()  # it does not keep its batch in memory


def test_a_perfect_classifier_has_no_wrong_image():
    """Guards against a review that needs a mistake."""
    task = make_task()
    items = samples(6)
    predicted = forward(task, items)[0].argmax(dim=1)
    items = [{**item, "target": predicted[i]} for i, item in enumerate(items)]
    outputs, _ = seen(items, task=task)
    assert (outputs.wrong, outputs.wrong_images) == ([], [])


def test_one_image_is_enough_and_none_is_none():
    """Guards against a test split of one image, or of padding alone, that breaks the end of a run."""
    outputs, _ = seen(samples(1))
    assert len(outputs) == len(outputs.embedded) == 1
    assert seen(samples(1, padding=2)[1:], images=1)[0] is None
    assert make_task().review(None, None).figures == {}


def test_large_splits_are_cut_down_to_what_is_affordable(monkeypatch):
    """Guards against features or probabilities of a million images in memory, and another choice in every run."""
    monkeypatch.setattr(test_recorder, "EMBEDDED_AT_MOST", 5)
    monkeypatch.setattr(outputs_module, "PROBABILITIES_AT_MOST", 20)
    outputs, task = seen(samples(12))
    again, _ = seen(samples(12), batch_size=5)
    assert len(outputs.embedded) == 5
    assert outputs.embedded.tolist() == again.embedded.tolist() == sorted(again.embedded.tolist())
    assert outputs.embedded.tolist() != [0, 1, 2, 3, 4]  # drawn from all
    items = [samples(12)[i] for i in outputs.embedded.tolist()]
    torch.testing.assert_close(outputs.features, forward(task, items)[1])
    assert outputs.probabilities.shape == (12, 0)
    monkeypatch.setattr(test_recorder, "FEATURES_AT_MOST", 2 * task.backbone.num_features)
    assert len(seen(samples(12))[0].embedded) == 2


def test_the_shares_of_several_processes_are_put_together_in_the_order_of_the_images(monkeypatch):
    """Guards against rows by process, and wrong images of the first process alone."""
    monkeypatch.setattr(test_recorder, "WORST_AT_MOST", 3)
    whole, task = seen(samples(11))
    parts = []
    original = TestRecorder.on_test_epoch_end
    monkeypatch.setattr(
        TestRecorder, "on_test_epoch_end", lambda self, *a: parts.append(self._gathered) or original(self, *a)
    )
    items = samples(11, padding=1)
    for rank in range(2):
        seen(items[rank::2], images=11, task=task)
    combined = TestOutputs.of(_combined([part for part in parts if isinstance(part, _Gathered)]))
    for name in ("index", "target", "predicted", "confidence", "probabilities", "embedded", "features", "thumbnails"):
        torch.testing.assert_close(getattr(combined, name), getattr(whole, name))
    assert combined.wrong == whole.wrong
    assert all(torch.equal(a, b) for a, b in zip(combined.wrong_images, whole.wrong_images, strict=True))
    monkeypatch.undo()
    monkeypatch.setattr(
        torch.distributed, "all_gather_object", lambda into, own: into.__setitem__(slice(2), parts[-2:])
    )
    first = TestRecorder(11)
    first.on_test_epoch_end(SimpleNamespace(world_size=2, is_global_zero=True), None)
    assert first.seen.index.tolist() == list(range(11))


def test_a_limit_on_batches_leaves_a_review_of_what_was_seen():
    """Guards against a choice of images of which none was tested."""
    outputs, _ = seen(samples(4), images=5_000)
    assert len(outputs) == 4
    assert len(outputs.embedded) == len(outputs.features) == len(outputs.thumbnails) <= 4
