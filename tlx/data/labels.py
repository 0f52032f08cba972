"""What labels are, as far as splits, subsets, checks and batches need to know: the classes that an image shows.

`Sample.target` holds a label and `ImageSet.labels` says of which kind it is. Here a label is the class of an image.
Boxes and masks are further kinds: subclasses of `LabelKind` whose labels move with their image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # sets of files are listed, split and checked without importing torch
    from torch import Tensor

    from tlx.data.augmentation.distortion import Distortion

NO_CLASS = -1  # stands for the images that show no class, where images are counted by class


class LabelKind(ABC):
    """One kind of labels; it has no state."""

    least_classes: ClassVar[int] = 1  # of training images, below which there is nothing to learn
    moves: ClassVar[bool] = False  # whether a label changes where its image is cropped, mirrored or rotated
    unknown: ClassVar[Any]  # the label of an image of which nothing is known

    @abstractmethod
    def class_ids(self, label: Any) -> tuple[int, ...]:
        """Return the classes that an image of this label shows, each once: several, one or none."""

    @abstractmethod
    def only(self, label: Any, places: Mapping[int, int]) -> Any | None:
        """Return a label in terms of some classes; None: the image shows none of them and is left out.

        Args:
            label: Of all classes.
            places: Class -> its index among those that are chosen.
        """

    @abstractmethod
    def collate(self, labels: Sequence[Any]) -> Any:
        """Return the labels of several images as a batch holds them."""

    @abstractmethod
    def take(self, collated: Any, index: Tensor) -> Any:
        """Return the labels at some places of what `collate` returned.

        Args:
            collated: Of a whole split.
            index: The places (B,), int64; below 0 stands for padding, whose label is `unknown`.
        """

    def transform(self, transform: Callable[..., Any], image: Tensor, label: Any) -> tuple[Tensor, Any]:
        """Return what a transform of torchvision's v2 makes of an image (C, H, W) and of its label.

        A label that moves is handed over as a `tv_tensors.Mask` or `tv_tensors.BoundingBoxes` behind the image.
        """
        return transform(image), label

    def distort(self, labels: Any, distortion: Distortion, drawn: Tensor, size: tuple[int, int]) -> Any:
        """Return the labels of a batch after its images of size (height, width) were distorted as was drawn."""
        return labels


class ClassLabels(LabelKind):
    """A label is the index of the image's class, from 0; -1 where it is not known."""

    least_classes = 2
    unknown = -1

    def class_ids(self, label: int) -> tuple[int, ...]:
        """Return the class, or nothing where it is not known."""
        return (label,) if label >= 0 else ()

    def only(self, label: int, places: Mapping[int, int]) -> int | None:
        """Return the class's index among those that are chosen."""
        return places.get(label)

    def collate(self, labels: Sequence[int]) -> Tensor:
        """Return the classes (N,), int64."""
        import torch

        return torch.tensor(labels, dtype=torch.int64)

    def take(self, collated: Tensor, index: Tensor) -> Tensor:
        """Return the classes (B,), -1 for padding."""
        return collated[index.clamp(min=0)].masked_fill(index < 0, self.unknown)


CLASSES = ClassLabels()
