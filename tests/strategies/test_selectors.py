from __future__ import annotations

import pytest

from tlx.strategies.selectors import SelectorError, select

NAMES = ("stem", "stage1", "stage2", "stage3", "head")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("head", ("head",)),
        ("stage2", ("stage2",)),
        ("stage2+", ("stage2", "stage3", "head")),
        ("stem+", NAMES),
        ("head+", ("head",)),
        ("last:1", ("head",)),
        ("last:3", ("stage2", "stage3", "head")),
        ("last:5", NAMES),
        ("all", NAMES),
        ("backbone", NAMES[:-1]),
        ("stage*", ("stage1", "stage2", "stage3")),
        ("s*[13]", ("stage1", "stage3")),
        (["head", "stem"], ("stem", "head")),
        (["stage3+", "last:2", "stem"], ("stem", "stage3", "head")),
        ([], ()),
    ],
)
def test_selects_bottom_to_top(selector, expected):
    """Guards against a selector that takes one group too many, or an order other than that of running."""
    assert select(NAMES, selector) == expected


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("stage9", "did you mean 'stage"),
        ("heed", "did you mean 'head'"),
        ("stagee2+", "did you mean 'stage2'"),
        ("last:0", "last:1 is the head alone"),
        ("last:6", "last:1 is the head alone"),
        ("last:x", "last:1 is the head alone"),
        ("conv*", "valid"),
    ],
)
def test_matching_nothing_is_an_error_that_helps(selector, hint):
    """Guards against a typo that freezes everything without a word."""
    with pytest.raises(SelectorError) as error:
        select(NAMES, selector)
    assert hint in str(error.value)
    assert "stem, stage1, stage2, stage3, head" in str(error.value) or "last:N" in str(error.value)
