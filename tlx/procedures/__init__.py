"""Procedures for training and testing: in stages with gradients, with a classifier on frozen features, or in folds."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tlx.strategies.folds import is_kfold

if TYPE_CHECKING:
    from tlx.procedures.base import Procedure


def procedure_module(config: Mapping[str, Any] | DictConfig) -> str:
    """Return the module of a configuration's procedure."""
    if is_kfold(config):
        return f"{__name__}.kfold"
    return f"{__name__}.{'classical' if _is_classical(config) else 'stages'}"  # scikit-learn takes a second to import


def procedure_of(config: DictConfig) -> type[Procedure]:
    """Return the procedure of a configuration."""
    procedure: type[Procedure] = import_module(procedure_module(config)).PROCEDURE
    return procedure


def plan_table(config: DictConfig, timed: bool = False) -> str:
    """Return the training plan of a configuration as text, without loading weights or downloading anything.

    Args:
        config: The configuration.
        timed: Whether to time a few steps and add how long the training takes, for segmentation and detection.

    Examples:
        >>> import tlx
        >>> from tlx.procedures import plan_table
        >>> print(plan_table(tlx.compose(["backbone=small_cnn", "dataset=digits", "strategy=lp_ft"])))
        backbone small_cnn: 242,474 parameters in 5 layer groups, head 128 -> 10
        strategy lp_ft, optimizer torch.optim.AdamW, weight decay 0.01, dataset digits
        <BLANKLINE>
        layer group  parameters      probe   finetune
        head              1,290   1.00e-03   1.00e-04
        stage3          147,712     frozen   1.00e-04
        stage2           73,984     frozen   1.00e-04
        stage1           18,560     frozen   1.00e-04
        stem                928     frozen   1.00e-04
        trained                       1.3k     242.5k
        epochs                           6          9
        patience                         -          -
        schedule                    cosine     cosine
        warm-up                         0%        10%
        batch norm                  frozen     frozen
        starts from                      -       best
        <BLANKLINE>
        an epoch: 1,079 training images, 34 steps; 510 steps in all stages
        batches of 32 (400 training images or more)
        memory of a step: at least 68 MB (62 MB activations, 4 MB weights, gradients and optimizer, 2 MB images)
    """
    if _is_classical(config):
        from tlx.training.plan_table import feature_table

        return feature_table(config)
    from tlx.training.plan_table import stage_table

    return stage_table(config, timed)


def _is_classical(config: Mapping[str, Any] | DictConfig) -> bool:
    """Return whether a classifier replaces training by stages. This is the only place that decides it."""
    return config.get("classifier") is not None
