from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from tlx.backbones import UpperSource, efficientnet_lite0, small_cnn, timm_backbone, torchvision_backbone
from tlx.base.errors import TlxError
from tlx.strategies.parameter_groups import layer_group
from tlx.tasks import Classification
from tlx.tasks.learner import Learning
from tlx.training.optimizers import build_optimizer

ADAMW = {"_target_": "torch.optim.AdamW", "lr": 1e-3, "weight_decay": 0.01}
BACKBONES = {
    "small_cnn": lambda: small_cnn(load=False),
    "efficientnet_lite0": lambda: efficientnet_lite0(load=False),
    "timm convnext": lambda: timm_backbone("convnext_atto", load=False),
    **{
        name: lambda name=name: torchvision_backbone(name, load=False)
        for name in (
            *("resnet18", "vgg11_bn", "vit_b_32", "swin_t", "convnext_tiny", "densenet121"),
            *("mobilenet_v3_small", "mnasnet0_5"),  # with slow statistics of their own
        )
    },
}


@pytest.mark.parametrize("name", BACKBONES)
def test_every_trainable_parameter_is_in_the_optimizer_once_by_identity(name):
    """Guards against parameters outside all layer groups (class tokens, norms of the pool), which never train."""
    with torch.device("meta"):
        learning = Learning(make_optimizer=partial(build_optimizer, ADAMW))
        task = Classification(BACKBONES[name](), ["a", "b"], learning=learning)
        optimizer = task.configure_optimizers()
    found = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(found) == sorted({id(p) for p in task.parameters() if p.requires_grad})
    assert {layer_group(g) for g in optimizer.param_groups} == set(task.group_names)


def test_images_are_normalised_as_the_backbone_was_trained():
    """Guards against mean and std of [0, 1] applied to bytes, or applied twice."""
    task = Classification(torchvision_backbone("resnet18", load=False), ["a", "b"])
    image = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert torch.allclose(task.normalise(image), (image / 255 - mean) / std, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_small", "mnasnet0_5"])
def test_statistics_arrive_within_a_short_training(name):
    """Guards against networks whose own slow BatchNorm statistics are still the initial ones when they are tested."""
    torch.manual_seed(0)
    task = Classification(BACKBONES[name](), ["a", "b"])
    image = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    inputs: list[torch.Tensor] = []
    norm = next(m for m in task.modules() if isinstance(m, torch.nn.BatchNorm2d))
    norm.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    task.train()
    with torch.no_grad():
        for _ in range(40):
            task(image)
    mean, spread = inputs[-1].mean((0, 2, 3)), inputs[-1].var((0, 2, 3))
    assert (norm.running_mean - mean).abs().max() < 0.02 * mean.abs().max()
    assert (norm.running_var - spread).abs().max() < 0.02 * (1 - spread).abs().max()


def test_momenta_of_the_statistics_that_are_quick_enough_stay():
    """Guards against a network's own choice being overridden where it needs no help."""
    backbone = small_cnn(width=4)
    first, second, *others = (m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d))
    first.momentum, second.momentum = 0.3, None
    Classification(backbone, ["a", "b"])
    assert (first.momentum, second.momentum, {m.momentum for m in others}) == (0.3, None, {0.1})


def test_padding_counts_in_no_figure():
    """Guards against the images that fill up a process's last batch being measured."""
    torch.manual_seed(0)
    task = Classification(small_cnn(width=4), ["a", "b", "c"]).eval()
    image = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    target = torch.tensor([0, 1, 2, 0, 1, 1])  # of the last two nothing counts: they are no images of the split
    with torch.no_grad():
        task.test_step({"image": image[:3], "target": target[:3], "index": torch.arange(3)}, 0)
        padded = torch.tensor([3, -1, -1])
        task.test_step({"image": image[3:], "target": target[3:], "index": padded}, 1)
        logits = task(image[:4])
    figures = task.measured.test.compute()
    assert float(figures["loss"]) == pytest.approx(float(F.cross_entropy(logits, target[:4])), abs=1e-6)
    assert float(figures["accuracy"]) == pytest.approx(float((logits.argmax(1) == target[:4]).float().mean()))


def test_head_rows_are_carried_over_by_class_name():
    """Guards against rows matched by position, which gives every class another's weights."""
    backbone = small_cnn(width=4)
    weight, bias = torch.randn(3, backbone.num_features), torch.randn(3)
    backbone.upper_source = UpperSource(["cat", "dog", "owl"], {"head.1.weight": weight, "head.1.bias": bias})
    task = Classification(backbone, ["owl", "ant", "cat"])
    linear = task.head[1]
    assert torch.equal(linear.weight[0], weight[2])
    assert torch.equal(linear.weight[2], weight[0])
    assert torch.equal(linear.bias[[0, 2]], bias[[2, 0]])
    assert not any(torch.equal(linear.weight[1], row) for row in weight)
    assert task.head_report == "head: 2 of 3 classes carried over by name; new: ant"


def test_a_head_size_that_contradicts_the_data_is_refused():
    """Guards against a head with outputs that no class belongs to."""
    with pytest.raises(TlxError, match=r"task\.num_classes: expected 2, the data set's classes, got 5"):
        Classification(small_cnn(width=4), ["a", "b"], num_classes=5)


def test_the_loss_of_an_epoch_is_over_all_its_images_and_no_others():
    """Guards against a mean of batches of different sizes, of one process's images, or of the epochs before, too."""
    task, logged = Classification(small_cnn(width=4), ["a", "b"]), []
    task.log = lambda name, value, **how: logged.append((name, float(value)))
    others = torch.tensor([6.0, 3.0, 1.0])  # of another process: three images, of a loss of 2, one of them right
    trainer = SimpleNamespace(loggers=[], global_step=0, log_every_n_steps=50)
    trainer.strategy = SimpleNamespace(reduce=lambda sums, reduce_op: sums + others)
    task._trainer = trainer
    for loss, images, hits, trainer.is_last_batch in ((1.0, 4, 3, False), (4.0, 2, 2, True), (5.0, 1, 0, True)):
        task.log_loss(torch.tensor(loss), images, torch.tensor(hits))
        if not trainer.is_last_batch:  # a run that stops in the middle of an epoch goes on with the same sums
            state = task.epoch_state()
            task.load_epoch_state(state)
            assert task.epoch_state() == state
    assert logged == [
        ("train/loss", pytest.approx(18 / 9)), ("train/accuracy", pytest.approx(6 / 9)),
        ("train/loss", pytest.approx(11 / 4)), ("train/accuracy", pytest.approx(1 / 4)),
    ]  # fmt: skip
