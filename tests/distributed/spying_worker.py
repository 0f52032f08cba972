"""What `tlx.worker` does, with a callback that writes every process's weights at the end of each epoch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

import tlx.callbacks.stages
import tlx.procedures.stages
from tlx.base.interruption import Interruption
from tlx.procedures import procedure_of
from tlx.training.experiment import build


class Dump(pl.Callback):
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_fit_start(self, trainer, pl_module):
        for module in pl_module.modules():  # each process draws its own
            if isinstance(module, torch.nn.Dropout2d):
                module.p = 0.0

    def on_train_epoch_end(self, trainer, pl_module):
        weights = {n: p.detach().clone() for n, p in pl_module.named_parameters()}
        torch.save(weights, self.directory / f"rank{trainer.global_rank}_epoch{trainer.current_epoch}.pt")
        (self.directory / f"rank{trainer.global_rank}_imports.txt").write_text("\n".join(sys.modules))


def main() -> None:
    directory, rewrap = Path(sys.argv[1]), sys.argv[2] == "rewrap"
    if not rewrap:  # what the peers do: DDP keeps the parameters that it saw when it wrapped
        tlx.callbacks.stages.wrap_again = lambda strategy, task: None
    callbacks = tlx.procedures.stages.build_callbacks
    tlx.procedures.stages.build_callbacks = lambda *a: [*callbacks(*a), Dump(directory)]
    config = OmegaConf.load(directory / "config.yaml")
    os.environ.setdefault("RANK", "0")
    procedure = procedure_of(config)
    procedure(config, *build(config, procedure.head), Interruption()).fit()


if __name__ == "__main__":
    main()
