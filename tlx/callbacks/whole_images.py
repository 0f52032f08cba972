"""Measure whole validation images with the best weights of each stage, when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from tlx.base.gradients import no_gradients
from tlx.base.printable import counted
from tlx.callbacks.agreement import Agreement
from tlx.callbacks.stages import Stages
from tlx.tasks.module import Task

log = logging.getLogger("tlx")

_TESTED, _WHOLE = "test/", "val/whole_"


class WholeImages(pl.Callback):
    """Measures the whole validation images when a stage ends, with its best weights, as the test measures its images.

    Tiles of these images, at most 200, are validated after each epoch and select the weights. These figures select
    nothing. Names: `val/whole_miou` in the log and in loggers, `val/whole_miou/STAGE` in metrics.json.

    A stage is measured when the next one begins, and the last one before the test. At both moments last.ckpt is
    complete, so a run that stops meanwhile loses nothing: when it resumes, it measures the stage again.

    Args:
        stages: The callback that runs the plan; it runs after this one.
        load: Returns the network of this run with the weights of a checkpoint, in eval mode, on the CPU.
        open_loggers: Returns the run's loggers, given the step at which they continue.
        agreement: The decision to stop.
    """

    def __init__(
        self,
        stages: Stages,
        load: Callable[[str], Task],
        open_loggers: Callable[[int], Sequence[Logger]],
        agreement: Agreement,
    ) -> None:
        stages.keeps_best = True
        self.stages, self.load, self.open_loggers, self.agreement = stages, load, open_loggers, agreement
        self.stage = 0  # number of the stage to measure next
        self.step = 0  # optimizer steps after its last epoch
        self.figures: dict[str, float] = {}  # of the stages before it

    def state_dict(self) -> dict[str, Any]:
        """Return what is stored in a checkpoint: plain numbers."""
        return {"stage": self.stage, "step": self.step, "figures": self.figures}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the numbers from a checkpoint."""
        stage = int(state_dict["stage"])
        if not 0 <= stage < len(self.stages.stages):
            raise ValueError(f"stage {stage} of {len(self.stages.stages)}")
        self.stage, self.step = stage, int(state_dict["step"])
        self.figures = {str(name): float(value) for name, value in state_dict["figures"].items()}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the stage that has ended, before the network enters the next one; stop if requested."""
        if self.stages.index > self.stage:
            self._measure(trainer, pl_module, self.agreement.now)
        self.stage = self.stages.index

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the step."""
        self.step = trainer.global_step

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the last stage; a signal now stops the process wherever it is."""
        self._measure(trainer, pl_module, lambda: False)

    def _measure(self, trainer: pl.Trainer, module: pl.LightningModule, stopping: Callable[[], bool]) -> None:
        began = time.monotonic()
        task = self._best(trainer, module)
        data = trainer.datamodule  # type: ignore[attr-defined]
        limit = trainer.limit_test_batches if isinstance(trainer.limit_test_batches, int) else None
        with no_gradients(), trainer.precision_plugin.forward_context():
            for number, batch in enumerate(islice(data.in_order("val"), limit)):
                if stopping():
                    self.agreement.interruption.stop()
                task.test_step(task.transfer_batch_to_device(batch, task.device, 0), number)
        measured = task.figures("test")
        names = [name.removeprefix(_TESTED) for name in task.kind.compared if name.startswith(_TESTED)]
        found = {f"{_WHOLE}{name}": float(measured[name]) for name in names if name in measured}
        stage, images = self.stages.stages[self.stage].name, data.sizes["val"]
        images = images if limit is None else min(images, limit * trainer.world_size)
        log.info(
            "stage %s: %s in %.1f s: %s", stage, counted(images, "whole validation image", "whole validation images"),
            time.monotonic() - began, ", ".join(f"{name} {value:.4f}" for name, value in found.items()),
        )  # fmt: skip
        self.figures |= {f"{name}/{stage}": value for name, value in found.items()}
        for logger in self.open_loggers(self.step):
            logger.log_metrics(found, step=self.step)

    def _best(self, trainer: pl.Trainer, module: pl.LightningModule) -> Task:
        """Return the network with the best weights of the stage, in the form in which this one computes."""
        assert isinstance(module, Task)
        task = self.load("stage_best.ckpt" if self.stage else "best.ckpt")  # the first stage's are the run's
        task.set_memory_format(module.memory_format == torch.channels_last)
        trainer.precision_plugin.convert_module(task)
        return task.to(module.device)
