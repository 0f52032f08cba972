"""Several networks of one architecture, such as those of the folds of a cross-validation, that predict together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tlx.tasks.classification.task import Classification
from tlx.tasks.network import Batch


class Ensemble(Classification):
    """Predicts the mean of the probabilities of its networks.

    Layer groups whose weights are equal in all networks, from the image up, run once. Where that is the whole backbone,
    the features are its own; otherwise they are those of all networks, one after another (B, N * num_features).

    Args:
        members: Trained networks of equal architecture and classes. They are taken over: shared layers become one.
    """

    def __init__(self, members: Sequence[Classification]) -> None:
        first = members[0]
        tiles = first.backbone.tiles
        shared = _equal_groups(members)
        whole = len(shared) == len(first.backbone.group_names)
        head = MeanProbability([one.head for one in members], 1 if whole else len(members))
        super().__init__(first.backbone, first.class_names, head=head, reads=first.reads)
        self.backbone.tiles = tiles
        self.class_weights, self.label_smoothing = first.class_weights, first.label_smoothing
        self.shared, self.whole = shared, whole
        for one in members[1:]:
            for name in shared:
                one.backbone.groups[name] = self.backbone.groups[name]
        self.others = nn.ModuleList([] if whole else [one.backbone for one in members[1:]])

    def features(self, image: Tensor) -> Tensor:
        """Return the features of images, uint8 (B, C, H, W) in [0, 255], that the head reads: (B, F)."""
        if self.whole:
            return super().features(image)
        x, start = self.normalise(image), None
        if self.shared:
            x, start = self.backbone(x, stop=self.shared[-1]), self.backbone.above(self.shared[-1])
        return self._of_each(x, start)

    def features_of(self, batch: Batch) -> Tensor:
        """Return these features (B, F) for a batch, from its images or from the output of a shared group."""
        if self.whole or "prefix" not in batch:
            return super().features_of(batch)
        boundary = max(batch["prefix"], key=self.backbone.group_names.index)
        prefix: Tensor = batch["prefix"][boundary]
        if not torch.is_autocast_enabled(prefix.device.type):
            prefix = prefix.to(self.mean.dtype)
        return self._of_each(prefix, self.backbone.above(boundary))

    def _of_each(self, x: Tensor, start: str | None) -> Tensor:
        return torch.cat([backbone(x, start=start) for backbone in (self.backbone, *self.others)], 1)


class MeanProbability(nn.Module):
    """Maps the features of N networks to the logarithm of the mean of their probabilities.

    Args:
        heads: The head of each network, from features (B, D) to class scores (B, K).
        parts: 1 if all heads read the same features, otherwise N: each reads its own.
    """

    def __init__(self, heads: Sequence[nn.Module], parts: int) -> None:
        super().__init__()
        self.heads, self.parts = nn.ModuleList(heads), parts

    def forward(self, features: Tensor) -> Tensor:
        """Return logarithms of probabilities (B, K), float32, for features (B, D) or (B, N * D)."""
        own = features.chunk(self.parts, dim=1) * (len(self.heads) // self.parts)
        each = [head(part).float().softmax(dim=1) for head, part in zip(self.heads, own, strict=True)]
        mean = torch.stack(each).mean(dim=0)
        return mean.clamp(min=torch.finfo(torch.float32).tiny).log()


def _equal_groups(members: Sequence[Classification]) -> list[str]:
    """Return the layer groups, from the bottom up, that are equal in all networks."""
    first, shared = members[0], list[str]()
    for name in first.backbone.group_names:
        states = [
            [tensor for module in one.backbone.group_modules(name) for tensor in module.state_dict().values()]
            for one in members
        ]
        if not all(all(map(torch.equal, states[0], state)) for state in states[1:]):
            break
        shared.append(name)
    return shared
