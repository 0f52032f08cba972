from __future__ import annotations

import itertools
import math

import pytest

from tlx.strategies.plan import frozen_prefix, group_rates, plan_stages, schedule_factor

NAMES = ["stem", "stage1", "stage2", "head"]
OPTIMIZER = {"lr": 1e-3, "layer_decay": 1.0, "group_lr": {}}


def stage(**keys):
    return {"name": "s", "train": "all", **keys}


def test_layer_decay_counts_from_the_head_down():
    """Guards against a decay that runs the wrong way, or skips a group."""
    assert group_rates(NAMES, 1.0, 0.5, {}) == {"head": 1.0, "stage2": 0.5, "stage1": 0.25, "stem": 0.125}


def test_rates_by_selector_win_and_the_later_one_most():
    """Guards against an explicit rate that is multiplied by the decay, or loses to an earlier one."""
    rates = group_rates(NAMES, 1.0, 0.5, {"backbone": 0.01, "stage2+": 0.2, "head": 0.3})
    assert rates == {"stem": 0.01, "stage1": 0.01, "stage2": 0.2, "head": 0.3}


def test_decoder_and_head_have_the_full_rate_and_may_have_their_own():
    """Guards against decay within the groups above the backbone, and a decoder's own rate that `head` takes away."""
    names, upper = ["stem", "stage1", "decoder", "head"], ("decoder", "head")
    rates = group_rates(names, 1.0, 0.5, {}, upper)
    assert rates == {"stem": 0.25, "stage1": 0.5, "decoder": 1.0, "head": 1.0}
    for own in ({"decoder": 0.1, "head": 0.3}, {"head": 0.3, "decoder": 0.1}):
        assert group_rates(names, 1.0, 0.5, own, upper) == {**rates, "decoder": 0.1, "head": 0.3}
    assert group_rates(names, 1.0, 0.5, {"head": 0.3}, upper) == {**rates, "decoder": 0.3, "head": 0.3}


def test_a_stage_may_have_its_own_decay_and_scale():
    """Guards against a stage's layer_decay or lr_scale that has no effect."""
    spec = {"stages": [stage(train="last:2", layer_decay=0.1, lr_scale=0.5), stage()]}
    first, second = plan_stages(spec, OPTIMIZER, NAMES)
    assert first.trained == ("stage2", "head")
    assert first.peak_lr == pytest.approx((5e-5, 5e-4))
    assert second.peak_lr == pytest.approx((1e-3,) * 4)


def test_one_group_more_each_stage():
    """Guards against a top-down strategy that forgets a group or starts at the bottom."""
    stages = plan_stages({"stages": [stage(name="to", one_group_more=True)]}, OPTIMIZER, NAMES)
    assert [s.name for s in stages] == ["to_head", "to_stage2", "to_stage1", "to_stem"]
    assert [s.trained for s in stages] == [tuple(NAMES[i:]) for i in (3, 2, 1, 0)]


def test_stage_epochs_is_an_upper_bound():
    """Guards against trainer.stage_epochs lengthening a short stage."""
    spec = {"stages": [stage(epochs=2), stage(epochs=9)]}
    assert [s.epochs for s in plan_stages(spec, OPTIMIZER, NAMES, stage_epochs=5)] == [2, 5]


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, [1, 1, 1, 1]),
        ("linear", 0.0, [1, 0.75, 0.5, 0.25]),
        ("cosine", 0.0, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("constant", 0.5, [0.5, 1, 1, 1]),
        ("linear", 0.5, [0.5, 1, 1, 0.5]),
        ("constant", 1.0, [0.25, 0.5, 0.75, 1]),
    ],
)
def test_schedules_by_hand(schedule, warmup, expected):
    """Guards against an off-by-one in a schedule: a first step of zero, a last one that does nothing."""
    assert [schedule_factor(schedule, warmup, i, 4) for i in range(4)] == pytest.approx(expected)


def test_no_schedule_ever_wastes_a_step_or_passes_the_peak():
    """Guards against a rate of zero, below zero or above the peak at any step of any length."""
    for schedule, warmup, steps in itertools.product(
        ("constant", "linear", "cosine"), (0, 0.1, 0.34, 1), (1, 2, 7, 100)
    ):
        factors = [schedule_factor(schedule, warmup, i, steps) for i in range(steps)]
        assert all(0 < f <= 1 for f in factors), (schedule, warmup, steps)
        assert max(factors) == pytest.approx(1)


def test_frozen_groups_have_rate_zero():
    """Guards against a frozen group that still has a rate."""
    (planned,) = plan_stages({"stages": [stage(train="last:2")]}, OPTIMIZER, NAMES)
    assert planned.rate("stem", 0, 10) == 0.0
    assert planned.rate("head", 0, 10) == 1e-3


def test_the_frozen_prefix_ends_below_the_lowest_trained_group():
    """Guards against a cached prefix that holds a trained group."""
    plans = plan_stages({"stages": [stage(train=s) for s in ("head", "last:2", ["stem", "head"])]}, OPTIMIZER, NAMES)
    assert [frozen_prefix(p, NAMES) for p in plans] == [("stem", "stage1", "stage2"), ("stem", "stage1"), ()]
