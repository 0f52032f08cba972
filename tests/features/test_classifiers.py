"""Classifiers of scikit-learn: every shipped one fits, is saved without pickle and gives the same again."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from tlx.base.errors import TlxError
from tlx.config.compose import conf_dir
from tlx.features.classifiers import _fold_indices, fit, from_bytes, to_bytes

SHIPPED = sorted(path.stem for path in (conf_dir() / "classifier").glob("*.yaml"))


def node(name: str, **more):
    return {**OmegaConf.to_container(OmegaConf.load(conf_dir() / "classifier" / f"{name}.yaml")), **more}


@pytest.fixture(scope="module")
def iris():
    features, labels = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return features[order], labels[order]


def test_all_kinds_are_there():
    """Guards against a classifier that is promised and has no file."""
    assert set(SHIPPED) == {
        *("logreg", "linear_svm", "svm", "knn", "random_forest"),
        *("gradient_boosting", "lda", "naive_bayes", "nearest_centroid"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_saved_classifier_gives_the_same_probabilities(name, iris):
    """Guards against classifiers that cannot be fitted, saved or read again, or give no probabilities."""
    features, labels = iris
    fewer = {"n_estimators": 30} if name == "random_forest" else {}  # trees: 300 take eight seconds
    fitted = fit(node(name, **fewer), features[:100], labels[:100])
    assert set(fitted.chosen) == set(node(name)["search"])
    probabilities = fitted.estimator.predict_proba(features[100:])
    assert np.allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == labels[100:]).mean() > 0.8
    content = to_bytes(fitted.estimator)
    assert np.array_equal(from_bytes(content).predict_proba(features[100:]), probabilities)
    with zipfile.ZipFile(io.BytesIO(content)) as held:
        assert not [name for name in held.namelist() if not name.endswith((".npy", ".npz", ".json"))]


def test_a_support_vector_machine_decides_as_scikit_learns_own(iris):
    """Guards against probabilities that call another class the most probable one than the machine itself."""
    features, labels = iris
    keys = {"scale": False, "search": {}, "C": 10.0}
    ours = fit(node("svm", **keys), features[:100], labels[:100]).estimator.predict_proba(features[100:]).argmax(1)
    theirs = SVC(C=10.0, break_ties=True).fit(features[:100], labels[:100]).predict(features[100:])
    assert np.array_equal(ours, theirs)


def test_scaling_and_the_search_see_the_training_part_of_a_fold_only(iris, monkeypatch):
    """Guards against a fold whose held-out images have been looked at."""
    from tlx.features import classifiers

    features, labels = iris
    sizes = []

    class Watched(classifiers.StandardScaler):
        def fit(self, x, y=None, sample_weight=None):
            sizes.append(len(x))
            return super().fit(x, y, sample_weight)

    monkeypatch.setattr(classifiers, "StandardScaler", Watched)
    fit(node("logreg", search={"C": [0.1, 1.0]}), features[:100], labels[:100], folds=4)
    assert sizes.count(100) == 1
    assert sizes[:-1] == [75] * 8


def test_the_score_that_is_asked_for_chooses(iris):
    """Guards against `scoring` without effect."""
    features, labels = iris
    rare = np.r_[np.flatnonzero(labels == 0)[:40], np.flatnonzero(labels == 1)[:40], np.flatnonzero(labels == 2)[:5]]
    found = {s: fit(node("knn"), features[rare], labels[rare], scoring=s).score for s in ("accuracy", "neg_log_loss")}
    assert found["accuracy"] > 0
    assert found["neg_log_loss"] < 0


def test_neighbours_are_no_more_than_there_are(iris):
    """Guards against a table of classifiers that ends at a set of 20 images."""
    features, labels = iris
    features, labels = features[:20], labels[:20]
    fewest = min(len(seen) for seen, _ in _fold_indices(labels, 5, 0, None))
    assert fewest < 20
    assert fit(node("knn"), features, labels).chosen["n_neighbors"] in (1, 3, 5, 10)
    assert fit(node("knn", search={"n_neighbors": [50]}), features, labels).chosen == {"n_neighbors": fewest}


def test_a_key_that_is_given_is_not_searched(iris):
    """Guards against `classifier.n_neighbors=7` without effect."""
    features, labels = iris
    fitted = fit(node("knn", n_neighbors=7), features[:100], labels[:100])
    assert fitted.chosen == {}
    assert fitted.estimator.get_params()["classifier__n_neighbors"] == 7
    assert fit(node("svm", gamma=0.1), features[:100], labels[:100]).chosen.keys() == {"C"}


def test_images_of_a_group_are_in_one_fold():
    """Guards against a patient on both sides of the cross-validation."""
    labels = np.arange(60) % 3
    groups = [f"patient {i // 4}" for i in range(60)]
    divided = _fold_indices(labels, 5, 0, groups)
    assert len(divided) == 5
    for one, other in divided:
        assert not {groups[i] for i in one} & {groups[i] for i in other}
    assert sorted(i for _, other in divided for i in other) == list(range(60))
    assert len(_fold_indices(labels, 5, 0, None)) == len(_fold_indices(labels, 5, 0, [None] * 60)) == 5


@pytest.mark.parametrize("name", ["logreg", "svm"])
def test_one_image_a_class_is_enough(name, iris):
    """Guards against a cross-validation that cannot be where there is one image to a class."""
    features, labels = iris
    first = [int(np.flatnonzero(labels == k)[0]) for k in range(3)]
    fitted = fit(node(name), features[first], labels[first])
    assert fitted.chosen == {}
    assert fitted.score is None
    assert fitted.estimator.predict_proba(features[first]).argmax(1).tolist() == [0, 1, 2]


def test_seeds_decide_what_is_drawn(iris):
    """Guards against a forest that is another one each time, or the same for all seeds."""
    features, labels = iris

    def forest(seed):
        return fit(node("random_forest", n_estimators=5), features, labels, seed=seed).estimator.predict_proba(features)

    assert np.array_equal(forest(1), forest(1))
    assert not np.array_equal(forest(1), forest(2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logreg", "knn", "svm", "gradient_boosting"])
def test_two_that_are_fitted_alike_are_the_same_bytes(name, iris):
    """Guards against best weights that differ after a kill, by times and by places in memory that tell nothing."""
    features, labels = iris
    small = {"search": {}, "max_iter": 3} if name == "gradient_boosting" else {}
    first, second = (to_bytes(fit(node(name, **small), features, labels).estimator) for _ in range(2))
    assert first == second
    assert to_bytes(from_bytes(first)) == first
    with zipfile.ZipFile(io.BytesIO(first)) as held:
        assert {part.date_time for part in held.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    again = from_bytes(first).predict_proba(features)
    assert np.array_equal(again, fit(node(name, **small), features, labels).estimator.predict_proba(features))


def test_a_file_with_something_else_inside_is_refused(iris):
    """Guards against a checkpoint from elsewhere that runs code when it is read."""
    features, labels = iris
    content = to_bytes(fit(node("nearest_centroid"), features, labels).estimator)
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as held, zipfile.ZipFile(written, "w") as changed:
        for name in held.namelist():
            data = held.read(name)
            if name == "schema.json":
                told = json.loads(data)
                told["content"]["content"]["steps"] = {
                    "__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": {
                        "module_path": "os", "function": "system"}, "__id__": 1,
                }  # fmt: skip
                data = json.dumps(told).encode()
            changed.writestr(name, data)
    with pytest.raises(TlxError, match="classifier: expected"):
        from_bytes(written.getvalue())
    with pytest.raises(TlxError, match="classifier: expected a file written by skops"):
        from_bytes(content[:100])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"_target_": "sklearn.linear_model.LinearRegression", "search": {}},
            "expected a _target_ of the list .*LinearRegression",
        ),
        ({"search": {"C": [-1.0]}}, "classifier=logreg: expected keys"),
    ],
)
def test_what_does_not_fit_is_said(keys, told, iris):
    """Guards against a traceback of scikit-learn's for a value that a user typed."""
    features, labels = iris
    given = node("logreg", **keys)
    if "LinearRegression" in given["_target_"]:
        del given["max_iter"]
    with pytest.raises(TlxError, match=told):
        fit(given, features, labels)
