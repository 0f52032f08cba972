"""How far new images are from all that a network has seen."""

from __future__ import annotations

import pytest
import torch

from tlx.base.errors import TlxError
from tlx.measures.likeness import known_images, limit_of, nearest, spread_over_classes


def test_what_points_elsewhere_is_beyond_the_limit_whatever_its_length() -> None:
    """Guards against a distance that measures brightness, and against a limit that new images of a kind exceed."""
    draw = torch.Generator().manual_seed(0)
    kinds = torch.randn(4, 32, generator=draw)

    def drawn(count: int) -> torch.Tensor:
        return kinds[torch.arange(count) % 4] + 0.2 * torch.randn(count, 32, generator=draw)

    known = known_images(drawn(100), drawn(200))
    own, others = known.distances(drawn(400)), known.distances(torch.randn(50, 32, generator=draw))
    assert 0.01 < (own > known.limit).float().mean() < 0.1
    assert (others > known.limit).all()
    assert torch.allclose(known.distances(7 * drawn(3)), known.distances(drawn(3)), atol=0.2)
    assert known.features.dtype == torch.half
    with pytest.raises(TlxError, match="with 16 features, those of the network, got 32"):
        known.refuse_other(16)


@pytest.mark.parametrize(
    ("count", "rank"), [(1, 1), (12, 12), (18, 18), (19, 19), (20, 20), (39, 38), (99, 95), (1000, 951)]
)
def test_the_limit_of_few_images_is_the_largest(count: int, rank: int) -> None:
    """Guards against a quantile of twelve images that one of eight new ones exceeds."""
    assert limit_of(torch.arange(1.0, count + 1).flip(0)) == rank


def test_distances_are_those_of_the_nearest() -> None:
    """Guards against a mean over all known images, which are of different classes."""
    known = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert nearest(torch.tensor([[2.0, 0.0], [1.0, 1.0], [-1.0, 0.0]]), known).tolist() == pytest.approx(
        [0.0, 1 - 0.5**0.5, 1.0], abs=1e-6
    )
    assert nearest(torch.empty(0, 2), known).shape == (0,)


def test_few_images_of_a_rare_class_are_kept() -> None:
    """Guards against a rare class of which no image is known, so that all of its new ones are unknown."""
    classes = [0] * 50 + [1] * 2 + [-1]
    chosen = spread_over_classes(classes, 9)
    assert [classes[i] for i in chosen].count(1) == 2
    assert [classes[i] for i in chosen].count(-1) == 1
    assert len(chosen) == 9
    assert spread_over_classes(classes, 1000) == list(range(53))
