"""Whether a tensor takes the memory that its shape implies: in a file one number can stand for all of any shape."""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 2**26  # bytes; one number may stand for a tensor of this size


def is_written_out(value: Tensor) -> bool:
    """Return whether memory holds each number of a tensor of any shape; True for small, sparse and meta tensors."""
    dense = value.layout == torch.strided and not value.is_meta
    return not dense or value.numel() * value.element_size() <= max(_SMALL, value.untyped_storage().nbytes())
