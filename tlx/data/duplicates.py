"""Find images that lie in two splits: what a test figure must not rest on."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tlx.data.samples import Sample, Split
from tlx.data.splits import content_keys


def leaks(seen: Split, held_out: Split) -> list[tuple[Sample, Sample]]:
    """Pairs of samples of equal content, one of each split; one pair for each held-out sample that was seen.

    Files are read only where their sizes agree.
    """
    seen, held_out = _of_equal_size(seen, held_out), _of_equal_size(held_out, seen)
    by_key = dict(zip(reversed(content_keys(seen)), reversed(seen.samples), strict=True))
    pairs = zip(content_keys(held_out), held_out.samples, strict=True)
    return [(by_key[key], sample) for key, sample in pairs if key in by_key]


def _of_equal_size(split: Split, other: Split) -> Split:
    """The samples of `split` whose size in bytes occurs in `other`; rows of pixels are all kept."""
    sizes: dict[int, int] = defaultdict(int)
    for sample in other.samples:
        sizes[_size(sample)] += 1
    return split.take([i for i, sample in enumerate(split.samples) if _size(sample) in sizes])


def _size(sample: Sample) -> int:
    return sample.source.stat().st_size if isinstance(sample.source, Path) else -1
