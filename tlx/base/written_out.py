"""Whether a tensor is as large as it says: in a file one number may stand for all of a tensor of any shape."""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 2**26  # bytes that may always be made of one number


def is_written_out(value: Tensor) -> bool:
    """Return whether memory holds each number of a large dense tensor of any shape; true for others."""
    dense = value.layout == torch.strided and not value.is_meta
    return not dense or value.numel() * value.element_size() <= max(_SMALL, value.untyped_storage().nbytes())
