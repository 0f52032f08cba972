"""Metrics of a split of boxes: COCO's, thresholds, several processes."""

from __future__ import annotations

import pytest
import torch

from tests.tasks.detection.boxes import drawn, example
from tlx.tasks.detection.average_precision import precision_and_recall, ranked_classes
from tlx.tasks.detection.box_metrics import BoxMetrics
from tlx.tasks.detection.figures import SplitFigures
from tlx.tasks.detection.matching import match

MEANS = ("map", "map_50", "map_75", "recall", "map_small", "map_medium", "map_large")


def as_floats(figures: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items()}


@pytest.mark.parametrize("limit", [100, 200])
def test_metrics_are_those_of_pycocotools(limit):
    """Guards against crowds that count as objects, torchmetrics' rounded recalls, and a limit of another number."""
    found, truth, expected = example()
    figures = SplitFigures(4, limit)
    for start in range(0, len(found), 5):
        figures.add("test", found[start : start + 5], truth[start : start + 5])
    measured = as_floats(figures.take("test"))
    assert {name: measured[name] for name in MEANS} == pytest.approx(
        {name: expected[str(limit)][name] for name in MEANS}, abs=1e-6
    )
    assert ("map_first_100" in measured) == (limit > 100)
    assert measured.get("map_first_100", expected["100"]["map"]) == pytest.approx(expected["100"]["map"], abs=1e-6)


def test_tables_of_the_library_stay_out_of_the_log(caplog):
    """Guards against 20 lines of faster-coco-eval in the log after each epoch."""
    figures = SplitFigures(2, 100)
    with caplog.at_level("INFO"):
        figures.add("val", *drawn(2, 2))
        figures.take("val")
    assert caplog.messages == []


