"""Scikit-learn classifiers on features: scaling, search by cross-validation, and storage without pickle."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from joblib import parallel_config
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skops import io as skops
from threadpoolctl import threadpool_limits

from tlx.base.errors import TlxError
from tlx.base.machine import most_processes
from tlx.base.zip_bombs import refuse_bomb
from tlx.building.nodes import build_node
from tlx.features.stable_skops import stable

log = logging.getLogger("tlx")
Features = NDArray[np.float64]  # (N, F)
Labels = NDArray[np.int64]  # (N,)
_OWN = ("name", "scale", "search")  # keys of a node that tlx reads; the classifier gets the others
# Types that fitted classifiers contain besides those that skops trusts. Exact names only: scikit-learn, NumPy and SciPy
# have functions that run text as code.
PARTS = frozenset(
    (
        *(f"sklearn.calibration.{n}" for n in ("_CalibratedClassifier", "_SigmoidCalibration", "_TemperatureScaling")),
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        *(f"sklearn.gaussian_process.kernels.{name}" for name in ("ConstantKernel", "Product", "RBF")),
        *(
            f"sklearn.metrics._dist_metrics.{name}Distance64"
            for name in ("Chebyshev", "Euclidean", "Manhattan", "Minkowski")
        ),
        *("sklearn.neighbors._ball_tree.BallTree", "sklearn.neighbors._kd_tree.KDTree"),
        *(f"sklearn.neural_network._stochastic_optimizers.{name}Optimizer" for name in ("Adam", "SGD")),
        "sklearn.tree._tree.Tree",
    )
)


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier and the parameters that were chosen for it.

    Args:
        estimator: Predicts probabilities; it scales the features first if that was requested.
        chosen: The parameters that cross-validation chose.
        score: Their mean score over the folds; None if there was no search.
    """

    estimator: BaseEstimator
    chosen: dict[str, Any]
    score: float | None


def fit(
    node: Mapping[str, Any],
    features: Features,
    labels: Labels,
    *,
    folds: int = 5,
    scoring: str = "accuracy",
    seed: int = 0,
    groups: Sequence[str | None] | None = None,
) -> Fitted:
    """Fit a classifier. Cross-validation chooses the keys of its `search`, except those that the node sets itself.

    Each fold learns scaling from its training part. A classifier without probabilities (support vector machines) gets
    them from a softmax of its decision values. Cross-validation also fits the temperature of that softmax (Guo et al.
    2017); the most probable class does not change.

    Args:
        node: A composed classifier node, plain values.
        features: (N, F).
        labels: (N,), each class at least once.
        folds: Number of folds of the cross-validation; fewer if a class has fewer images.
        scoring: scikit-learn's name of the score to maximise.
        seed: Seed of the folds and of randomised classifiers.
        groups: Group of each image, such as a patient; a group stays in one fold. None: each image is its own group.

    Raises:
        TlxError: The node builds no classifier, or the classifier rejects its keys.
    """
    model = _pipeline(node, seed)
    search = {f"classifier__{k}": list(v) for k, v in node.get("search", {}).items() if k not in (*node, "n_jobs")}
    splits = _fold_indices(labels, folds, seed, groups)
    chosen: dict[str, Any] = {}
    score = None
    try:
        if search and splits:
            if (key := "classifier__n_neighbors") in search:  # at most the images of a fold
                fewest = min(len(seen) for seen, _ in splits)
                search[key] = [count for count in search[key] if count <= fewest] or [fewest]
            found = GridSearchCV(model, search, scoring=scoring, cv=splits, refit=False, error_score="raise")
            # Many small fits: in parallel, one thread each, so that the result does not depend on the number of cores.
            with parallel_config("threading", n_jobs=torch.get_num_threads()), threadpool_limits(1):
                found.fit(features, labels)
            chosen = {key.removeprefix("classifier__"): value for key, value in found.best_params_.items()}
            score = float(found.best_score_)
            model.set_params(**found.best_params_)
        elif search:
            log.info("classifier: a class has one training image: no cross-validation, %s is not tuned", node["name"])
        if not hasattr(model, "predict_proba"):
            everything = np.arange(len(labels))
            cross = splits or [(everything, everything)]
            model = CalibratedClassifierCV(model, method="temperature", ensemble=False, cv=cross)
        model.fit(features, labels)
    except (ValueError, TypeError) as error:  # a value that the classifier rejects
        raise TlxError(f"classifier={node['name']}: expected keys and data that it takes, got: {error}") from error
    return Fitted(model, chosen, score)


def to_bytes(estimator: BaseEstimator) -> bytes:
    """Return a fitted classifier as the content of a .skops file: arrays and plain values, no code.

    Classifiers that were fitted in the same way give the same bytes.
    """
    return stable(skops.dumps(estimator))


def from_bytes(content: bytes) -> BaseEstimator:
    """Return the classifier of a .skops file.

    Raises:
        TlxError: The file is damaged, or names a type outside `PARTS`, which could run code.
    """
    try:
        refuse_bomb(BytesIO(content))
        names = skops.get_untrusted_types(data=content)
        foreign = [name for name in names if name not in PARTS]
        if not foreign:
            loaded = skops.loads(content, trusted=names)
    except Exception as error:  # a damaged file can raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TlxError(f"classifier: expected a file written by skops, got: {reason}") from error
    if foreign:
        raise TlxError(f"classifier: expected parts of scikit-learn's classifiers only, got {', '.join(foreign)}")
    _limit_jobs(loaded)
    if not isinstance(loaded, Pipeline | CalibratedClassifierCV) or not hasattr(loaded, "classes_"):
        raise TlxError(f"classifier: expected a fitted classifier, got a {type(loaded).__name__}")
    return loaded


def _pipeline(node: Mapping[str, Any], seed: int) -> Pipeline:
    keys = {key: value for key, value in node.items() if key not in _OWN}
    classifier = build_node(keys, "classifier")
    if not (isinstance(classifier, BaseEstimator) and is_classifier(classifier)):
        raise TlxError(f"classifier: expected a scikit-learn classifier, got '{node['_target_']}'")
    if "random_state" in classifier.get_params() and "random_state" not in keys:
        classifier.set_params(random_state=seed % 2**32)
    _limit_jobs(classifier)
    scaling = [("scaling", StandardScaler())] if node.get("scale", True) else []
    return Pipeline([*scaling, ("classifier", classifier)])


def _limit_jobs(model: Any) -> None:
    """Limit the jobs of all nested estimators to the processes that a run may use; results do not depend on it."""
    most = most_processes()
    waiting, seen = [model], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
        elif type(one).__module__.partition(".")[0] == "sklearn":
            held = getattr(one, "__dict__", {})
            jobs = held.get("n_jobs")
            if jobs is not None and not (isinstance(jobs, int) and jobs <= most):
                one.n_jobs = most
            waiting += held.values()


def _fold_indices(
    labels: Labels, folds: int, seed: int, groups: Sequence[str | None] | None
) -> list[tuple[Labels, Labels]]:
    """Return (training, validation) index pairs; an empty list if a class has a single image or group."""
    # An image without a group forms its own.
    names = [
        f"image {i}" if group is None else f"group {group}" for i, group in enumerate(groups or [None] * len(labels))
    ]
    numbers = np.unique(names, return_inverse=True)[1]
    fewest = min(len(set(numbers[labels == label])) for label in np.unique(labels))
    if fewest < 2:
        return []
    grouped = len(set(numbers)) < len(numbers)
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    division = kind(min(folds, fewest), shuffle=True, random_state=seed % 2**32)
    return list(division.split(labels, labels, numbers if grouped else None))
