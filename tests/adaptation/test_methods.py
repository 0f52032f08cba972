"""The penalties by themselves: what their papers say of them, on numbers that can be checked."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel
from torch import nn

from tlx.adaptation import AdaBn, Adaptation, Cdan, Coral, Dan, Dann, Domain, Mcc
from tlx.adaptation.adversary import discriminator, reversal, reverse_gradient
from tlx.adaptation.base import _statistics_kept
from tlx.adaptation.moments import multi_kernel_mmd
from tlx.adaptation.self_training import most_certain, predict_target
from tlx.adaptation.target_entropy import TargetEntropy
from tlx.backbones import small_cnn
from tlx.callbacks.oracle import Oracle
from tlx.data.domains import TRAIN, HiddenLabels
from tlx.data.labels import CLASSES
from tlx.tasks import Classification


def domain(features: torch.Tensor, logits: torch.Tensor | None = None) -> Domain:
    logits = features[:, :3] if logits is None else logits
    return Domain(features, logits, torch.arange(len(features)))


def sample(seed: int, count: int = 40, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)) * scale + shift


def test_coral_is_the_distance_of_covariances():
    """Guards against a penalty that sees means, or is scaled otherwise than its paper says."""
    one, other = sample(0), sample(1, scale=2.0)
    expected = (torch.cov(one.T) - torch.cov(other.T)).square().sum() / (4 * 6**2)
    assert float(Coral().penalty(domain(one), domain(other), 0.5)) == pytest.approx(float(expected), rel=1e-5)
    assert float(Coral().penalty(domain(one), domain(one + 7), 0.5)) == pytest.approx(0, abs=1e-8)


def test_mmd_agrees_with_scikit_learn_kernels():
    """Guards against kernels of another width, or pairs of an image with itself."""
    one, other = sample(0), sample(1, shift=1.0)
    pooled = torch.cat([one, other])
    mean = torch.cdist(pooled, pooled).square().sum() / (80 * 79)
    expected = 0.0
    for power in range(-2, 3):
        kernel = torch.from_numpy(rbf_kernel(pooled.double(), gamma=1 / (2 * float(mean) * 2**power)))
        within = (kernel[:40, :40].sum() + kernel[40:, 40:].sum() - 80) / (40 * 39)
        expected += float(within - 2 * kernel[:40, 40:].mean()) / 5
    assert float(multi_kernel_mmd(one, other, 5)) == pytest.approx(expected, rel=1e-4)
    same = [float(multi_kernel_mmd(sample(k), sample(k + 100), 5)) for k in range(30)]
    assert abs(sum(same) / 30) < 0.005, "unbiased: samples of one distribution have a mean of 0"
    assert float(Dan().penalty(domain(one), domain(other), 0.0)) > 0.05


def test_the_gradient_comes_back_reversed_and_scaled():
    """Guards against features that help the discriminator."""
    x = torch.ones(3, requires_grad=True)
    (reverse_gradient(x, 0.25) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [-0.25, -0.5, -0.75]
    assert [reversal(p) for p in (0.0, 1.0)] == pytest.approx([0.0, 0.99991], abs=1e-5)
    assert reversal(0.1) == pytest.approx(2 / (1 + math.exp(-1)) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", [Dann(hidden=16), Cdan(hidden=16)])
def test_the_discriminator_learns_and_the_features_unlearn(method):
    """Guards against an adversary that does not separate domains, or features that are pushed the wrong way."""
    torch.manual_seed(0)
    width = 6 if type(method) is Dann else 18
    method.discriminator = discriminator(width, 16)
    one, other = sample(0, shift=0.5), sample(1, shift=-0.5)
    optimizer = torch.optim.Adam(method.trained()[0].parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = method.penalty(domain(one), domain(other), 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[0] == pytest.approx(math.log(2), abs=0.1)
    assert losses[-1] < 0.35
    moved = torch.zeros(6, requires_grad=True)
    before = method.penalty(domain(one + moved), domain(other), 1.0)
    before.backward()
    step = -0.5 * moved.grad / moved.grad.norm()  # what gradient descent would do to the source's features
    assert float(method.penalty(domain(one + step), domain(other), 1.0)) > float(before)


def test_cdan_maps_at_random_where_the_product_is_wide():
    """Guards against a discriminator with a million inputs, and against a map that forgets inner products."""

    class Wide(nn.Module):
        num_features = 600

    class Task(nn.Module):
        backbone, class_names = Wide(), [str(k) for k in range(10)]

    torch.manual_seed(0)
    method = Cdan(hidden=8)
    method.build(Task(), None)  # type: ignore[arg-type]
    assert method.width(Task()) == 4096
    generator = torch.Generator().manual_seed(1)
    features, logits = (torch.randn(20, n, generator=generator) for n in (600, 10))
    seen = method.seen(Domain(features, logits, torch.arange(20)))
    exact = (features @ features.T) * (logits.softmax(1) @ logits.softmax(1).T)
    error = (seen @ seen.T - exact).abs().mean() / exact.diag().mean()
    assert seen.shape == (20, 4096)
    assert float(error) < 0.05
    assert "feature_map" in method.state_dict()


def test_mcc_is_zero_for_certain_and_large_for_confused_predictions():
    """Guards against rewarding confusion."""
    certain = domain(torch.zeros(30, 6), 100.0 * torch.eye(3).repeat(10, 1))
    confused = domain(torch.zeros(30, 6), torch.zeros(30, 3))
    assert float(Mcc().penalty(certain, certain, 0.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(Mcc().penalty(certain, confused, 0.0)) == pytest.approx(2 / 3, rel=1e-5)
    some = sample(0)
    warm, cold = Mcc(temperature=4.0), Mcc(temperature=1.0)
    found = float(warm.penalty(certain, domain(some), 0.0))
    assert found == pytest.approx(float(cold.penalty(certain, domain(some / 4), 0.0)))
    assert found > float(cold.penalty(certain, domain(some), 0.0))


def test_cdan_counts_certain_images_more():
    """Guards against images of which the network is not certain that decide what is aligned."""
    importance = Cdan().importance(domain(torch.zeros(2, 6), torch.tensor([[100.0, 0, 0], [0, 0, 0]])))
    assert float(importance[0] / importance[1]) == pytest.approx(2 / (1 + 1 / 3))
    assert float(importance.mean()) == pytest.approx(1)
    assert Cdan(entropy=False).importance(domain(sample(0))).tolist() == [1.0] * 40


def test_an_adaptation_that_starts_late_begins_at_its_beginning():
    """Guards against a schedule that has gone on while the adaptation waited."""
    late = Adaptation(start=0.4)
    assert [late.progress(done) for done in (0.0, 0.39)] == [None, None]
    assert [late.progress(done) for done in (0.4, 0.7, 1.0, 1.1)] == pytest.approx([0.0, 0.5, 1.0, 1.0])


def batch(seed: int, shift: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(shift, shift + 100, (8, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return {"image": image, "target": torch.arange(8) % 3, "index": torch.arange(8)}


def statistics(task: Classification) -> list[torch.Tensor]:
    return [value.clone() for name, value in task.named_buffers() if "running_" in name]


def test_evaluation_has_the_statistics_of_the_target():
    """Guards against statistics of the source, or a mean of both, that normalise the images of the target."""
    torch.manual_seed(0)
    task = Classification(small_cnn(width=4), ["a", "b", "c"]).train()
    alone, other = copy.deepcopy(task), batch(1, shift=150)
    alone.features(other["image"])
    Adaptation().both(task, {**batch(0), "unlabelled": other})
    for found, expected in zip(statistics(task), statistics(alone), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_target_is_judged_as_in_evaluation():
    """Guards against pseudo-labels of a network with dropout, and against statistics that move while it judges."""
    torch.manual_seed(0)
    task = Classification(small_cnn(width=4), ["a", "b", "c"], dropout=0.5).train()
    before, images = statistics(task), batch(0)
    confidence, verdict = predict_target(task, SimpleNamespace(sizes={TRAIN: 8}, in_order=lambda split: [images]))
    assert task.training
    assert all(torch.equal(*pair) for pair in zip(statistics(task), before, strict=True))
    with torch.no_grad():
        expected = task.eval()(images["image"]).softmax(1).max(1)
    torch.testing.assert_close(confidence.float(), expected.values)
    assert torch.equal(verdict, expected.indices)


def test_statistics_are_those_of_the_target_alone():
    """Guards against evaluation with statistics of a domain that is not evaluated."""
    layer = nn.Sequential(nn.BatchNorm1d(2)).train()
    with _statistics_kept(layer):
        out = layer(torch.randn(50, 2) + 5)
    assert out.mean().abs() < 1e-5, "normalised with the batch"
    assert layer[0].running_mean.tolist() == [0.0, 0.0]
    assert layer[0].momentum == 0.1
    layer(torch.ones(4, 2) * 3 + torch.randn(4, 2))
    assert (layer[0].running_mean > 0.1).all()
    assert AdaBn().needs_gradient is False


def test_the_most_certain_of_each_class_are_labelled():
    """Guards against one easy class that takes all pseudo-labels."""
    confidence = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.4, 0.3])
    verdict = torch.tensor([0, 0, 0, 0, 1, 1])
    assert most_certain(confidence, verdict, 0.5).tolist() == [0, 0, -1, -1, 1, -1]
    assert most_certain(confidence, verdict, 1.0).tolist() == verdict.tolist()
    assert most_certain(confidence, verdict, 0.01).tolist() == [0, -1, -1, -1, 1, -1]


def test_certainty_counts_images_once_and_no_padding():
    """Guards against scores that depend on batches, and against a collapse that scores well."""
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 3
    index = torch.arange(50)
    whole, parts = TargetEntropy(4), TargetEntropy(4)
    whole.update(logits, index >= 0)
    for rows in (slice(0, 20), slice(20, 50)):
        parts.update(torch.cat([logits[rows], torch.zeros(3, 4)]), torch.cat([index[rows] >= 0, torch.zeros(3).bool()]))
    for key, value in whole.compute().items():
        assert float(parts.compute()[key]) == pytest.approx(float(value), rel=1e-5), key
    p = logits.softmax(1)
    entropy = torch.distributions.Categorical(p).entropy().mean()
    assert float(whole.compute()["entropy"]) == pytest.approx(float(entropy), rel=1e-5)
    collapsed, right = TargetEntropy(4), TargetEntropy(4)
    collapsed.update(torch.tensor([[50.0, 0, 0, 0]]).repeat(40, 1), torch.ones(40).bool())
    right.update(50 * torch.eye(4).repeat(10, 1), torch.ones(40).bool())
    assert float(collapsed.compute()["infomax"]) == pytest.approx(0, abs=1e-5)
    assert float(right.compute()["infomax"]) == pytest.approx(math.log(4), rel=1e-5)


def test_the_oracle_counts_known_images_of_all_processes():
    """Guards against an accuracy of one process's images, with padding, or with images without a label."""
    logged: dict[str, float] = {}
    module = Classification(small_cnn(width=4), ["a", "b", "c"])
    module.log = lambda name, value: logged.update({name: float(value)})
    others = torch.tensor([1.0, 4.0])  # of another process: 1 of 4 is right
    trainer = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda sums, reduce_op: sums + others))
    oracle = Oracle(HiddenLabels(CLASSES, torch.tensor([0, 1, 2, -1]), torch.tensor([True, True, True, False])))
    oracle.on_validation_epoch_start(trainer, module)
    seen, batch = {"predicted": torch.tensor([0, 0, 0, 1])}, {"index": torch.tensor([0, 1, -1, 3])}
    oracle.on_validation_batch_end(trainer, module, seen, batch, 0, dataloader_idx=1)
    oracle.on_validation_epoch_end(trainer, module)
    assert logged == {"oracle/accuracy": pytest.approx(2 / 6)}
