"""Find images that are in two splits and would falsify test metrics."""

from __future__ import annotations

from tlx.data.findings import identical
from tlx.data.splits.division import content_keys
from tlx.data.splits.samples import Sample, Split


def leaks(seen: Split, held_out: Split) -> list[tuple[Sample, Sample]]:
    """Return pairs (seen sample, held-out sample) of equal content, one pair for each such held-out sample."""
    return identical(seen.samples, content_keys(seen), held_out.samples, content_keys(held_out))
