"""What is stored of a frozen prefix: the boundary, its outputs, how they are computed, and requests for their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch

from tlx.features.segments import KEY_BYTES, Shape
from tlx.features.store import Entry


@dataclass
class Numerics:
    """How a network computes the stored outputs.

    Args:
        precision: Lightning's name of the precision.
        context: Makes the context in which the network runs.
        dtype: Type of the stored values; None: that of the output.
    """

    precision: str
    context: Callable[[], AbstractContextManager[object]]
    dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Output:
    """The output of a layer group, or labels that move with their images, and where these rows are stored.

    Args:
        name: The group.
        shape: The shape of its output for one image.
        entry: The entry that stores the rows.
        is_label: Whether the rows are labels.
    """

    name: str
    shape: Shape
    entry: Entry
    is_label: bool = False

    @property
    def bytes(self) -> int:
        """Bytes per image."""
        return self.shape.bytes + KEY_BYTES


@dataclass(frozen=True)
class Boundary:
    """The upper end of a frozen prefix, and the stored outputs.

    Args:
        outputs: Bottom to top. The last one is the output of the boundary itself; the task reads the others, too.
        pooled: The form of the stored outputs, see `Backbone.run`.
    """

    outputs: tuple[Output, ...]
    pooled: bool | None = None

    @property
    def name(self) -> str:
        """The topmost group."""
        return self.outputs[-1].name


@dataclass
class Request:
    """A request for rows.

    Args:
        split: A name of `ImageDataModule.splits`.
        view: Number of an augmented view; None: images as for evaluation.
        boundary: The boundary whose outputs are requested.
        also: Further boundaries below it, of the same form, that a later stage will request: the same pass computes
            them.
    """

    split: str
    view: int | None
    boundary: Boundary
    also: Sequence[Boundary] = field(default_factory=tuple)
