"""A scikit-learn classifier as the head of a network."""

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
    """Maps features (B, F) to log-probabilities of the classes (B, K), on the CPU in double precision.

    Its state is a tensor with the content of a .skops file, so that a checkpoint stores it without pickle.

    Args:
        num_classes: K; a class without training images counts as impossible.

    Attributes:
        estimator: The classifier; None until it is fitted or loaded by `load_state_dict`.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.estimator: Any = None

    def forward(self, features: Tensor) -> Tensor:
        """Return log-probabilities (B, K), float32; an impossible class gets that of the smallest normal number."""
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
        """Restore a classifier from bytes, uint8 (N,).

        Raises:
            TlxError: The bytes are damaged, or hold no scikit-learn classifier.
        """
        if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.ndim != 1 or not is_written_out(state):
            raise TlxError("classifier: expected bytes written by skops, got something else")
        self.estimator = from_bytes(state.cpu().numpy().tobytes())


def classical_head(backbone: Backbone, groups: tuple[str, ...], num_classes: int) -> dict[str, Any]:
    """Return the arguments that give a task an unfitted classifier as its head: the head, and the groups it reads.

    Args:
        backbone: The network.
        groups: The layer groups whose concatenated pooled outputs it reads, bottom to top. The last group alone is the
            default of every head.
        num_classes: Number of classes.
    """
    reads = () if groups == (backbone.group_names[-1],) else groups
    return {"head": ClassicalHead(num_classes), "reads": reads}
