"""Estimate the minimum memory of a run before allocating any.

The network is built on the meta device, and one batch passes through it there, as shapes only. The estimate counts
weights, gradients, optimizer state, the activations that a training step keeps for the backward pass, and images. Of
groups that are computed again (`trainer.checkpoint_groups`) their inputs are kept, and the activations of one of them.
The framework's own memory and workspaces are left out, so it is a lower bound: no run that fits is refused.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.backbones.block_arguments import Carried, plain
from tlx.backbones.catalog import input_side
from tlx.backbones.preprocessing import sides
from tlx.base.compat.torch import storage_key
from tlx.base.errors import ConfigError, Mistake
from tlx.base.machine import memory_available
from tlx.data.augmentation.canvas import COST
from tlx.data.batch_size import batch_size_of
from tlx.data.box_labels import BoxLabels
from tlx.data.counting import training_images
from tlx.data.labelled import LabelledImages
from tlx.records.settled import AUTO
from tlx.tasks.catalog import kind_of
from tlx.training.devices import processes
from tlx.training.planning import NothingDrawn, build_backbone, plan, recomputed_groups

# Bytes per pixel of a batch, a generous guess for any network: a run that is small even so is not estimated.
_GENEROUS = 8192
_WORKER = 50 * 2**20  # minimum bytes of a reading process
_BATCHES_AHEAD = 2  # batches that each reading process holds
_PARTS = {
    "weights": "weights, gradients and optimizer",
    "activations": "activations of a batch",
    "images": "images of a batch",
    "reading": "reading processes",
}


@dataclass(frozen=True)
class Estimate:
    """The minimum bytes of a process by purpose, with the keys of `_PARTS`."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """Return `about 12.0 GB: 11.0 GB images of a batch, …`, the largest part first."""
        return f"about {_size(self.total)}: {self._listed()}"

    def of_a_step(self) -> str:
        """Return `memory of a step: at least 12.0 GB (11.0 GB images, …)`, without the reading processes."""
        step = Estimate({part: size for part, size in self.parts.items() if part != "reading"})
        listed = step._listed().replace(" of a batch", "")
        return f"memory of a step: at least {_size(step.total)}" + (f" ({listed})" if listed else "")

    def _listed(self) -> str:
        parts = sorted(self.parts.items(), key=lambda part: -part[1])
        return ", ".join(f"{_size(n)} {_PARTS[k]}" for k, n in parts if n > 2**20)


def refuse_what_does_not_fit(config: DictConfig) -> None:
    """Refuse a run that needs more memory than is free here.

    Raises:
        ConfigError: The message has the estimate, the free memory, and what to type.
    """
    count = processes(config)
    node: Any = OmegaConf.to_container(config.dataset, resolve=True)
    share = _share(config, sys.maxsize)
    on_gpu = config.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    free = memory_available() // count
    if not on_gpu and _small(config, share, free):
        return
    share = _share(config, training_images(node) or sys.maxsize)
    estimate = Estimate(_reading(config, share, _given(config) or 0)) if on_gpu else estimated(config, share)
    _compare(config, estimate, free, "memory", share)
    if on_gpu and count == 1:  # several processes, one per device, each check their own
        devices = config.trainer.devices
        free = torch.cuda.mem_get_info(int(devices[0]) if isinstance(devices, ListConfig) else 0)[0]
        if not _small(config, share, free):
            parts = {k: v for k, v in estimated(config, share).parts.items() if k != "reading"}
            _compare(config, Estimate(parts), free, "memory of the GPU", share)


def images_that_fit(config: DictConfig, share: int) -> int:
    """Return how many images of a process's share of a batch fit into half of its free memory, at least 1.

    The estimate is a lower bound, so the other half is left to what it leaves out.
    """
    free = memory_available() // processes(config)
    if _small(config, share, free):
        return share
    estimate = estimated(config, share)
    by_image = (estimate.parts["activations"] + estimate.parts["images"]) / share
    return max(1, min(share, int((free / 2 - estimate.total + by_image * share) / by_image)))


def memory_line(config: DictConfig, images: int | None, backbone: Backbone, size: tuple[int, int]) -> str:
    """Return one line with the minimum memory of a step of each process.

    Args:
        config: The configuration.
        images: Number of training images, or crops; None: not known, many.
        backbone: Its backbone on the meta device; afterwards it is in training mode.
        size: Height and width of an input.
    """
    return estimated(config, _share(config, images or sys.maxsize), backbone, size).of_a_step()


def _share(config: DictConfig, images: int) -> int:
    """Return the images that a process computes at once, for a number of training images."""
    count: int = processes(config) * config.trainer.num_nodes
    batch: int = batch_size_of(config.dataset, images, kind_of(config.task).reads_maps, count)
    at_once = config.dataset.get("micro_batch")
    return max(1, min(batch // count, batch if at_once is None else 1 if at_once == AUTO else at_once))


def estimated(
    config: DictConfig, batch: int, backbone: Backbone | None = None, size: tuple[int, int] | None = None
) -> Estimate:
    """Return the minimum memory of a process with `batch` images per step.

    Args:
        config: The configuration.
        batch: Images that the process computes at once.
        backbone: Its backbone on the meta device; None: it is built.
        size: Height and width of an input; None: it is looked up.
    """
    if backbone is None:
        with torch.device("meta"), NothingDrawn():
            backbone = build_backbone(config, load=False)
    kind = kind_of(config.task)
    with NothingDrawn():
        upper = sum(kind.upper_plan(config.task, backbone, kind.outputs(config.task)).parameters.values())
    width = 2 if str(config.trainer.precision) in ("bf16-true", "16-true") else 4
    weights = (sum(p.numel() for p in backbone.parameters()) + upper) * width
    stages = plan(config, [*backbone.group_names, *kind.upper_groups])
    trained: tuple[str, ...] = max((stage.trained for stage in stages), key=len, default=())
    learning = (
        sum(p.numel() for g in backbone.group_names if g in trained for p in backbone.group_parameters(g)) + upper
    )
    weights += learning * width * (1 + averages_kept(config)) if trained else 0  # with gradients
    size = size or input_of(config, backbone)
    images = batch * config.dataset.channels * math.prod(size) * width
    tiled = config.task.get("tile_size") is not None  # tiles pass through the network a few at a time
    backbone.recomputed = recomputed_groups(config, backbone)
    kept = 0 if tiled or not trained else _kept(backbone, batch, size, trained)
    kept = kept // 2 if str(config.trainer.precision).endswith("-mixed") else kept * width // 4
    parts = {"weights": weights, "activations": kept, "images": images}
    return Estimate({**parts, **_reading(config, batch, math.prod(size))})


def averages_kept(config: DictConfig) -> int:
    """Return how many copies of the trained weights the optimizer and `trainer.average_weights` keep."""
    of_optimizer = 2 if "Adam" in str(config.optimizer._target_) else 0
    return of_optimizer + int(config.trainer.get("average_weights") is not None)


def input_of(config: DictConfig, backbone: Backbone) -> tuple[int, int]:
    """Return the height and width of an input; images with boxes, which decide it, are loaded.

    Raises:
        TlxError: These images cannot be used.
    """
    return LabelledImages(
        config.dataset, backbone.preprocessing, fixed_size=backbone.fixed_size
    ).preprocessing.height_width


def _kept(backbone: Backbone, batch: int, size: tuple[int, int], trained: tuple[str, ...]) -> int:
    """Return the bytes that autograd keeps of a batch; 0 if the network cannot run on the meta device."""
    backbone.train()
    for name in backbone.group_names:
        for parameter in backbone.group_parameters(name):
            parameter.requires_grad_(name in trained)
    again, backbone.recomputed = backbone.recomputed, ()
    ledger = _Ledger(backbone)
    try:
        with torch.autograd.graph.saved_tensors_hooks(ledger.keep, lambda tensor: tensor):
            backbone(torch.empty(batch, backbone.in_channels, *size, device="meta"))
    except Exception:  # a user's network may need values; a later check reports images of an unsupported size
        return 0
    finally:
        ledger.close()
        backbone.recomputed = again
    return ledger.most(again)


class _Ledger:
    """The storages that autograd keeps while a backbone runs, by the layer group that needs them.

    Args:
        backbone: The network; hooks are on its groups until `close`.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._own = {id(p) for p in backbone.parameters()}
        self._saved: dict[str, dict[int, torch.UntypedStorage]] = {name: {} for name in backbone.group_names}
        self._inputs: dict[str, dict[int, torch.UntypedStorage]] = {}
        self._group = backbone.group_names[0]
        self._hooks = [module.register_forward_pre_hook(partial(self._enter, name))
                       for name, module in backbone.groups.items()]  # fmt: skip

    def _enter(self, name: str, module: nn.Module, inputs: tuple[Tensor | Carried]) -> None:
        storage = plain(inputs[0]).untyped_storage()
        self._group, self._inputs[name] = name, {storage_key(storage): storage}

    def keep(self, tensor: Tensor) -> Tensor:
        """Note a tensor, of any shape, that the current group needs for the backward pass."""
        if id(tensor) not in self._own:
            storage = tensor.untyped_storage()
            self._saved[self._group][storage_key(storage)] = storage  # a reference, so that its key is not used again
        return tensor

    def close(self) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()

    def most(self, again: Collection[str]) -> int:
        """Return the most bytes that are kept at once if the groups `again` keep their inputs and run a second time."""
        kept: dict[int, torch.UntypedStorage] = {}
        most = 0
        for name, saved in self._saved.items():
            runs_again = name in again and bool(saved)
            kept |= self._inputs[name] if runs_again else saved
            most = max(most, _bytes({**kept, **saved}))  # the groups above are done when this one runs again
        return max(most, _bytes(kept))


