"""The three models: they learn, find the boxes that their targets mean, and bear images without objects."""

from __future__ import annotations

import pytest
import torch

from tests.tasks.detection.scenes import MODELS, empty, network, scenes
from tlx.data.batches.sampler import PADDING
from tlx.strategies.plan import plan_stages
from tlx.tasks.detection import fcos
from tlx.tasks.detection.anchors import anchors_of
from tlx.tasks.detection.fcos import centredness, matched
from tlx.tasks.detection.head import Output, picked


def _learned(model: str, steps: int) -> tuple[float, torch.Tensor]:
    """Return AP50 on four images after training on them, and the detections."""
    images, target = scenes(4)
    task = network(model, target=target, head_convs=None if model == "retinanet" else 1).train()
    optimizer = torch.optim.AdamW(task.parameters(), lr=2e-3)
    batch = {"image": images, "target": target, "index": torch.arange(4)}
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, step / 20, (steps - step) / (steps / 3))
        optimizer.zero_grad()
        task.loss(batch).backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimizer.step()
    task.eval()
    with torch.no_grad():
        output = task.head(task.features_of(batch))
        task.measure("val", output, batch)
        return float(task.figures("val")["map_50"]), task.decoded(output)


@pytest.mark.slow
def test_fcos_learns_four_images_by_heart():
    """Guards against a loss, a matching or a decoding that does not fit the others."""
    assert _learned("fcos", 150)[0] == pytest.approx(1.0)


@pytest.mark.nightly
@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_four_images_by_heart(model):
    """Guards against a loss, a matching or a decoding that does not fit the others, such as labels moved by one."""
    assert _learned(model, 400)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shown", ["all", "one", "none"])
