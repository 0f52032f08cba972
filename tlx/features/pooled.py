"""Pooled features of many images, in the memory format and precision that are fastest on this machine."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tlx.backbones.backbone import Backbone
from tlx.base.gradients import no_gradients
from tlx.features.precision import autocast
from tlx.records.settled import AUTO

log = logging.getLogger("tlx")
TRIED = 16  # images
_ROUNDS = 2  # timed rounds, after a warm-up round


@dataclass(frozen=True)
class ComputeMode:
    """The memory format and precision in which a network runs.

    Args:
        channels_last: Whether images and weights have the memory format channels_last.
        precision: `32-true` or `bf16-mixed`.
    """

    channels_last: bool
    precision: str

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format, as torch names it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def memory_format_name(self) -> str:
        """The memory format, as logs name it."""
        return "channels_last" if self.channels_last else "contiguous"


@no_gradients()
def extract(
    backbone: Backbone,
    images: Tensor | Iterable[Tensor],
    *,
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto",
    channels_last: Literal["auto"] | bool = "auto",
    batch_size: int = 64,
) -> Tensor:
    """Return the pooled features of images: float32 (N, num_features), on the CPU, in the order of the images.

    `auto` times a few batches of each choice and takes the fastest. bf16 rounds to 8 binary digits: features differ by
    about 1 % from those in float32.

    Args:
        backbone: The network; it is put into eval mode and keeps the chosen memory format.
        images: uint8 (N, C, H, W) in [0, 255], or batches of them.
        precision: Precision of the computation.
        channels_last: Whether to use the memory format channels_last.
        batch_size: Images per batch, if `images` is one tensor.

    Examples:
        >>> import torch
        >>> from tlx.backbones import small_cnn
        >>> from tlx.features import extract
        >>> images = torch.zeros(100, 3, 32, 32, dtype=torch.uint8)
        >>> features = extract(small_cnn(width=4), images, precision="32-true", channels_last=True)
        >>> features.shape, features.dtype
        (torch.Size([100, 16]), torch.float32)
    """
    batches = iter(images.split(batch_size)) if isinstance(images, Tensor) else iter(images)
    first = next(batches, None)
    if first is None:
        return torch.empty(0, backbone.num_features)
    backbone.eval()
    mode = fastest(backbone, first, precision, channels_last)
    backbone.to(memory_format=mode.memory_format)
    return torch.cat([_run(backbone, batch, mode).float().cpu() for batch in itertools.chain([first], batches)])


@no_gradients()
def fastest(backbone: Backbone, batch: Tensor, precision: str, channels_last: str | bool) -> ComputeMode:
    """Return the fastest mode for a network: try memory formats first, then precisions with the faster one.

    Args:
        backbone: The network, in eval mode.
        batch: uint8 (B, C, H, W); the first TRIED images are used.
        precision: A precision, or `auto`.
        channels_last: Whether to use the memory format channels_last, or `auto`.
    """
    some = batch[:TRIED]
    formats, precisions = candidates(channels_last, precision)
    mode = _best(backbone, some, [ComputeMode(last, precisions[0]) for last in formats])
    return _best(backbone, some, [ComputeMode(mode.channels_last, name) for name in precisions])


def candidates(channels_last: str | bool, precision: str) -> tuple[list[bool], list[str]]:
    """Return the memory formats and precisions to try: all for `auto`, otherwise only the given one."""
    formats = [True, False] if channels_last == AUTO else [bool(channels_last)]
    return formats, ["32-true", "bf16-mixed"] if precision == AUTO else [precision]


def _best(backbone: Backbone, batch: Tensor, modes: list[ComputeMode]) -> ComputeMode:
    if len(modes) == 1:
        return modes[0]
    seconds = {mode: _seconds(backbone, batch, mode) for mode in modes}
    for mode, value in seconds.items():
        log.info("timing: %s, %s: %.0f images a second", mode.memory_format_name, mode.precision, len(batch) / value)
    return min(modes, key=lambda mode: seconds[mode])


def _seconds(backbone: Backbone, batch: Tensor, mode: ComputeMode) -> float:
    backbone.to(memory_format=mode.memory_format)
    times = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        _run(backbone, batch, mode)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _run(backbone: Backbone, batch: Tensor, mode: ComputeMode) -> Tensor:
    device = next(backbone.parameters()).device
    mean = torch.tensor(backbone.preprocessing.mean, device=device).view(1, -1, 1, 1) * 255
    std = torch.tensor(backbone.preprocessing.std, device=device).view(1, -1, 1, 1) * 255
    image = batch.to(device, non_blocking=True).float().sub(mean).div_(std).contiguous(memory_format=mode.memory_format)
    with autocast(device, mode.precision):
        features: Tensor = backbone(image)
    return features
