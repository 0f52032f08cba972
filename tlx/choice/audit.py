"""Which labels are likely wrong: images that a classifier, which has not seen them, gives to another class."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from tlx.base.errors import TlxError
from tlx.base.interruption import Interruption
from tlx.base.ranks import rank_and_world
from tlx.choice import audit_text
from tlx.choice.judged_labels import JudgedLabels, Label
from tlx.choice.out_of_fold import FOLDS, out_of_fold
from tlx.choice.outputs import Network
from tlx.choice.pool import Pool, pool_of
from tlx.choice.request import place_for, refuse_other_tasks
from tlx.measures.label_quality import contradicted, normalised_margins
from tlx.strategies.selectors import HEAD
from tlx.training.planning import feature_groups

log = logging.getLogger("tlx")


class Audit(JudgedLabels):
    """The labels of a set of images, the most doubtful first."""

    def save(self, folder: str | Path) -> list[Path]:
        """Write audit.csv, audit.html and, for files, labels.csv into a folder; return their paths.

        Args:
            folder: A new or empty folder, or one that tlx audit wrote before.

        Raises:
            TlxError: The folder holds files of others, or cannot be written.
        """
        return audit_text.write(self, Path(folder).expanduser())

    def __str__(self) -> str:
        return "\n".join(audit_text.text(self))

    def _repr_html_(self) -> str:
        return audit_text.as_html(self)


def audit(config: DictConfig, test: bool = False, interruption: Interruption | None = None) -> Audit:
    """Rank the labels of a configuration's images by how likely they are wrong.

    Args:
        config: The result of `tlx.compose`. Its backbone gives the features; with `strategy=features` those of
            `strategy.groups`.
        test: Whether the labels of the test split are judged as well.
        interruption: A request to stop, checked between batches.

    Raises:
        TlxError: The images have no classes.

    Examples:
        >>> import tlx
        >>> small = ["backbone=small_cnn", "backbone.width=4", "dataset=digits", "dataset.image_size=16"]
        >>> found = tlx.audit(tlx.compose([*small, "dataset.labels_per_class=20"]))
        >>> found.table[0].score <= found.table[-1].score
        True
    """
    refuse_other_tasks([config], "audit")
    if rank_and_world()[1] > 1:
        raise TlxError("audit: expected one process, got several; start it without torchrun")
    network = Network.of(config, place_for([config], "audit"))
    splits = ("train", "val", "test") if test else ("train", "val")
    pool = pool_of(network.data, splits)
    groups = _groups(network)
    outputs = network.outputs(splits, groups, interruption or Interruption())
    features = np.concatenate([outputs[group].numpy() for group in groups], axis=1)
    log.info("logistic regression on %d outputs of %d images, %d folds", features.shape[1], len(pool), FOLDS)
    probabilities, known = out_of_fold(features, pool.labels, len(pool.class_names), pool.unit_of, int(config.seed))
    return _ranked(pool, probabilities, known, network, groups)


def _groups(network: Network) -> tuple[str, ...]:
    if network.config.get("classifier") is None:
        return (network.groups[-1],)
    return feature_groups(network.config, [*network.groups, HEAD])


def _ranked(
    pool: Pool, probabilities: np.ndarray, known: np.ndarray, network: Network, groups: tuple[str, ...]
) -> Audit:
    judged = np.flatnonzero(known)
    labels, rows = pool.labels[judged], probabilities[judged]
    scores, wrong = normalised_margins(labels, rows), contradicted(labels, rows)
    others = rows.copy()
    others[np.arange(len(labels)), labels] = -1
    suggested, split_of = others.argmax(axis=1), [part for part, count in pool.splits.items() for _ in range(count)]
    names: Any = pool.class_names
    table = [
        Label(
            pool.samples[at].name, split_of[at], names[labels[i]], names[suggested[i]], float(scores[i]),
            bool(wrong[i]), int(at),
        )
        for i in np.argsort(scores, kind="stable")
        for at in [judged[i]]
    ]  # fmt: skip
    unknown = tuple(names[label] for label in np.unique(pool.labels[~known]))
    return Audit(pool, table, network.name, groups, unknown, network.data)