def test_images_without_objects_train_and_every_weight_takes_part(model, shown):
    """Guards against a loss that is no number for a batch of background, and against weights that DDP waits for."""
    images, target = scenes(2)
    nothing = empty(target)
    target = {"all": target, "one": torch.stack([target[0], nothing[1]]), "none": nothing}[shown]
    task = network(model).train()
    loss = task.loss({"image": images, "target": target})
    loss.backward()
    assert loss.isfinite()
    gradients = {name: parameter.grad for name, parameter in task.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize("model", MODELS)
def test_boxes_that_are_predicted_exactly_are_found_exactly(model):
    """Guards against a decoding that is not the inverse of what the loss compares with, and against other classes."""
    images, target = scenes(2)
    task = network(model, target=target).eval()
    with torch.no_grad():
        output = task.head(task.features_of({"image": images, "target": target}))
        exact = _exact(task, output, target)
        if model == "fcos":
            assert float(task.head.loss(exact, target)) < 0.7  # the entropy of centredness remains
        found = task.decoded(exact)
    for rows, own in zip(found, target, strict=True):
        wanted = own[own[:, 4] >= 0]
        some = rows[rows[:, 5] > 0.1]
        assert len(some) == len(wanted)
        for one in wanted:
            apart = (some[:, :5] - one[:5]).abs().amax(1)
            assert float(apart.min()) < 0.05


def _exact(task, output: Output, target: torch.Tensor) -> Output:
    """Return the output of a head that has learned everything."""
    head, rows, grid = task.head, dict(output.rows), output.grid
    if "bbox_ctrness" in rows:
        found, _ = matched(grid, target, head.limits)
        truth = picked(target, found.clamp(min=0))
        distances = torch.cat([grid.centres - truth[..., :2], truth[..., 2:4] - grid.centres], -1)
        rows["bbox_regression"] = torch.where(found[..., None] >= 0, distances / grid.strides[:, None], 1.0)
        central = centredness(grid.centres, truth[..., :4]).logit(1e-6)
        rows["bbox_ctrness"] = torch.where(found >= 0, central, -20.0)[..., None]
        rows["cls_logits"] = _logits(found, truth, rows["cls_logits"])
    elif "cls_logits" in rows:
        anchors = anchors_of(grid, head.cells).expand(len(target), -1, -1)
        found, truth = _nearest(anchors, target)
        rows["bbox_regression"] = _moves(head.network.regression_head.box_coder, truth, anchors)
        rows["cls_logits"] = _logits(found, truth, rows["cls_logits"])
    else:
        found, truth = _nearest(rows["regions"], target)
        moves = _moves(head.roi_heads.box_coder, truth, rows["regions"])
        rows["region_moves"] = moves[:, :, None].expand_as(rows["region_moves"])
        inside = _logits(found, truth, rows["region_logits"][..., 1:])
        rows["region_logits"] = torch.cat([-inside.amax(-1, keepdim=True), inside], -1)
    return Output(rows, grid)


def _nearest(boxes: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each object the box nearest to it, as the index of the object for each box, -1 for the others."""
    found = torch.full(boxes.shape[:2], -1)
    for image, own in enumerate(target):
        for number, one in enumerate(own):
            if one[4] >= 0:
                found[image, (boxes[image] - one[:4]).abs().amax(-1).argmin()] = number
    return found, picked(target, found.clamp(min=0))


def _moves(coder, truth: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    moves = coder.encode_single(truth[..., :4].flatten(0, 1), boxes.flatten(0, 1)).view_as(boxes)
    return moves.nan_to_num(0.0, 0.0, 0.0)


def _logits(found: torch.Tensor, truth: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    right = torch.nn.functional.one_hot(truth[..., 4].long().clamp(min=0), like.shape[-1]).bool()
    return torch.where(right & (found[..., None] >= 0), 20.0, -20.0)


@pytest.mark.parametrize("model", ["fcos", "retinanet"])
def test_an_ignored_box_is_neither_object_nor_background(model):
    """Guards against crowds and difficult objects that a detector learns to find, or not to find."""
    images, target = scenes(1)
    marked = target.clone()
    marked[..., 5] = (marked[..., 4] >= 0).float()
    task = network(model, target=target).train()
    features = task.features_of({"image": images, "target": marked})
    output = task.head(features)
    logits = output.rows["cls_logits"].detach().requires_grad_()
    moves = output.rows["bbox_regression"].detach().requires_grad_()
    rows = {**output.rows, "cls_logits": logits, "bbox_regression": moves}
    task.head.loss(Output(rows, output.grid), marked).backward()
    assert not moves.grad.any()
    whole = anchors_of(output.grid, task.head.cells) if model == "retinanet" else output.grid.centres.repeat(1, 2)
    crowded = marked[0, marked[0, :, 4] >= 0, :4]
    inside = ((whole[:, None, :2] > crowded[:, :2]) & (whole[:, None, 2:] < crowded[:, 2:])).all(-1).any(1)
    touched = logits.grad[0].abs().sum(-1)
    assert inside.any()
    assert not touched[inside].any()
    assert touched[~inside].any()


def test_rows_may_come_in_any_order():
    """Guards against objects that are cut off with the empty rows between which a distortion left them."""
    images, target = scenes(2)
    task = network("fcos", target=target).train()
    spread = torch.cat([empty(target), target], dim=1)
    one, other = (task.loss({"image": images, "target": each}) for each in (target, spread))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("model", MODELS)
def test_validation_is_the_same_each_time(model):
    """Guards against a validation loss that depends on random samples, and so selects weights by chance."""
    images, target = scenes(2)
    task = network(model, target=target).eval()
    batch = {"image": images, "target": target}
    with torch.no_grad():
        losses = {float(task.loss_of(task.head(task.features_of(batch)), batch)) for _ in range(2)}
    assert len(losses) == 1


def test_images_are_matched_alone_as_together(monkeypatch):
    """Guards against boxes of another image, and memory that grows with images x locations x boxes."""
    images, target = scenes(3)
    task = network("fcos", target=target).eval()
    with torch.no_grad():
        grid = task.features(images).grid
    together = matched(grid, target, task.head.limits)
    sizes = []
    one_part = fcos._matched
    monkeypatch.setattr(fcos, "_matched", lambda *a: sizes.append(len(a[1])) or one_part(*a))
    monkeypatch.setattr(fcos, "PAIRS_AT_ONCE", 1)
    alone = matched(grid, target, task.head.limits)
    assert sizes == [1, 1, 1]
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_a_process_may_have_nothing_but_padding(model):
    """Guards against a process that ends with an error where it has fewer validation images than the others."""
    images, target = scenes(1)
    task = network(model, target=target).eval()
    batch = {"image": images, "target": target, "index": torch.tensor([PADDING])}
    with torch.no_grad():
        task.measure("val", task.head(task.features_of(batch)), batch)
    assert task.measured.val.update_called
    assert float(task.figures("val")["map"]) == 0


@pytest.mark.parametrize("model", MODELS)
def test_losses_are_computed_in_float32(model):
    """Guards against sums over thousands of locations in half precision."""
    images, target = scenes(2)
    task = network(model, target=target).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = task.loss({"image": images, "target": target})
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()


@pytest.mark.parametrize("name", ["small_cnn", "shufflenet_v2_x0_5"])
def test_cached_outputs_of_any_prefix_give_the_detections_of_the_image(name):
    """Guards against a stage from the cache that trains on other maps than the same stage from images."""
    task, (images, target) = network("fcos", name).eval(), scenes(2)
    names = task.backbone.group_names
    with torch.no_grad():
        expected, x = task(images).rows, task.normalise(images)
        for place, boundary in enumerate(names):
            stored = [group for group in names[: place + 1] if group in task.reads or group == boundary]
            rows = task.backbone.run(x, outputs=stored, pooled=False if boundary == names[-1] else None)
            features = task.features_of({"prefix": rows, "target": target})
            assert features.target is target
            for key, value in task.head(features).rows.items():
                torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["vgg11", "resnet18", "densenet121", "vit_b_32", "swin_t", "mobilenet_v3_small"])
def test_further_families_detect_and_train(name, model):
    """Guards against families with channels last, tokens, few strides or one stride."""
    task = network(model, name).train()
    images, target = scenes(2)
    if task.backbone.fixed_size:
        images = torch.nn.functional.interpolate(images.float(), size=224).to(torch.uint8)
    task.loss({"image": images, "target": target}).backward()
    assert [name for name, parameter in task.named_parameters() if parameter.grad is None] == []
    with torch.no_grad():
        assert task.eval().found_in(images[:1]).shape == (1, 100, 6)


def test_groupnorm_needs_no_statistics_and_batch_norm_of_new_groups_trains():
    """Guards against a new pyramid that is normalised with means of 0 and variances of 1."""
    for model in MODELS:
        task = network(model)
        stage = plan_stages({"stages": [{"name": "all", "train": "all", "batch_norm": "frozen"}]}, {"lr": 1.0},
                            task.group_names, upper=task.upper_groups)[0]  # fmt: skip
        task.train_groups(stage)
        task.train()
        norms = [part for part in [*task.pyramid.modules(), *task.head.modules()] if hasattr(part, "running_mean")]
        assert all(part.training for part in norms)
