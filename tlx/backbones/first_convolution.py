"""Adapt the first convolution to another number of input channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tlx.base.errors import TlxError


def adapt_kernel(kernel: Tensor, channels: int) -> Tensor:
    """Return a kernel (O, I, h, w) as (O, channels, h, w), by timm's rule for `in_chans`.

    One channel: the sum over the I input channels. The output for a gray image equals the previous output for its copy
    in every channel. Otherwise the input channels are repeated cyclically (1, 2, 3, 1, …) up to `channels` and scaled
    by I / channels, so that the output for equal channels does not change.
    """
    present = kernel.shape[1]
    if channels == present:
        return kernel
    if channels == 1:
        return kernel.sum(dim=1, keepdim=True)
    index = torch.arange(channels, device=kernel.device) % present
    return kernel.index_select(1, index) * (present / channels)


def adapt_first_convolution(module: nn.Module, channels: int) -> str | None:
    """Change the first convolution of a network, in place, to another number of input channels.

    Args:
        module: A network whose first `nn.Conv2d`, in the order of its modules, takes the image.
        channels: Number of channels of the images.

    Returns:
        A note on the change; None if the number of channels is already right.

    Raises:
        TlxError: There is no convolution, or it is grouped.
    """
    if channels < 1:
        raise TlxError(f"backbone.in_channels: expected at least 1, got {channels}")
    found = next(((name, m) for name, m in module.named_modules() if isinstance(m, nn.Conv2d)), None)
    if found is None or found[1].groups != 1:
        raise TlxError(f"backbone: expected a first convolution over all channels, got {found}; set in_channels=3")
    name, conv = found
    present = conv.in_channels
    if channels == present:
        return None
    conv.weight = nn.Parameter(adapt_kernel(conv.weight.detach(), channels), conv.weight.requires_grad)
    conv.in_channels = channels
    rule = "sum over channels" if channels == 1 else f"channels repeated cyclically, scaled by {present}/{channels}"
    return f"first convolution {name}: {present} -> {channels} input channels ({rule})"
