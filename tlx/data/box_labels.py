"""Boxes as labels: the objects in an image, each with a class."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tlx.data.labels import LabelKind

if TYPE_CHECKING:  # sets of files are listed, split and checked without importing torch
    from torch import Tensor

    from tlx.data.augmentation.distortion import Distortion

# Columns of the boxes of a batch (B, N, 6): the edges in pixels, the class, whether the box is ignored.
LEFT, TOP, RIGHT, BOTTOM, CLASS, IGNORE = range(6)
NO_OBJECT = -1  # the class of a row without an object
LEAST_VISIBLE = 0.3  # of a box's area: a box of which a crop shows less is ignored

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True, slots=True)
class Boxes:
    """The objects in an image; an image may have none.

    Args:
        edges: Left, top, right and bottom of each object in turn, in pixels of the upright image. Right and bottom are
            the edges behind the last pixels: a box as large as the image is (0, 0, width, height).
        classes: The class of each object, from 0; there is no class for the background.
        ignored: For each object 1 if it neither counts as an object nor as background, such as a crowd, otherwise 0.
        problem: Why the boxes cannot be used; None: nothing is known to be wrong.
    """

    edges: array[float]
    classes: array[int]
    ignored: bytes
    problem: str | None = None

    @classmethod
    def of(
        cls, boxes: Iterable[Box], classes: Iterable[int], ignored: Iterable[bool] = (), problem: str | None = None
    ) -> Boxes:
        """Return the label of an image from its boxes and their classes; without `ignored`, none is."""
        numbers = array("i", classes)
        flags = bytes(int(one) for one in ignored) or bytes(len(numbers))
        return cls(array("f", [edge for box in boxes for edge in box]), numbers, flags, problem)

    def __len__(self) -> int:
        return len(self.classes)

    def boxes(self) -> list[Box]:
        """Return left, top, right and bottom of each object."""
        edges = self.edges
        return [(edges[i], edges[i + 1], edges[i + 2], edges[i + 3]) for i in range(0, len(edges), 4)]

    def sides(self) -> list[tuple[float, float]]:
        """Return width and height of each object that is not ignored."""
        shown = zip(self.boxes(), self.ignored, strict=True)
        return [(right - left, bottom - top) for (left, top, right, bottom), ignored in shown if not ignored]

    def take(self, places: Sequence[int], classes: Sequence[int]) -> Boxes:
        """Return some of the objects, with other numbers of classes."""
        boxes = self.boxes()
        return Boxes.of([boxes[i] for i in places], classes, [bool(self.ignored[i]) for i in places], self.problem)


class BoxLabels(LabelKind):
    """A label is a `Boxes`; a batch holds float32 (B, N, 6), see the columns above, for images of up to N objects.

    Args:
        most: N, the number of objects that an image of the set shows at most.
    """

    name = "boxes"
    moves = True
    in_parts = True
    least_steps = 100
    marks = "objects"
    unknown = None

    def __init__(self, most: int) -> None:
        self.most = max(most, 1)

    def class_ids(self, label: Boxes | None) -> tuple[int, ...]:
        """Return the classes of the objects that are not ignored, ascending."""
        return tuple(sorted(self.amounts(label)))

    def amounts(self, label: Boxes | None) -> Mapping[int, int]:
        """Return the objects of each class, without ignored ones."""
        if label is None:
            return {}
        return Counter(one for one, ignored in zip(label.classes, label.ignored, strict=True) if not ignored)

    def problem(self, label: Boxes | None) -> str | None:
        """Return why the boxes cannot be used."""
        return None if label is None else label.problem

    def only(self, label: Boxes | None, places: Mapping[int, int]) -> Boxes | None:
        """Return the objects of some classes, renumbered; an image that shows none of them stays, as background."""
        if label is None:
            return None
        kept = [i for i, one in enumerate(label.classes) if one in places]
        return label.take(kept, [places[label.classes[i]] for i in kept])

    def resized(self, label: Boxes, own: tuple[int, int], size: tuple[int, int]) -> Boxes:
        """Return the boxes in an image that was decoded at another size."""
        if own == size:
            return label
        factors = size[1] / own[1], size[0] / own[0]
        edges = array("f", (edge * factors[i % 2] for i, edge in enumerate(label.edges)))
        return replace(label, edges=edges)

    def collate(self, labels: Sequence[Tensor]) -> Tensor:
        """Return boxes (B, N, 6) from boxes (N, 6) that moved with their images."""
        import torch

        return torch.stack(list(labels))

    def take(self, collated: Tensor, index: Tensor) -> Tensor:
        """Return boxes (B, N, 6), for padding without objects."""
        taken = collated[index.clamp(min=0)]
        taken[index < 0] = _none(1, taken)
        return taken

    def transform(self, transform: Callable[..., Any], image: Tensor, label: Boxes) -> tuple[Tensor, Tensor]:
        """Apply a torchvision v2 transform to an image (C, H, W) and its boxes; return (C, h, w) and (N, 6).

        The transform moves boxes without cutting them off at the edges of the result.
        """
        import torch
        from torchvision import tv_tensors

        size = (image.shape[-2], image.shape[-1])
        edges = torch.tensor(label.edges, dtype=torch.float32).view(-1, 4)
        boxes = tv_tensors.BoundingBoxes(edges, format="XYXY", canvas_size=size, clamping_mode=None)
        moved_image, moved = transform(tv_tensors.Image(image), boxes)
        pixels = moved_image.as_subclass(torch.Tensor)
        classes = torch.tensor(label.classes, dtype=torch.float32)
        flags = torch.tensor(list(label.ignored), dtype=torch.float32)
        found = torch.cat([moved.as_subclass(torch.Tensor).view(-1, 4), classes[:, None], flags[:, None]], dim=1)
        return pixels, self._filled(visible(found, (pixels.shape[-2], pixels.shape[-1])))

    def joined(self, parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the boxes (N, 6) of an image that was put together: a shift (2,), x and y, and boxes of each part."""
        import torch

        found = []
        for shift, rows in parts:
            shown = rows[rows[:, CLASS] != NO_OBJECT]
            found.append(torch.cat([shown[:, :4] + shift.repeat(2), shown[:, 4:]], dim=1))
        return self._filled(torch.cat(found))

    def key(self, label: Boxes) -> bytes:
        """Return 16 bytes that differ for different boxes, and for sets whose images show more objects."""
        parts = (label.edges.tobytes(), label.classes.tobytes(), label.ignored, str(self.most).encode())
        return blake2b(b"|".join(parts), digest_size=16).digest()

    def distort(self, labels: Tensor, distortion: Distortion, drawn: Tensor, size: tuple[int, int]) -> Tensor:
        """Return boxes (B, N, 6) moved like their images; see `cut_off` for those that leave the image."""
        import torch

        from tlx.data.augmentation.moved_labels import moved_boxes

        edges = moved_boxes(labels[..., :4], distortion, drawn, size)
        moved, area = cut_off(torch.cat([edges, labels[..., 4:]], dim=-1), size)
        return torch.where((area > 0)[..., None], moved, _none(1, moved))

    def _filled(self, rows: Tensor) -> Tensor:
        """Return (N, 6) from at most N rows (n, 6)."""
        import torch

        return torch.cat([rows[: self.most], _none(self.most - min(len(rows), self.most), rows)])


