"""Find out before training whether its first step can be taken: on the meta device, without memory or images."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tlx.base.errors import TlxError
from tlx.data.datamodule import ImageDataModule
from tlx.strategies.plan import PlannedStage
from tlx.tasks.module import Task

_ONE_VALUE = "Expected more than 1 value per channel"  # how torch's BatchNorm begins its refusal


def need_possible(
    task: Task, data: ImageDataModule, stages: Sequence[PlannedStage], named: Sequence[str], processes: int = 1
) -> None:
    """Refuse images that are too small for the network, and batches that are too small for BatchNorm.

    A network that cannot be run on the meta device is left to the first step. So are images of the network's own size
    or larger, in batches of several: nothing is run for them.

    Args:
        task: The network; it stays as it is.
        data: The images.
        stages: What trains when; none: nothing trains.
        named: The stages' names in the strategy, of which each may have become several.
        processes: How many share a batch.

    Raises:
        TlxError: One of both; the message says what to type.
    """
    count, size = _smallest_batch(task, data, processes), data.preprocessing.short_side
    if (count > 1 or not stages) and size >= task.backbone.preprocessing.short_side:
        return
    model = _on_meta(task)
    model.eval()
    image = torch.empty(2, data.channels, *data.preprocessing.height_width, dtype=torch.uint8, device="meta")
    if task.backbone.tiles is None and _refusal(model, image) is not None:
        smallest = _smallest_side(model, image, task.backbone.preprocessing.short_side)
        if smallest is None:  # it is something else
            return
        raise TlxError(
            f"dataset.image_size: expected at least {smallest} pixels, the smallest side that this network takes, got "
            f"{size}; type dataset.image_size={smallest} or more"
        )
    for stage in stages:
        model.train_groups(stage)
        model.train()
        if _ONE_VALUE in str(_refusal(model, image[:1].expand(count, -1, -1, -1))):
            raise TlxError(_too_few(data, stage, named, count, processes))


def _too_few(data: ImageDataModule, stage: PlannedStage, named: Sequence[str], count: int, processes: int) -> str:
    number = next(i for i, name in enumerate(named) if stage.name == name or stage.name.startswith(f"{name}_"))
    got = f"batches of {count} for each process" if processes > 1 else f"batches of {count}"
    larger = f"type dataset.batch_size={2 * processes} or more"
    if data.batch_size >= 2 * processes:  # there are no more images
        got += f": there are {data.sizes['train']} training images for {processes} process{'es' * (processes > 1)}"
        larger = "put more images there"
    return (
        f"dataset.batch_size: expected at least 2 images, for BatchNorm trains in stage {stage.name} and has one value "
        f"a channel in a batch of one image of {data.preprocessing.short_side} pixels, got {got}; {larger}, or let its "
        f"statistics rest: strategy.stages.{number}.batch_norm=frozen"
    )


def _smallest_batch(task: Task, data: ImageDataModule, processes: int) -> int:
    """Return the images of which BatchNorm sees the statistics: of a batch, or of the only, incomplete one."""
    share = max(1, data.batch_size // processes)
    images = max(data.sizes["train"] // processes, 1)  # a last incomplete batch is dropped unless it is the only one
    joint = task.adaptation is not None and task.adaptation.batch_norm == "joint"
    return min(share, images) * (2 if joint else 1)


def _on_meta(task: Task) -> Task:
    """Return a copy without memory."""
    known: dict[int, Tensor] = {}
    for parameter in task.parameters():
        known[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    for buffer in task.buffers():
        known[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(task, known)


def _refusal(model: Task, image: Tensor) -> Exception | None:
    """Return what a forward pass ends in, or None.

    Raises:
        TlxError: The network's own, which says what to type.
    """
    try:
        with torch.no_grad():
            model(image)
    except TlxError:
        raise
    except Exception as error:  # whatever the network or the meta device does not take
        return error
    return None


def _smallest_side(model: Task, image: Tensor, own: int) -> int | None:
    """Return the smallest side above that of `image` which passes, if its own does; sides in between are halved."""
    below, above = min(image.shape[-2:]), own

    def passes(side: int) -> bool:
        return _refusal(model, image.new_empty(*image.shape[:2], side, side)) is None

    if above <= below or not passes(above):
        return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if passes(middle) else (middle, above)
    return above
