"""A task that reads maps of several layer groups."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.backbones.backbone import Backbone
from tlx.backbones.maps import for_maps
from tlx.tasks.learner import Learning
from tlx.tasks.module import Task
from tlx.tasks.network import Batch


class DenseTask(Task):
    """A task whose groups above the backbone read the maps of the layer groups `reads`.

    Images are padded at the bottom and on the right to a multiple of the largest stride, with the mean colour; outputs
    cover the padding as well, and a subclass cuts it off.

    Args:
        backbone: Ordered layer groups; those without maps are left out, see `for_maps`.
        class_names: Names in the order of the outputs.
        learning: What it needs for training; None: it only predicts.
    """

    whole_images = True
    divides_by_whole_batch = True  # see `whole_batch`

    def __init__(self, backbone: Backbone, class_names: Sequence[str], learning: Learning | None = None) -> None:
        super().__init__(for_maps(backbone), class_names, learning)
        self.multiple = max(backbone.strides.values())  # the sides of images are padded to a multiple of it

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return a height and width, each rounded up to a multiple of the largest stride."""
        height, width = (-(-side // self.multiple) * self.multiple for side in size)
        return height, width

    def normalise(self, image: Tensor) -> Tensor:
        """Return uint8 images (B, C, H, W) as float, normalised and padded with zeros, the mean of the channel."""
        normalised = super().normalise(image)
        size = (image.shape[-2], image.shape[-1])
        height, width = self.padded(size)
        if (height, width) == size:
            return normalised
        filled = F.pad(normalised, (0, width - size[1], 0, height - size[0]))
        return filled.contiguous(memory_format=self.memory_format)

    def maps_of(self, batch: Batch) -> tuple[dict[str, Tensor], tuple[int, int]]:
        """Return the map of each group in `reads` (B, C, H', W'), from images or from the output of a prefix.

        Returns:
            The maps, and the height and width of the padded images in pixels.
        """
        backbone = self.backbone
        if "prefix" not in batch:
            image = self.normalise(batch["image"])
            maps = backbone.run(image, outputs=self.reads, pooled=False)
            return maps, (image.shape[-2], image.shape[-1])
        rows: dict[str, Tensor] = batch["prefix"]
        boundary = max(rows, key=backbone.group_names.index)
        kept = {name: self._typed(row) for name, row in rows.items()}
        above = backbone.above(boundary)
        last = boundary == backbone.group_names[-1]  # then the stored rows are maps, otherwise the next group's input
        maps = {name: kept[name] if last else backbone.layouts[name].to_map(kept[name], None) for name in kept}
        beyond = [name for name in self.reads if name not in kept]
        if beyond:
            maps |= backbone.run(kept[boundary], start=above, outputs=beyond, pooled=False)
        maps = {name: maps[name] for name in self.reads}
        lowest = min(self.reads, key=backbone.group_names.index)
        stride = backbone.strides[lowest]
        height, width = (side * stride for side in maps[lowest].shape[-2:])
        return maps, self.padded((height, width))

    def _typed(self, rows: Tensor) -> Tensor:
        """Return rows in the type of the weights, unless autocast chooses the type."""
        return rows if torch.is_autocast_enabled(rows.device.type) else rows.to(self.mean.dtype)