def test_own_matching_gives_the_same_metrics():
    """Guards against intervals of another metric than the one that is shown."""
    found, truth, expected = example()
    classes = ranked_classes(match(found, truth), 4)
    whole = torch.ones(1, len(found), dtype=torch.long).numpy()
    each = [precision_and_recall(one, whole)[0][0] for one in classes]
    for precisions, wanted, at_50 in zip(
        each, *(expected["200"][name] for name in ("by_class", "by_class_50")), strict=True
    ):
        if wanted is None:
            assert torch.tensor(precisions).isnan().all()
        else:
            assert float(precisions.mean()) == pytest.approx(wanted, abs=1e-9)
            assert float(precisions[0]) == pytest.approx(at_50, abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_own_matching_gives_the_same_metrics_on_drawn_boxes(seed):
    """Guards against a matching that is right on the stored example alone."""
    found, truth = drawn(30, 3, seed=seed)
    figures = SplitFigures(3, 100)
    figures.add("val", found, truth)
    measured = as_floats(figures.take("val"))
    classes = ranked_classes(match(found, truth), 3)
    whole = torch.ones(1, len(found), dtype=torch.long).numpy()
    precisions, recalls = zip(*(precision_and_recall(one, whole) for one in classes), strict=True)
    precision, recall = torch.tensor(precisions).squeeze(1), torch.tensor(recalls).squeeze(1)
    own = {"map": precision.mean(), "map_50": precision[:, 0].mean(), "map_75": precision[:, 5].mean()}
    assert measured == pytest.approx(as_floats({**own, "recall": recall.mean()}), abs=1e-6)


def test_a_split_starts_anew_and_the_others_stay():
    """Guards against figures of one epoch that hold those of the epochs before, and of splits that mix."""
    found, truth = drawn(8, 2)
    figures = SplitFigures(2, 100)
    assert figures.take("val") == figures.take("target") == {}
    figures.add("val", found, truth, torch.tensor(3.0))
    figures.add("test", found[:2], truth[:2])
    first = as_floats(figures.take("val"))
    assert set(first) == {"map", "map_50", "map_75", "recall", "loss"}
    assert figures.take("val") == {}
    figures.add("val", found[:0], truth[:0])
    figures.add("val", found, truth, torch.tensor(3.0))
    assert as_floats(figures.take("val")) == first
    assert float(figures.take("test")["map"]) != pytest.approx(first["map"], abs=1e-4)


@pytest.mark.parametrize("objects", [True, False])
def test_there_may_be_no_object_and_no_detection(objects):
    """Guards against a NaN, or no value of the monitor at all, where a split shows nothing."""
    found, truth = drawn(3, 2)
    figures = SplitFigures(2, 100)
    nothing = torch.zeros(3, 0, 6)
    figures.add("val", nothing if objects else found, truth if objects else nothing)
    assert figures.thresholds().tolist() == [0.5, 0.5]
    assert as_floats(figures.take("val")) == dict.fromkeys(("map", "map_50", "map_75", "recall"), 0.0)
    figures.add("test", nothing, nothing)
    assert set(figures.take("test")) == {"map", "map_50", "map_75", "recall"}


def test_only_rows_that_count_are_kept_on_the_cpu():
    """Guards against memory that grows with empty rows, and a score of 0.001 that changes the metrics."""
    found, truth = drawn(4, 2)
    low = found.clone()
    low[..., 5] = 0.001
    metric = BoxMetrics(2, 100)
    metric.update(torch.cat([found, low], dim=1), truth, None)
    kept = (found[..., 4] >= 0) & (found[..., 5] >= 0.01)
    assert sum(part.numel() for part in metric.found) == 6 * int(kept.sum())
    assert sum(part.numel() for part in metric.truth) == 6 * int((truth[..., 4] >= 0).sum())
    assert all(part.device.type == "cpu" for part in metric.found)
    alone = BoxMetrics(2, 100)
    alone.update(found, truth, None)
    assert as_floats(metric.compute() | {"thresholds": torch.zeros(())}) == as_floats(
        alone.compute() | {"thresholds": torch.zeros(())}
    )


def best_f1(found: torch.Tensor, truth: torch.Tensor, one: int) -> tuple[float, float]:
    """Return the best F1 of a class and the middle of the scores between which it is reached, by trying each score."""
    best = (0.0, 1.0)
    scores = found[..., 5][found[..., 4] == one]
    objects = int(((truth[..., 4] == one) & (truth[..., 5] == 0)).sum())
    for score in sorted(found[..., 5][found[..., 4] == one].tolist(), reverse=True):
        above = found.clone()
        above[..., 4] = above[..., 4].masked_fill(above[..., 5] < score, -1)
        detected = match(above, truth).detected
        own = detected.label == one
        called = int((~detected.ignored[own, 0]).sum())
        f1 = 2 * int(detected.hit[own, 0].sum()) / (called + objects)
        beyond = max(scores[scores < score].tolist(), default=0.0)
        best = max(best, (f1, (score + beyond) / 2), key=lambda pair: pair[0])
    return best


def test_thresholds_have_the_best_f1_of_each_class():
    """Guards against a threshold of all classes together, of the test split, and ignored detections that count."""
    found, truth = drawn(12, 3, seed=4)
    found[..., 5] = (found[..., 5] * 20).round() / 20  # many equal scores
    found[..., 4] = found[..., 4].masked_fill(found[..., 4] == 2, 1)  # nothing is found of the last class
    figures = SplitFigures(3, 100)
    with pytest.raises(ValueError, match="batches of val"):
        figures.thresholds()
    figures.add("val", found, truth)
    scores = figures.thresholds()
    for one in range(2):
        f1, score = best_f1(found, truth, one)
        assert f1 > 0.3
        assert float(scores[one]) == pytest.approx(score)
    assert float(scores[2]) == pytest.approx(float(scores[:2].mean()))
    assert "map" in figures.take("val")


def test_one_class_has_a_vector_of_thresholds():
    """Guards against torchmetrics, which makes a scalar of one number."""
    found, truth = drawn(6, 1)
    figures = SplitFigures(1, 100)
    figures.add("val", found, truth)
    assert figures.thresholds().shape == (1,)


def test_the_shares_of_two_processes_are_those_of_one():
    """Guards against lists of one process, and a process without an image that ends the exchange."""
    found, truth = drawn(9, 2)
    whole = BoxMetrics(2, 100)
    whole.update(found, truth, torch.tensor(2.0))
    parts = [BoxMetrics(2, 100), BoxMetrics(2, 100), BoxMetrics(2, 100)]
    parts[0].update(found[:4], truth[:4], torch.tensor(2.0))
    parts[1].update(found[4:], truth[4:], torch.tensor(2.0))
    parts[2].update(found[:0], truth[:0], torch.tensor(torch.nan))
    for other in parts[1:]:
        parts[0].merge_state(other)  # as torchmetrics puts states of processes together
    expected, joined = whole.compute(), parts[0].compute()
    assert {name: value.tolist() for name, value in joined.items()} == {
        name: pytest.approx(value.tolist()) for name, value in expected.items()
    }