def _bytes(storages: Mapping[int, torch.UntypedStorage]) -> int:
    return sum(storage.nbytes() for storage in storages.values())


def _reading(config: DictConfig, batch: int, pixels: int) -> dict[str, int]:
    workers = config.dataset.num_workers
    if not isinstance(workers, int):
        return {"reading": 0}
    return {"reading": workers * (_WORKER + _BATCHES_AHEAD * batch * config.dataset.channels * pixels)}


def _given(config: DictConfig) -> int | None:
    """Return the pixels of an input as configured; None: images with boxes decide."""
    if config.dataset.image_size is None and kind_of(config.task).labels == BoxLabels.name:
        return None
    return math.prod(sides(config.dataset.image_size or input_side(str(config.backbone.get("name"))) or 224))


def _small(config: DictConfig, batch: int, free: int) -> bool:
    """Return whether a run fits with any usual network; then the estimate, which builds the network, is skipped."""
    wide = (config.backbone.get("width") or 0) > 512 or (kind_of(config.task).outputs(config.task) or 0) > 100_000
    pixels = _given(config)
    if pixels is None:
        if config.dataset.get("min_side") is not None or config.dataset.get("max_side") is not None:
            return False  # what they come to depends on the images
        pixels = COST
    images = batch * pixels * (_GENEROUS + 4 * config.dataset.channels)
    return not wide and images + _reading(config, batch, pixels)["reading"] < free // 4


