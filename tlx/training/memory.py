"""What a run takes of memory at the least, estimated before any of it is asked for.

The network is built on the meta device, and one batch goes through it there: shapes alone. Counted are weights,
gradients and the state of the optimizer, what a training step keeps of a batch for the backward pass, and the images.
What is left out (a framework's own memory, workspaces) makes the estimate too small: no run that fits is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from tlx.backbones.backbone import Backbone
from tlx.backbones.catalog import input_side
from tlx.backbones.preprocessing import sides
from tlx.base.errors import ConfigError, Mistake
from tlx.base.machine import memory_available
from tlx.tasks.catalog import kind_of
from tlx.training import distributed
from tlx.training.planning import NothingDrawn, build_backbone, plan

# Bytes a pixel of a batch that no network exceeds much: what is small even so is not estimated.
_GENEROUS = 8192
_WORKER = 50 * 2**20  # bytes that a reading process takes for itself, at the least
_BATCHES_AHEAD = 2  # that each of them holds
_PARTS = {
    "weights": "weights, gradients and optimizer",
    "activations": "what a step keeps of a batch",
    "images": "images of a batch",
    "reading": "reading processes",
}


@dataclass(frozen=True)
class Estimate:
    """Bytes that a process takes at the least, by what they are for: keys of `_PARTS`."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """Return `about 12.0 GB: 11.0 GB images of a batch, …`, the largest part first."""
        parts = sorted(self.parts.items(), key=lambda part: -part[1])
        return f"about {_size(self.total)}: " + ", ".join(f"{_size(n)} {_PARTS[k]}" for k, n in parts if n > 2**20)


def refuse_what_does_not_fit(config: DictConfig) -> None:
    """Raise if a run takes more memory than can be had here, before it is asked for.

    Raises:
        ConfigError: It says what was estimated, what is free, and what to type.
    """
    count = distributed.processes(config)
    share = max(1, config.dataset.batch_size // max(1, count * config.trainer.num_nodes))
    on_gpu = config.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    free = memory_available() // count
    if not on_gpu and _small(config, share, free):
        return
    estimate = Estimate(_reading(config, share) if on_gpu else estimated(config, share).parts)
    _compare(config, estimate, free, "memory", share)
    if on_gpu and count == 1:  # others are looked at by their own processes, which take a device each
        devices = config.trainer.devices
        free = torch.cuda.mem_get_info(int(devices[0]) if isinstance(devices, ListConfig) else 0)[0]
        if not _small(config, share, free):
            parts = {k: v for k, v in estimated(config, share).parts.items() if k != "reading"}
            _compare(config, Estimate(parts), free, "memory of the GPU", share)


def estimated(config: DictConfig, batch: int) -> Estimate:
    """Return what a process takes at the least, with so many images a step."""
    with torch.device("meta"), NothingDrawn():
        backbone = build_backbone(config, load=False)
    kind = kind_of(config.task)
    upper = sum(kind.upper_parameters(config.task, backbone, kind.outputs(config.task)).values())
    width = 2 if str(config.trainer.precision) in ("bf16-true", "16-true") else 4
    weights = (sum(p.numel() for p in backbone.parameters()) + upper) * width
    stages = plan(config, [*backbone.group_names, *kind.upper_groups])
    trained: tuple[str, ...] = max((stage.trained for stage in stages), key=len, default=())
    learning = (
        sum(p.numel() for g in backbone.group_names if g in trained for p in backbone.group_parameters(g)) + upper
    )
    copies = 3 if "Adam" in str(config.optimizer._target_) else 1  # gradients; two averages more
    weights += learning * width * copies if trained else 0
    size = sides(config.dataset.image_size or backbone.preprocessing.size)
    images = batch * config.dataset.channels * math.prod(size) * width
    tiled = config.task.get("tile_size") is not None  # tiles go through the network a few at a time
    kept = 0 if tiled or not trained else _kept(backbone, batch, size, trained)
    kept = kept // 2 if str(config.trainer.precision).endswith("-mixed") else kept * width // 4
    parts = {"weights": weights, "activations": kept, "images": images}
    return Estimate({**parts, **_reading(config, batch)})


def _kept(backbone: Backbone, batch: int, size: tuple[int, int], trained: tuple[str, ...]) -> int:
    """Return the bytes that autograd keeps of a batch; 0 where the network does not run without values."""
    own = {id(p) for p in backbone.parameters()}
    held: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in own:
            storage = tensor.untyped_storage()
            held[storage._cdata] = storage  # held, so that no other takes its place
        return tensor

    backbone.train()
    for name in backbone.group_names:
        for parameter in backbone.group_parameters(name):
            parameter.requires_grad_(name in trained)
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            backbone(torch.empty(batch, backbone.in_channels, *size, device="meta"))
    except (
        Exception
    ):  # a network of somebody's own may need values; images of a side that it does not take are told later
        return 0
    return sum(storage.nbytes() for storage in held.values())


def _reading(config: DictConfig, batch: int) -> dict[str, int]:
    workers = config.dataset.num_workers
    if not isinstance(workers, int):
        return {"reading": 0}
    ahead = workers * _BATCHES_AHEAD * batch * config.dataset.channels * _pixels(config)
    return {"reading": workers * _WORKER + ahead}


def _pixels(config: DictConfig) -> int:
    return math.prod(sides(config.dataset.image_size or input_side(str(config.backbone.get("name"))) or 224))


def _small(config: DictConfig, batch: int, free: int) -> bool:
    """Whether a run fits, whatever its network: then the estimate is spared, which builds the network once more."""
    wide = (config.backbone.get("width") or 0) > 512 or (kind_of(config.task).outputs(config.task) or 0) > 100_000
    taken = batch * _pixels(config) * (_GENEROUS + 4 * config.dataset.channels) + _reading(config, batch)["reading"]
    return not wide and taken < free // 4


def _compare(config: DictConfig, estimate: Estimate, free: int, what: str, batch: int) -> None:
    if estimate.total <= free:
        return
    key, hint = "dataset.batch_size", ""
    by_batch = estimate.parts.get("activations", 0) + estimate.parts.get("images", 0)
    rest = estimate.total - by_batch
    if max(estimate.parts, key=lambda part: estimate.parts[part]) == "reading":
        key, hint = "dataset.num_workers", "type: dataset.num_workers=auto"
    elif rest < free * 0.8 and (fits := math.floor((free * 0.8 - rest) / max(1, by_batch / batch))) >= 1:
        by = config.dataset.batch_size // batch
        hint = f"for example dataset.batch_size={_round(fits) * by}"
    elif by_batch > rest:
        key, hint = "dataset.image_size", "a smaller side, or tiles of large images: task.tile_size=224"
    elif config.backbone.get("width") is not None:
        key, hint = "backbone.width", "for example backbone.width=32"
    else:
        key, hint = "backbone", "a smaller network; all: tlx list backbones"
    raise ConfigError([Mistake(key, f"a run that fits into {_size(free)} of free {what}", str(estimate), hint)])


def _round(count: int) -> int:
    """Return the largest power of two that is not above a count of at least 1."""
    return 1 << (count.bit_length() - 1)


def _size(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e6:,.0f} MB"