def visible(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes (n, 6) cut off at the edges of an image; those mostly outside are ignored, those outside left out.

    Args:
        rows: Boxes that may reach beyond the image.
        size: Height and width of the image in pixels.
    """
    cut, area = cut_off(rows, size)
    return cut[area > 0]


def cut_off(rows: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Cut boxes off at the edges of an image; those of which less than `LEAST_VISIBLE` is left are ignored.

    Args:
        rows: Boxes (…, 6) that may reach beyond the image.
        size: Height and width of the image in pixels.

    Returns:
        The boxes (…, 6), and their areas in the image (…), 0 of those outside.
    """
    import torch

    height, width = size
    left, top, right, bottom = rows[..., :4].unbind(-1)
    within = [left.clamp(0, width), top.clamp(0, height), right.clamp(0, width), bottom.clamp(0, height)]
    area, whole = (within[2] - within[0]) * (within[3] - within[1]), (right - left) * (bottom - top)
    flags = rows[..., IGNORE].masked_fill(area < LEAST_VISIBLE * whole, 1.0)
    return torch.stack([*within, rows[..., CLASS], flags], dim=-1), area


def _none(count: int, like: Tensor) -> Tensor:
    """Return rows (count, 6) without an object."""
    rows = like.new_zeros(count, 6)
    rows[:, CLASS] = NO_OBJECT
    return rows