def _compare(config: DictConfig, estimate: Estimate, free: int, what: str, batch: int) -> None:
    if estimate.total <= free:
        return
    key, hint = "dataset.batch_size", ""
    by_batch = estimate.parts.get("activations", 0) + estimate.parts.get("images", 0)
    rest = estimate.total - by_batch
    if max(estimate.parts, key=lambda part: estimate.parts[part]) == "reading":
        key, hint = "dataset.num_workers", "type: dataset.num_workers=auto"
    elif rest < free * 0.8 and (fits := math.floor((free * 0.8 - rest) / max(1, by_batch / batch))) >= 1:
        by = processes(config) * config.trainer.num_nodes
        hint = f"for example dataset.batch_size={_round(fits) * by}"
        if config.dataset.get("micro_batch") is not None:
            key, hint = "dataset.micro_batch", f"for example dataset.micro_batch={_round(fits)}"
    elif by_batch > rest:
        tiles = ", or, for large images, tiles: task.tile_size=224" if "tile_size" in config.task else ""
        key, hint = "dataset.image_size", f"a smaller side{tiles}"
    elif config.backbone.get("width") is not None:
        key, hint = "backbone.width", "for example backbone.width=32"
    else:
        key, hint = "backbone", "a smaller network; to list all: tlx list backbones"
    raise ConfigError([Mistake(key, f"a run that fits into {_size(free)} of free {what}", str(estimate), hint)])


def _round(count: int) -> int:
    """Return the largest power of two that is at most `count`, which is at least 1."""
    return 1 << (count.bit_length() - 1)


def _size(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e6:,.0f} MB"
