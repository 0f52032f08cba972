"""Values that nobody can mean are mistakes, whatever key they are given for; none ends in a traceback."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from omegaconf import OmegaConf

from tlx.config import compose
from tlx.config.check import check
from tlx.config.compose import checked

ABSURD = (
    *(None, True, "", [], {}, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "x" * 10**5, "a\0\x1b[31m\nb"),
    *("a b", "(?P<", [[1]], [float("nan")], {"a": {"b": [{}]}}, {"_target_": "os.mkdir"}),
)


@pytest.fixture(scope="module")
def composed() -> dict[str, dict[str, Any]]:
    small = ["dataset=digits", "backbone=small_cnn", "dataset.image_size=16"]
    lines = {
        "gradual": [*small, "strategy=gradual", "logger=tensorboard"],
        "sgd": [*small, "optimizer=sgd"],
        "features": [*small, "strategy=features", "classifier=svm"],
        "dann": [*small, "target=digits", "strategy=dann"],
        "letters": ["dataset=letters", "backbone=resnet18", "strategy=full"],
    }
    return {name: OmegaConf.to_container(compose(line), resolve=True) for name, line in lines.items()}  # type: ignore[misc]


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(config)
    *above, last = path.split(".")
    node: Any = config
    for key in above:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[int(last) if isinstance(node, list) else last] = value
    return config


@pytest.mark.parametrize(
    ("of", "path", "value", "expected"),
    [
        ("gradual", "task.dropout", 1, "below 1"),
        ("gradual", "task.label_smoothing", 1, "below 1"),
        ("gradual", "optimizer.betas", False, "a list of numbers"),
        ("gradual", "optimizer.betas", "off", "a list of numbers"),
        ("gradual", "optimizer.betas", 0.9, "a list of numbers"),
        ("gradual", "optimizer.betas", [0.9, 0.99, 0.999], "two numbers"),
        ("gradual", "optimizer.betas", [2, 0.9], "below 1"),
        ("gradual", "optimizer.eps", 0, "above 0"),
        ("gradual", "optimizer.lr", float("nan"), "above 0"),
        ("gradual", "optimizer.lr", float("inf"), "at most 1,000"),
        ("gradual", "optimizer.weight_decay", -1, "at least 0"),
        ("gradual", "optimizer.weight_decay", 1e308, "at most 1,000"),
        ("gradual", "optimizer.amsgrad", "yes", "true or false"),
        ("sgd", "optimizer.momentum", 1.5, "below 1"),
        ("sgd", "optimizer.momentum", -1, "at least 0"),
        ("sgd", "optimizer.momentum", 0, "a momentum above 0"),
        ("sgd", "optimizer.dampening", 0.5, "no dampening"),
        ("gradual", "backbone.width", 10**6, "at most 100,000"),
        ("gradual", "dataset.image_size", 10**6, "at most 100,000"),
        ("gradual", "dataset.batch_size", 10**9, "at most 1,000,000"),
        ("gradual", "dataset.num_workers", 10000, "at most 1,024"),
        ("gradual", "dataset.subset_seed", 10**30, "at most 9,223"),
        ("gradual", "trainer.stage_epochs", 10**12, "at most 1,000,000"),
        ("gradual", "strategy.stages.0.name", "", "a text of 1 to 200"),
        ("gradual", "strategy.stages.0.name", "a\nb", "without control characters"),
        ("gradual", "dataset.name", "", "a text of 1 to 200"),
        ("gradual", "logger.version", "(?P<", "part of a file's name"),
        ("gradual", "logger.version", -1, "at least 0"),
        ("gradual", "output_dir", "a\0b", "without control characters"),
        ("gradual", "logger.save_dir", "", "a path of 1 to 4,096"),
        ("gradual", "cache.dir", "", "a path of 1 to 4,096"),
        ("features", "strategy.groups", [], "at least one layer group"),
        ("features", "classifier.gamma", float("nan"), "finite"),
        ("dann", "strategy.adapt.hidden", 10**30, "at most 100,000"),
    ],
)
def test_what_cannot_be_meant(composed: dict[str, Any], of: str, path: str, value: Any, expected: str) -> None:
    """Guards against values that pass the check and end in a traceback, or in nothing learnt, when training begins."""
    found = check(changed(composed[of], path, value))
    assert len(found) == 1, found
    assert expected in found[0].expected
    assert "\x1b" not in str(found[0])


@pytest.mark.parametrize("part", ["backbone", "dataset", "task", "optimizer", "logger"])
@pytest.mark.parametrize("value", [[1], {"a": 1}, "a b", "", "torch.", 3])
def test_a_target_is_a_dotted_path(composed: dict[str, Any], part: str, value: Any) -> None:
    """Guards against `TypeError: unhashable type`, and against text that no module can be called."""
    found = check(changed(composed["gradual"], f"{part}._target_", value))
    assert [m.path for m in found] == [f"{part}._target_"]


@pytest.mark.parametrize(
    ("of", "path", "value"),
    [
        ("gradual", "optimizer.betas", [0, 0.99]),
        ("gradual", "optimizer.eps", 1e-8),
        ("gradual", "task.dropout", 0.999),
        ("sgd", "optimizer.momentum", 0.99),
        ("gradual", "dataset.subset_seed", 2**40),
        ("gradual", "logger.version", "fold 3"),
        ("gradual", "logger.version", 3),
    ],
)
def test_what_can_be_meant(composed: dict[str, Any], of: str, path: str, value: Any) -> None:
    """Guards against limits that refuse what somebody needs."""
    assert check(changed(composed[of], path, value)) == []


def keys(node: Any, path: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        place = f"{path}.{key}" if path else str(key)
        yield place
        yield from keys(value, place)


def absurd(composed: dict[str, Any], of: str, count: int | None, seed: int) -> None:
    """Check so many pairs of a key and an absurd value, or all; whatever is raised fails the test."""
    pairs = [(path, value) for path in keys(composed[of]) for value in ABSURD]
    for path, value in random.Random(seed).sample(pairs, count) if count else pairs:
        _, mistakes = checked(OmegaConf.create(changed(composed[of], path, value)))
        text = "\n".join(map(str, mistakes))
        assert len(text) < 20_000, path
        assert not {"\0", "\x1b"} & set(text), path


@pytest.mark.slow
@pytest.mark.parametrize("of", ["gradual", "features", "dann", "letters"])
def test_absurd_values_end_in_messages(composed: dict[str, Any], of: str) -> None:
    """Guards against a traceback, a message of a hundred thousand letters or one that controls the terminal."""
    absurd(composed, of, 60, seed=16)


@pytest.mark.nightly
@pytest.mark.parametrize("of", ["gradual", "features", "dann", "sgd", "letters"])
def test_every_key_with_every_absurd_value(composed: dict[str, Any], of: str) -> None:
    """Guards against the key and the value that a sample leaves out."""
    absurd(composed, of, None, seed=0)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"C": -1}, "classifier.C: expected a float in the range (0.0, inf], got -1"),
        ({"search": {"C": [1.0, -2]}}, "classifier.search.C[1]: expected a float in the range (0.0, inf], got -2"),
        ({"kernel": "round"}, "classifier.kernel: expected a str among"),
        ({"class_weight": "balanced", "gamma": 0.5, "search": {"degree": [2, 3]}}, None),
        ({"C": 1.0, "search": {"C": [-1]}}, None),
        (
            {"_target_": "sklearn.neighbors.KNeighborsClassifier", "n_neighbors": 0},
            "classifier.n_neighbors: expected an int in the range [1, inf) or None, got 0",
        ),
    ],
)
def test_values_of_classifiers_are_told_before_images_are_read(composed, keys, expected):
    """Guards against minutes of reading and of the frozen network before scikit-learn refuses what was typed; and
    against a value that is refused, though it is one that the class takes or that is never used."""
    config = copy.deepcopy(composed["features"])
    if "_target_" in keys:
        config["classifier"] = {"name": "knn", "search": {}, "scale": True}
    config["classifier"] |= keys
    told = [str(mistake) for mistake in check(config)]
    assert len(told) == (expected is not None), told
    assert all(line.startswith(expected) for line in told)
