"""Transfer learning written by hand on Lightning: a linear probe, the last layers, or the whole network.

    python plain_lightning.py --images DIR --weights FILE --mode probe --epochs 20 --tuned

`last_layers` takes two numbers of epochs: for the head alone, then for the head and the last two blocks of the network.
AdamW at 1e-3 (below the head: 3e-4) with a cosine schedule over all steps.
`--tuned`: channels_last, frozen layers in eval mode and without a graph, two persistent workers, larger validation
batches, no log, no checkpoint, no sanity check.
"""

from __future__ import annotations

import pytorch_lightning as pl
import timm
import torch
import workload
from torch import nn
from torch.nn import functional as F

TOP = ("blocks.5.", "blocks.6.", "conv_head.", "bn2.")


class Classifier(pl.LightningModule):
    def __init__(self, args):
        super().__init__()
        self.args = args
        self.backbone = timm.create_model(workload.MODEL, num_classes=0, **workload.pretrained(args.weights))
        self.head = nn.Linear(self.backbone.num_features, workload.CLASSES)
        if args.tuned and args.mode != "full":
            self.backbone.eval()  # Lightning does not change this
        names = [name for name, _ in self.backbone.named_parameters()]
        self.tune(names if args.mode == "full" else [])

    def tune(self, names):
        """Train only these parameters of the backbone."""
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad = name in names

    def forward(self, x):
        if self.args.tuned:
            x = x.contiguous(memory_format=torch.channels_last)
        if self.args.tuned and self.args.mode == "probe":
            with torch.no_grad():
                x = self.backbone(x)
        else:
            x = self.backbone(x)
        return self.head(x)

    def on_train_epoch_start(self):
        if self.args.mode == "last_layers" and self.current_epoch == self.args.epochs[0]:
            self.tune([name for name, _ in self.backbone.named_parameters() if name.startswith(TOP)])

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
        groups = [{"params": self.head.parameters()}]
        if self.args.mode == "full":
            groups.append({"params": self.backbone.parameters(), "lr": 0.3 * self.args.lr})
        if self.args.mode == "last_layers":
            top = [p for name, p in self.backbone.named_parameters() if name.startswith(TOP)]
            groups.append({"params": top, "lr": 0.3 * self.args.lr})
        optimizer = torch.optim.AdamW(groups, lr=self.args.lr, weight_decay=self.args.weight_decay)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main():
    args = workload.arguments("probe", "last_layers", "full")
    pl.seed_everything(args.seed)
    train, val = workload.loaders(args.images, args.tuned)
    model = Classifier(args)
    lean = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    lean |= {"enable_model_summary": False, "num_sanity_val_steps": 0}
    if args.tuned:
        model = model.to(memory_format=torch.channels_last)
    trainer = pl.Trainer(max_epochs=sum(args.epochs), accelerator="cpu", **(lean if args.tuned else {}))
    trainer.fit(model, train, val)
    workload.report(trainer.callback_metrics["val_accuracy"])


if __name__ == "__main__":
    main()
