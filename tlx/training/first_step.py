"""Check before training whether the first step is possible, on the meta device, without memory or images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tlx.base.errors import TlxError
from tlx.data.batches.even import batches_of_epoch
from tlx.data.datamodule import ImageDataModule
from tlx.strategies.plan import PlannedStage
from tlx.tasks.module import Task

_ONE_VALUE = "Expected more than 1 value per channel"  # the beginning of BatchNorm's error message


def need_possible(
    task: Task,
    data: ImageDataModule,
    stages: Sequence[PlannedStage],
    named: Sequence[str],
    processes: int = 1,
    own: int | None = None,
) -> None:
    """Refuse images that are too small for the network, and batches that are too small for BatchNorm.

    A network that cannot run on the meta device is not checked. Nor are batches of several images that are at least as
    large as the network's own input size.

    Args:
        task: The network; it is not changed.
        data: The images.
        stages: The planned stages; none: nothing trains.
        named: Names of the stages in the strategy; a strategy's stage may have become several planned ones.
        processes: Number of processes that share a batch.
        own: The shorter side of the network's own input size; None: that of its preprocessing, which a canvas replaces.

    Raises:
        TlxError: The images or the batches are too small; the message says what to type.
    """
    count, size = _smallest_batch(task, data, processes), data.preprocessing.short_side
    own = own or task.backbone.preprocessing.short_side
    if (count > 1 or not stages) and size >= own:
        return
    model = _on_meta(task)
    model.eval()
    image = torch.empty(2, data.channels, *data.preprocessing.height_width, dtype=torch.uint8, device="meta")
    if task.backbone.tiles is None and _refusal(model, image) is not None:
        smallest = _smallest_side(model, image, own)
        if smallest is None:  # there is another cause
            return
        raise TlxError(
            f"dataset.image_size: expected at least {smallest} pixels, the smallest side that this network takes, got "
            f"{size}; type dataset.image_size={smallest} or more"
        )
    for stage in stages:
        model.train_groups(stage)
        model.train()
        if _ONE_VALUE in str(_refusal(model, image[:1].expand(count, -1, -1, -1))):
            message = _too_few(data, stage, count, processes)
            model.train_groups(replace(stage, batch_norm="frozen"))
            if _refusal(model, image[:1].expand(count, -1, -1, -1)) is None:  # the policy is not about new groups
                number = next(i for i, name in enumerate(named) if (f"{stage.name}_").startswith(f"{name}_"))
                message += f", or freeze its statistics: strategy.stages.{number}.batch_norm=frozen"
            raise TlxError(message)


def _too_few(data: ImageDataModule, stage: PlannedStage, count: int, processes: int) -> str:
    got = f"batches of {count} for each process" if processes > 1 else f"batches of {count}"
    larger = f"type dataset.batch_size={2 * processes} or more"
    if data.batch_size(processes) >= 2 * processes:  # there are too few images
        got += f": there are {data.sizes['train']} training images for {processes} process{'es' * (processes > 1)}"
        larger = "add training images"
    return (
        f"dataset.batch_size: expected at least 2 images, because BatchNorm trains in stage {stage.name} and gets one "
        f"value per channel from one image of {data.preprocessing.short_side} pixels, got {got}; {larger}"
    )


def _smallest_batch(task: Task, data: ImageDataModule, processes: int) -> int:
    """Return the number of images in BatchNorm's smallest batch."""
    batches = batches_of_epoch(data.sizes["train"], data.batch_size(processes), data.accumulated, processes)
    joint = task.adaptation is not None and task.adaptation.batch_norm == "joint"
    return max(data.sizes["train"] // (batches * processes), 1) * (2 if joint else 1)


def _on_meta(task: Task) -> Task:
    """Return a copy on the meta device."""
    known: dict[int, Tensor] = {}
    for parameter in task.parameters():
        known[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    for buffer in task.buffers():
        known[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(task, known)


def _refusal(model: Task, image: Tensor) -> Exception | None:
    """Return the error of a forward pass, or None.

    Raises:
        TlxError: Raised by the network itself; it says what to type.
    """
    try:
        with torch.no_grad():
            model(image)
    except TlxError:
        raise
    except Exception as error:  # anything that the network or the meta device does not support
        return error
    return None


def _smallest_side(model: Task, image: Tensor, own: int) -> int | None:
    """Return, by bisection, the smallest side above that of `image` that works; None if the side `own` fails."""
    below, above = min(image.shape[-2:]), own

    def passes(side: int) -> bool:
        return _refusal(model, image.new_empty(*image.shape[:2], side, side)) is None

    if above <= below or not passes(above):
        return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if passes(middle) else (middle, above)
    return above
