"""k-fold cross-validation of a configuration: whether it is asked for, and the configuration of one of its folds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, open_dict

KFOLD = "kfold"


def is_kfold(config: Mapping[str, Any] | DictConfig) -> bool:
    """Return whether a configuration holds out each fold in turn; that of an older run has no `validation`."""
    node = config.get("validation")
    return node is not None and bool(node.get("name") == KFOLD)


def count_of_folds(config: DictConfig) -> int:
    """Return how often a configuration with `validation=kfold` trains."""
    return int(config.validation.folds) * int(config.validation.repeats)


def of_fold(config: DictConfig, number: int) -> DictConfig:
    """Return the configuration of a fold, as of a run of its own: its held-out images are the validation split.

    They select no weights unless the user asks for it (`trainer.keep=best`, `patience`): the figures would be too good.

    Args:
        config: A configuration with `validation=kfold`, without references.
        number: The fold, from 1, counted over repeats.
    """
    own = copy.deepcopy(config)
    folds = int(config.validation.folds)
    with open_dict(own):
        own.validation = {"name": "split", "folds": folds, "repeats": 1}
        own.dataset.folds, own.dataset.fold = folds, (number - 1) % folds + 1
        if (minutes := config.trainer.get("max_minutes")) is not None:  # of all folds together
            own.trainer.max_minutes = minutes / count_of_folds(config)
        if config.trainer.get("keep") != "best" and not _waits(config):
            own.trainer.keep = "last"
    return own


def _waits(config: DictConfig) -> bool:
    """Return whether stages end when a figure of the held-out images no longer improves."""
    stages = config.strategy.stages
    return config.trainer.get("patience") is not None or any(one.get("patience") is not None for one in stages)
