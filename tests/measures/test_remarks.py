"""What a reader of a run's figures is told."""

from __future__ import annotations

import pytest

from tlx.measures.remarks import class_remarks, gap_remarks

FAR = {"val/accuracy": 0.889, "test/accuracy": 0.667, "test/accuracy_low": 0.6, "test/accuracy_high": 0.73}


def gap(figures: dict[str, float], val: int = 360, test: int = 360) -> str:
    return "; ".join(gap_remarks(figures, "test/accuracy", val, test))


def test_a_test_far_below_validation_is_remarked_upon() -> None:
    """Guards against a run whose test misses a fifth of what validation promised, without a word."""
    assert gap(FAR).startswith(
        "test/accuracy 0.667 (0.600 to 0.730) is 0.222 below validation's 0.889, more than chance"
    )
    few = {**FAR, "test/accuracy_low": 0.45}
    assert gap(few, 18, 18).endswith("with 18 test images and 18 validation images, chance may explain that")
    assert "chance may explain" in gap({key: FAR[key] for key in ("val/accuracy", "test/accuracy")})


@pytest.mark.parametrize(
    "figures",
    [
        {**FAR, "test/accuracy": 0.87, "test/accuracy_low": 0.86},  # certain, and small
        {**FAR, "test/accuracy": 0.82, "test/accuracy_low": 0.7},  # neither large nor certain
        {**FAR, "test/accuracy": 0.95},
        {"test/accuracy": 0.6},
        {"val/accuracy": 0.9},
    ],
)
def test_what_chance_explains_is_left_alone(figures: dict[str, float]) -> None:
    """Guards against a remark at the end of every run, which nobody reads any more."""
    assert gap(figures) == ""


def test_whole_validation_images_are_compared_with_the_test() -> None:
    """Guards against tiles of validation images, which are another measure, beside whole test images."""
    figures = {"val/miou": 0.9, "val/whole_miou/full": 0.61, "test/miou": 0.6}
    assert gap_remarks(figures, "test/miou", 20, 20) == []


def test_classes_that_are_hardly_recognised_are_named() -> None:
    """Guards against a class at 0.08 behind a good mean, and against naming one by a few unlucky images."""
    figures = {"test/accuracy": 0.667}
    for i, (value, high) in enumerate([(0.08, 0.25), (0.9, 1.0), (0.3, 0.7), (0.0, 0.0), (0.2, 0.4), (0.3, 0.5)]):
        name = f"kind/{i}"
        figures |= {f"test/sensitivity/{name}": value}
        figures |= {f"test/sensitivity_low/{name}": 0.0, f"test/sensitivity_high/{name}": high}
    told = class_remarks(figures, "test/accuracy", "test/sensitivity")
    assert told == [
        "hardly recognised: test/sensitivity of 'kind/3' 0.000, 'kind/0' 0.080, 'kind/4' 0.200 and 1 more, "
        "where test/accuracy is 0.667"
    ]
    assert class_remarks(figures, "test/accuracy", None) == []
