"""A classifier of scikit-learn on features: scaling, a search by cross-validation, and a file without pickle."""

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
_OWN = ("name", "scale", "search")  # keys of a node that are ours
# What fitted classifiers hold besides the estimators that skops itself trusts; by exact names, for scikit-learn, NumPy
# and SciPy have functions that run a text as code.
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
    """A classifier that was fitted, and how its keys were chosen.

    Args:
        estimator: Gives probabilities; the last step before is scaling, where that was asked for.
        chosen: The keys that cross-validation chose.
        score: Their mean score over the folds; None where nothing was to be chosen.
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
    """Fit a classifier; keys of its `search` are chosen by cross-validation, except those that it is given beside it.

    Scaling is learned in each fold anew, from its training part. A classifier without probabilities (support vector
    machines) is given some by a softmax of its decision values, whose temperature is fitted by cross-validation too
    (Guo et al. 2017): which class is most probable stays as it was.

    Args:
        node: A composed classifier node, plain values.
        features: (N, F).
        labels: (N,), each class at least once.
        folds: Of the cross-validation; fewer where a class has fewer images.
        scoring: scikit-learn's name of what is chosen by.
        seed: Of folds and of classifiers that draw.
        groups: Images of one group, such as a patient, are in one fold; None: each by itself.

    Raises:
        TlxError: It is no classifier, or does not take its keys.
    """
    model = _pipeline(node, seed)
    search = {f"classifier__{k}": list(v) for k, v in node.get("search", {}).items() if k not in (*node, "n_jobs")}
    divided = _divided(labels, folds, seed, groups)
    chosen: dict[str, Any] = {}
    score = None
    try:
        if search and divided:
            if (key := "classifier__n_neighbors") in search:  # no more than there are
                fewest = min(len(seen) for seen, _ in divided)
                search[key] = [count for count in search[key] if count <= fewest] or [fewest]
            found = GridSearchCV(model, search, scoring=scoring, cv=divided, refit=False, error_score="raise")
            # Many small fits: side by side, each on one thread, and so the same result on any number of cores.
            with parallel_config("threading", n_jobs=torch.get_num_threads()), threadpool_limits(1):
                found.fit(features, labels)
            chosen = {key.removeprefix("classifier__"): value for key, value in found.best_params_.items()}
            score = float(found.best_score_)
            model.set_params(**found.best_params_)
        elif search:
            log.info("classifier: a class has one training image: nothing to cross-validate, %s as it is", node["name"])
        if not hasattr(model, "predict_proba"):
            everything = np.arange(len(labels))
            cross = divided or [(everything, everything)]
            model = CalibratedClassifierCV(model, method="temperature", ensemble=False, cv=cross)
        model.fit(features, labels)
    except (ValueError, TypeError) as error:  # a value that the class does not take
        raise TlxError(f"classifier={node['name']}: expected keys and data that it takes, got: {error}") from error
    return Fitted(model, chosen, score)


def to_bytes(estimator: BaseEstimator) -> bytes:
    """Return a fitted classifier as the content of a .skops file: arrays and plain values, no code.

    Two that were fitted alike give the same bytes.
    """
    return stable(skops.dumps(estimator))


def from_bytes(content: bytes) -> BaseEstimator:
    """Return the classifier of a .skops file.

    Raises:
        TlxError: It names something that is no part of a listed classifier, which could run code; or it is damaged.
    """
    try:
        refuse_bomb(BytesIO(content))
        names = skops.get_untrusted_types(data=content)
        foreign = [name for name in names if name not in PARTS]
        if not foreign:
            loaded = skops.loads(content, trusted=names)
    except Exception as error:  # whatever a damaged file makes of itself
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TlxError(f"classifier: expected what skops wrote, got: {reason}") from error
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
        raise TlxError(f"classifier: expected a classifier of scikit-learn, got '{node['_target_']}'")
    if "random_state" in classifier.get_params() and "random_state" not in keys:
        classifier.set_params(random_state=seed % 2**32)
    _limit_jobs(classifier)
    scaling = [("scaling", StandardScaler())] if node.get("scale", True) else []
    return Pipeline([*scaling, ("classifier", classifier)])


def _limit_jobs(model: Any) -> None:
    """Have no estimator in a fitted one start more processes or threads than a run may; no result depends on it."""
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


def _divided(labels: Labels, folds: int, seed: int, groups: Sequence[str | None] | None) -> list[tuple[Labels, Labels]]:
    """Return pairs of places to fit on and to judge by; none where a class has a single image or group."""
    # An image without a group is one of its own.
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
