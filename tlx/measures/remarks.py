"""What a reader of a run's figures should notice: a test far below validation, and classes that are not recognised."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tlx.base.printable import counted, enumerated, one_line
from tlx.measures.interval_text import with_interval
from tlx.measures.names import interval_of

GAP = 0.1  # from here on a difference is remarked upon, even if chance may explain it
SURE_GAP = 0.03  # from here on, if chance does not explain it
POOR = 0.5  # a class is poor below this fraction of the overall figure
CLASSES_AT_MOST = 3


def gap_remarks(figures: Mapping[str, float], headline: str, val_images: int, test_images: int) -> list[str]:
    """Return a remark if the test figure is far below that of validation, which selected the weights.

    Chance explains a difference that is smaller than the half-width of its 95 % interval. Both splits are samples, and
    the standard error of a mean falls with the root of their size, so the lower half of the test's interval is widened
    by the factor sqrt(1 + test images / validation images).

    Args:
        figures: The figures of the run.
        headline: The main test metric, `test/…`; larger is better.
        val_images: Number of validation images.
        test_images: Number of test images.
    """
    name = headline.partition("/")[2]
    whole = [value for key, value in figures.items() if key.startswith(f"val/whole_{name}/")]
    test, val = figures.get(headline, math.nan), max(whole, default=figures.get(f"val/{name}", math.nan))
    gap, ends = val - test, interval_of(figures, headline)
    if headline.endswith("loss") or not gap >= SURE_GAP:
        return []
    by_chance = ends is None or gap <= (test - ends[0]) * math.sqrt(1 + test_images / max(val_images, 1))
    if by_chance and gap < GAP:
        return []
    images = counted(test_images, "test image", "test images")
    text = f"{headline} {with_interval(test, ends, '.3f')} is {gap:.3f} below validation's {val:.3f}"
    if by_chance:
        others = counted(val_images, "validation image", "validation images")
        return [f"{text}; with {images} and {others}, chance may explain that"]
    return [
        f"{text}, more than chance explains: the test images differ from those of validation, or validation has near "
        "copies of training images (dataset.group_pattern or dataset.group_column keeps images of one group in one "
        "split)"
    ]


def class_remarks(figures: Mapping[str, float], headline: str, of_class: str | None) -> list[str]:
    """Return a remark if classes have a figure of less than half of the overall one, beyond chance; worst first.

    Args:
        figures: The figures of the run.
        headline: The main test metric, `test/…`; larger is better.
        of_class: The metric of a single class, such as `test/sensitivity`; None: there is none.
    """
    overall = figures.get(headline, math.nan)
    if of_class is None:
        return []
    prefix, poor = f"{of_class}/", []
    for name, value in figures.items():
        _, high = interval_of(figures, name) or (math.nan, value)
        if name.startswith(prefix) and value < POOR * overall and high < overall:
            poor.append((value, f"'{one_line(name.removeprefix(prefix))}' {value:.3f}"))
    if not poor:
        return []
    shown = enumerated([text for _, text in sorted(poor)], CLASSES_AT_MOST)
    return [f"hardly recognised: {of_class} of {shown}, where {headline} is {overall:.3f}"]
