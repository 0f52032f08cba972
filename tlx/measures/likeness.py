"""How far new images are from all images that a network has seen: distances of features, and a limit for them.

The distance is that to the nearest known image, 1 - cosine similarity: deep nearest neighbours, Sun et al., Out-of-
Distribution Detection with Deep Nearest Neighbors (2022). The limit comes from images that were not trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tlx.base.errors import TlxError

WITHIN = 0.95  # of images like those of the validation split lie within the limit
_ROWS = 1024  # new images that are compared at a time


@dataclass(frozen=True)
class KnownImages:
    """What new images are compared with.

    Args:
        features: Features of known images (M, D), rows of length 1.
        limit: The distance beyond which an image is unlike all of them.
    """

    features: Tensor
    limit: float

    def refuse_other(self, width: int) -> None:
        """Refuse features of another network.

        Raises:
            TlxError: New images have `width` features, known ones another number.
        """
        if (own := self.features.shape[1]) != width:
            raise TlxError(f"expected known images with {width} features, those of the network, got {own}")

    def distances(self, features: Tensor) -> Tensor:
        """Return the distance of images (N,) to the nearest known image, in [0, 2], from their features (N, D)."""
        return nearest(features, self.features)


def known_images(training: Tensor, others: Tensor) -> KnownImages:
    """Return what new images are compared with, half precision.

    Args:
        training: Features of training images (M, D).
        others: Features of images of the same kind that were not trained on (N, D); both M and N at least 1.
    """
    known = F.normalize(training.float(), dim=1).half()
    return KnownImages(known, limit_of(nearest(others, known)))


def nearest(features: Tensor, known: Tensor) -> Tensor:
    """Return the cosine distance of each row of features (N, D) to the nearest row of `known` (M, D): (N,), float32."""
    others = F.normalize(known.float(), dim=1).T
    rows = [1 - (F.normalize(part.float(), dim=1) @ others).amax(dim=1) for part in features.split(_ROWS)]
    return torch.cat(rows) if rows else features.new_empty(0, dtype=torch.float32)


def limit_of(distances: Tensor) -> float:
    """Return the limit within which a new image of the same kind lies with a probability of at least WITHIN.

    Of n distances it is the one of rank WITHIN * (n + 1), rounded up, as in conformal prediction; for fewer than 19 the
    largest.

    Args:
        distances: Distances of images of that kind (n,), n at least 1.
    """
    rank = min(math.ceil(WITHIN * (len(distances) + 1)), len(distances))
    return float(distances.sort().values[rank - 1])


def spread_over_classes(classes: list[int], most: int) -> list[int]:
    """Return the positions of at most so many images, about as many of each class, the first ones of each.

    Args:
        classes: The class of each image; -1 if it is not known.
        most: Largest number of positions.
    """
    seen: dict[int, int] = {}
    turns = []
    for position, one in enumerate(classes):
        seen[one] = seen.get(one, 0) + 1
        turns.append((seen[one], position))
    return sorted(position for _, position in sorted(turns)[:most])
