"""Gradual fine-tuning with finetuning-scheduler: an explicit schedule of three phases.

    python finetuning_scheduler_peer.py --images DIR --weights FILE --epochs 3 5 5 [--tuned]

The head; then also the upper half; then everything. Phases change at the given epochs. AdamW at 1e-3; the layers added
in the second and third phase train at 5e-4 and 1e-4. At each change the best checkpoint is restored (the default).
`--tuned`: channels_last, frozen layers and all BatchNorm in eval mode, two persistent workers, no checkpoint restored,
no log, no sanity check.
"""

from __future__ import annotations

import finetuning_scheduler as fts
import lightning as L
import timm
import torch
import workload
from torch import nn
from torch.nn import functional as F

UPPER = [r"backbone.blocks.[3-6].*", r"backbone.conv_head.*", r"backbone.bn2.*"]
LOWER = [r"backbone.conv_stem.*", r"backbone.bn1.*", r"backbone.blocks.[0-2].*"]


class Classifier(L.LightningModule):
    def __init__(self, args):
        super().__init__()
        self.args = args
        self.backbone = timm.create_model(workload.MODEL, num_classes=0, **workload.pretrained(args.weights))
        self.head = nn.Linear(self.backbone.num_features, workload.CLASSES)
        if args.tuned:
            self.backbone.eval()  # Lightning does not change this

    def forward(self, x):
        if self.args.tuned:
            x = x.contiguous(memory_format=torch.channels_last)
        return self.head(self.backbone(x))

    def training_step(self, batch, _):
        images, targets = batch
        loss = F.cross_entropy(self(images), targets)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        images, targets = batch
        logits = self(images)
        self.log("val_loss", F.cross_entropy(logits, targets))
        self.log("val_accuracy", (logits.argmax(1) == targets).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=self.args.lr, weight_decay=self.args.weight_decay)


def schedule(epochs, lr):
    return {
        0: {"params": [r"head.*"], "max_transition_epoch": epochs[0]},
        1: {"params": UPPER, "lr": 0.5 * lr, "max_transition_epoch": epochs[0] + epochs[1]},
        2: {"params": LOWER, "lr": 0.1 * lr, "max_transition_epoch": sum(epochs)},
    }


def main():
    args = workload.arguments("gradual")
    L.seed_everything(args.seed)
    train, val = workload.loaders(args.images, args.tuned)
    model = Classifier(args)
    options = {}
    if args.tuned:
        model = model.to(memory_format=torch.channels_last)
        options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        options |= {"enable_model_summary": False, "num_sanity_val_steps": 0}
    callback = fts.FinetuningScheduler(
        ft_schedule=schedule(args.epochs, args.lr), epoch_transitions_only=True, restore_best=not args.tuned
    )
    trainer = L.Trainer(max_epochs=sum(args.epochs), accelerator="cpu", callbacks=[callback], **options)
    trainer.fit(model, train, val)
    workload.report(trainer.callback_metrics["val_accuracy"])


if __name__ == "__main__":
    main()
