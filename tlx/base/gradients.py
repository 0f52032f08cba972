"""Computing without gradients, so that whatever it leaves behind can be written to and trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def no_gradients() -> Iterator[None]:
    """Record no gradients; every tensor that is made is an ordinary one. Also a decorator.

    `torch.inference_mode` would make another kind, which outside of it can neither be written to nor trained: memory
    that is taken while features are computed, weights whose layout is changed there. So tlx never enters it, and leaves
    the caller's, if there is one.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield
