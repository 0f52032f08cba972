"""Kinds of labels: what splits, subsets, checks and batches need, such as the classes that an image shows.

`Sample.target` holds a label; `ImageSet.labels` is its kind. Here a label is the class of an image.
Boxes and masks are further subclasses of `LabelKind`, whose labels move with their image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # sets of files are listed, split and checked without importing torch
    from torch import Tensor

    from tlx.data.augmentation.distortion import Distortion

NO_CLASS = -1  # the key for images without a class, where images are counted by class


class LabelKind(ABC):
    """One kind of labels; it has no state."""

    name: ClassVar[str] = "own"  # what its labels are called: `classes`, `masks`
    least_classes: ClassVar[int] = 1  # classes that the training images must show at least
    moves: ClassVar[bool] = False  # whether a label changes when its image is cropped, mirrored or rotated
    in_parts: ClassVar[bool] = (
        False  # whether crops are trained on, tiles validated, and whole images of any size tested
    )
    least_steps: ClassVar[int] = 0  # steps of an epoch: small sets are repeated until they make as many
    marks: ClassVar[str] = ""  # what of a class a label marks, see `amounts`: `pixels`, `objects`
    unknown: ClassVar[Any]  # the label of an unlabelled image

    def is_known(self, label: Any) -> bool:
        """Return whether this is the label of an image, not `unknown`."""
        return type(label) is not type(self.unknown) or bool(label != self.unknown)

    @abstractmethod
    def class_ids(self, label: Any) -> tuple[int, ...]:
        """Return the classes that an image with this label shows, without duplicates; empty for none."""

    @abstractmethod
    def only(self, label: Any, places: Mapping[int, int]) -> Any | None:
        """Return the label with only some classes, renumbered; None if the image shows none of them and is left out.

        Args:
            label: Label over all classes.
            places: Maps a chosen class to its new index.
        """

    @abstractmethod
    def collate(self, labels: Sequence[Any]) -> Any:
        """Return the labels of several images in the form of a batch."""

    @abstractmethod
    def take(self, collated: Any, index: Tensor) -> Any:
        """Return some of the labels that `collate` returned.

        Args:
            collated: Labels of a whole split.
            index: Positions (B,), int64; negative ones are padding and get the label `unknown`.
        """

    def problem(self, label: Any) -> str | None:
        """Return why a label cannot be used, such as a broken mask; None: nothing is wrong."""
        return None

    def amounts(self, label: Any) -> Mapping[int, int]:
        """Return how much of each class a label marks: pixels, or objects; empty for labels that mark neither."""
        return {}

    def transform(self, transform: Callable[..., Any], image: Tensor, label: Any) -> tuple[Tensor, Any]:
        """Apply a torchvision v2 transform to an image (C, H, W) and its label.

        A kind whose labels move passes the label after the image, as a `tv_tensors.Mask` or `tv_tensors.BoundingBoxes`.
        """
        return transform(image), label

    def resized(self, label: Any, own: tuple[int, int], size: tuple[int, int]) -> Any:
        """Return the label of an image that was decoded at another size.

        Args:
            label: The label.
            own: Height and width of the image in full.
            size: Height and width of the decoded image.
        """
        return label

    def key(self, label: Any) -> bytes | None:
        """Return 16 bytes that differ for different labels; None: labels of this kind cannot be stored.

        The cache of frozen outputs asks for it if labels move: it stores them as they moved with their images. They
        must then collate to tensors of one shape.
        """
        return None

    def distort(self, labels: Any, distortion: Distortion, drawn: Tensor, size: tuple[int, int]) -> Any:
        """Return the labels of a batch, distorted as its images of size (height, width) were."""
        return labels


class ClassLabels(LabelKind):
    """A label is the index of the image's class, from 0; -1 if unknown."""

    name = "classes"
    least_classes = 2
    unknown = -1

    def class_ids(self, label: int) -> tuple[int, ...]:
        """Return the class; empty if unknown."""
        return (label,) if label >= 0 else ()

    def only(self, label: int, places: Mapping[int, int]) -> int | None:
        """Return the new index of the class; None if it was not chosen."""
        return places.get(label)

    def collate(self, labels: Sequence[int]) -> Tensor:
        """Return the classes (N,), int64."""
        import torch

        return torch.tensor(labels, dtype=torch.int64)

    def take(self, collated: Tensor, index: Tensor) -> Tensor:
        """Return the classes (B,), -1 for padding."""
        return collated[index.clamp(min=0)].masked_fill(index < 0, self.unknown)


CLASSES = ClassLabels()
