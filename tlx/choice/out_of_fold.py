"""Probabilities of the classes for every image, from classifiers that have not seen it."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from tlx.measures.ridge import Integers, Numbers

FOLDS = 5
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # the C of scikit-learn; features have a variance of 1
_CHOSEN_ON = 2_000  # images that choose among them
_STEPS = 200  # of the optimizer at most; what is left then does not move a rank


def out_of_fold(
    features: Numbers, labels: Integers, classes: int, unit_of: Integers, seed: int = 0
) -> tuple[Numbers, np.ndarray]:
    """Return the probabilities for each image (N, K), and for which images a model knew their class (N,), boolean.

    Multinomial logistic regression, on stratified folds that divide no unit. The strength of its penalty is that with
    the least log-loss of left-out images; a wrong label costs a confident model the most.

    Args:
        features: (N, D).
        labels: (N,), classes from 0 to K - 1.
        classes: K.
        unit_of: The unit of each image (N,), such as its patient.
        seed: Seed of the folds.
    """
    random = np.random.default_rng(seed)
    some = np.sort(random.permutation(len(labels))[:_CHOSEN_ON])
    scores = []
    for strength in _STRENGTHS:
        found, known = _predicted(features[some], labels[some], classes, unit_of[some], strength, seed)
        of_label = found[known, labels[some][known]]
        scores.append((-float(np.log(np.maximum(of_label, 1e-12)).sum()), strength, found, known))
    _, strength, found, known = min(scores, key=lambda one: one[0])
    if len(some) == len(labels):
        return found, known
    return _predicted(features, labels, classes, unit_of, strength, seed)


def _predicted(
    features: Numbers, labels: Integers, classes: int, unit_of: Integers, strength: float, seed: int
) -> tuple[Numbers, np.ndarray]:
    found, known = np.zeros((len(labels), classes)), np.zeros(len(labels), dtype=bool)
    units = np.unique(unit_of, return_inverse=True)[1]
    grouped = len(np.unique(units)) < len(units)
    most = max(len(np.unique(units[labels == label])) for label in np.unique(labels))
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    folds = kind(min(FOLDS, most), shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)  # a class has fewer images than there are folds
        for seen, held in folds.split(labels, labels, units if grouped else None):
            if len(np.unique(labels[seen])) < 2:
                continue
            scaling = StandardScaler().fit(features[seen])
            model = LogisticRegression(C=strength, max_iter=_STEPS).fit(scaling.transform(features[seen]), labels[seen])
            found[held[:, None], model.classes_] = model.predict_proba(scaling.transform(features[held]))
            known[held] = np.isin(labels[held], model.classes_)
    return found, known
