"""Fit a scikit-learn classifier on pooled features of frozen layer groups: no epochs, no gradients."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from tlx.backbones.backbone import Backbone
from tlx.base.ranks import is_first
from tlx.callbacks.checkpoints import save_weights
from tlx.features.classical_fit import ClassicalFit
from tlx.features.classical_head import classical_head
from tlx.procedures.base import Procedure
from tlx.strategies.selectors import HEAD
from tlx.training.planning import feature_groups
from tlx.training.timing import ForwardPasses
from tlx.training.trainer import build_trainer


class ClassicalClassifier(Procedure):
    """Fits the classifier before the first validation and uses it as the head."""

    networks_written = 1  # without the classifier, which is not fitted yet and small in comparison
    timing = ForwardPasses

    @staticmethod
    def head(config: DictConfig, backbone: Backbone, classes: int) -> dict[str, Any]:
        """Return the head that will hold the classifier, and the layer groups that it reads."""
        return classical_head(backbone, feature_groups(config, [*backbone.group_names, HEAD]), classes)

    def _first_trained(self) -> tuple[str, ...]:
        return ()

    def _fit(self, from_scratch: bool) -> None:
        data, task = self.data, self.task
        self._introduce(data.fingerprint())
        recorder = self._recorder()
        evaluator, figures = self._fitted(recorder)
        tested = dict(evaluator.test(task, datamodule=data, verbose=False)[0])
        if is_first():
            save_weights(self.run.checkpoints / "best.ckpt", task)
        self._finish(task, evaluator, figures, tested, recorder)

    def train_only(self, identity: str) -> dict[str, float]:
        """Fit the classifier."""
        self._describe(self.data.fingerprint(), identity)
        _, figures = self._fitted()
        save_weights(self.run.checkpoints / "best.ckpt", self.task)
        return {name: value for name, value in figures.items() if name.startswith("train/")}

    def _fitted(self, *callbacks: pl.Callback) -> tuple[pl.Trainer, dict[str, float]]:
        """Fit the classifier; return the Trainer that did, and the figures of training and validation."""
        config, data, task = self.config, self.data, self.task
        node: Any = OmegaConf.to_container(config.classifier, resolve=True)
        choice = {"folds": config.strategy.folds, "scoring": config.strategy.scoring, "seed": config.seed}
        fitting = ClassicalFit(node, task.feature_groups, data, self.cache, config.trainer.limit_batches, **choice)
        evaluator = build_trainer(config, [fitting, *callbacks], [], epochs=1, eval_only=True)
        start = time.perf_counter()
        selected = evaluator.validate(task, datamodule=data, verbose=False)
        figures: dict[str, float] = {"train/seconds": time.perf_counter() - start, "train/epochs": 0, "train/steps": 0}
        for one in selected:
            figures |= one
        return evaluator, figures


PROCEDURE = ClassicalClassifier
