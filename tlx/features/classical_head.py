"""A classifier of scikit-learn in the place of a head."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tlx.backbones.backbone import Backbone
from tlx.base.errors import TlxError
from tlx.base.written_out import is_written_out
from tlx.features.classifiers import from_bytes, to_bytes


class ClassicalHead(nn.Module):
    """Features (B, F) to the logarithms of class probabilities (B, K), computed on the CPU in double precision.

    Its state is the content of a .skops file in a tensor, so that a checkpoint holds it without pickle.

    Args:
        num_classes: K; those without a training image are impossible.

    Attributes:
        estimator: The classifier; None until one is fitted or `load_state_dict` brings it.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.estimator: Any = None

    def forward(self, features: Tensor) -> Tensor:
        """Return log-probabilities (B, K), float32; an impossible class has the smallest normal number's."""
        assert self.estimator is not None, "the classifier was not fitted"
        probabilities = np.zeros((len(features), self.num_classes))
        if len(features):
            probabilities[:, self.estimator.classes_] = self.estimator.predict_proba(features.double().cpu().numpy())
        logarithms = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
        return torch.from_numpy(logarithms).float().to(features.device)

    def get_extra_state(self) -> Tensor:
        """Return the classifier as bytes, uint8 (N,)."""
        assert self.estimator is not None, "the classifier was not fitted"
        return torch.frombuffer(bytearray(to_bytes(self.estimator)), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Take a classifier over from bytes, uint8 (N,).

        Raises:
            TlxError: It is none of scikit-learn's, or damaged.
        """
        if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.ndim != 1 or not is_written_out(state):
            raise TlxError("classifier: expected the bytes of what skops wrote, got something else")
        self.estimator = from_bytes(state.cpu().numpy().tobytes())


def classical_head(backbone: Backbone, groups: tuple[str, ...], num_classes: int) -> dict[str, Any]:
    """Return what a task is made with whose head is an empty one: the head, and what it reads.

    Args:
        backbone: The network.
        groups: The layer groups whose pooled outputs it reads side by side, bottom to top; the last one alone is what a
            head reads anyway.
        num_classes: Number of classes.
    """
    reads = () if groups == (backbone.group_names[-1],) else groups
    return {"head": ClassicalHead(num_classes), "reads": reads}
