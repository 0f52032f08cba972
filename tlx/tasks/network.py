"""Compute the features that a head reads, from images or from the cached output of a frozen prefix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tlx.backbones.backbone import Backbone
from tlx.tasks.layer_groups import LayerGroups

Batch = dict[str, Any]  # tensors, and under `unlabelled` a batch of the target domain


class FeatureNetwork(LayerGroups):
    """Layer groups preceded by the preprocessing of the backbone.

    Args:
        backbone: Ordered layer groups, see `Backbone`.

    Attributes:
        reads: The layer groups whose concatenated pooled outputs are the features; (): the backbone's own features.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.reads: tuple[str, ...] = ()
        mean, std = backbone.preprocessing.mean, backbone.preprocessing.std
        # Not part of the state_dict: model.json stores the preprocessing.
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(1, -1, 1, 1) * 255), persistent=False)
        self.mean: Tensor
        self.scale: Tensor

    @property
    def feature_groups(self) -> tuple[str, ...]:
        """The layer groups whose pooled outputs are the features."""
        return self.reads or (self.backbone.group_names[-1],)

    def normalise(self, image: Tensor) -> Tensor:
        """Return uint8 images (B, C, H, W) as float, normalised with the mean and std of the backbone."""
        image = image.to(self.mean.dtype).sub(self.mean).mul_(self.scale)
        return image.contiguous(memory_format=self.memory_format)

    def features(self, image: Tensor) -> Tensor:
        """Return the pooled features of images, uint8 (B, C, H, W) in [0, 255]: (B, num_features), the head's input."""
        x = self.normalise(image)
        if self.reads:
            return torch.cat(list(self.backbone.run(x, outputs=self.reads, pooled=True).values()), 1)
        pooled: Tensor = self.backbone(x)
        return pooled

    def features_of(self, batch: Batch) -> Tensor:
        """Return the pooled features (B, num_features) of a batch, from its images or from the output of a prefix.

        `batch["prefix"]` holds outputs of layer groups; the network continues from the topmost one. That output is
        converted to the type of the weights, unless autocast chooses the type.
        """
        if "prefix" not in batch:
            return self.features(batch["image"])
        boundary = max(batch["prefix"], key=self.backbone.group_names.index)
        prefix: Tensor = batch["prefix"][boundary]
        above = self.backbone.above(boundary)
        if not torch.is_autocast_enabled(prefix.device.type):
            prefix = prefix.to(self.mean.dtype)
        features: Tensor = prefix if above is None else self.backbone(prefix, start=above)
        return features
