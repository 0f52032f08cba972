"""Find images that lie in two splits: what a test figure must not rest on."""

from __future__ import annotations

from tlx.data.findings import identical
from tlx.data.splits.division import content_keys
from tlx.data.splits.samples import Sample, Split


def leaks(seen: Split, held_out: Split) -> list[tuple[Sample, Sample]]:
    """Pairs of samples of equal content, one of each split; one pair for each held-out sample that was seen."""
    return identical(seen.samples, content_keys(seen), held_out.samples, content_keys(held_out))
