"""Compute without gradients, in such a way that the resulting tensors can be changed and trained later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def no_gradients() -> Iterator[None]:
    """Record no gradients inside the block; tensors created there are ordinary ones. Also a decorator.

    Tensors created in `torch.inference_mode` can neither be changed nor trained outside it: buffers allocated while
    features are computed, or weights whose memory format is changed there. So tlx never enters it, and leaves it if the
    caller has entered it.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield
