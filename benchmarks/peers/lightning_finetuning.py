"""Gradual fine-tuning with Lightning's own callbacks.

    python lightning_finetuning.py --images DIR --weights FILE --epochs 3 5 5 [--tuned]

Default: BackboneFinetuning, as in its documentation. The head trains for the epochs of the first stage. Then the whole
backbone trains too, at a tenth of the rate, which is multiplied by 1.5 each epoch up to the head's; the second and the
third stage are one for this callback. BatchNorm layers always train, the callback's default.
`--tuned`: the three stages (head; then also the upper half; then everything) with a subclass of BaseFinetuning,
channels_last, frozen layers and all BatchNorm in eval mode, two persistent workers, no log, no checkpoint, no sanity
check. AdamW at 1e-3; tuned: 5e-4 below the head, 1e-4 in the lower half.
"""

from __future__ import annotations

import pytorch_lightning as pl
import timm
import torch
import workload
from pytorch_lightning.callbacks import BackboneFinetuning, BaseFinetuning
from torch import nn
from torch.nn import functional as F


class Classifier(pl.LightningModule):
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
        # The head alone: the callback adds the backbone's parameters.
        return torch.optim.AdamW(self.head.parameters(), lr=self.args.lr, weight_decay=self.args.weight_decay)


class ThreeStages(BaseFinetuning):
    def __init__(self, epochs, lr):
        super().__init__()
        self.upper_at, self.all_at, self.lr = epochs[0], epochs[0] + epochs[1], lr

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.backbone, train_bn=False)

    def finetune_function(self, pl_module, epoch, optimizer):
        net = pl_module.backbone
        if epoch == self.upper_at:
            upper = [*net.blocks[3:], net.conv_head, net.bn2]
            self.unfreeze_and_add_param_group(upper, optimizer, lr=0.5 * self.lr)
        if epoch == self.all_at:
            self.unfreeze_and_add_param_group([net.conv_stem, net.bn1, *net.blocks[:3]], optimizer, lr=0.1 * self.lr)


def main():
    args = workload.arguments("gradual")
    pl.seed_everything(args.seed)
    train, val = workload.loaders(args.images, args.tuned)
    model = Classifier(args)
    if args.tuned:
        model = model.to(memory_format=torch.channels_last)
        options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        options |= {"enable_model_summary": False, "num_sanity_val_steps": 0}
        callback = ThreeStages(args.epochs, args.lr)
    else:
        options = {}
        callback = BackboneFinetuning(unfreeze_backbone_at_epoch=args.epochs[0], lambda_func=lambda epoch: 1.5)
    trainer = pl.Trainer(max_epochs=sum(args.epochs), accelerator="cpu", callbacks=[callback], **options)
    trainer.fit(model, train, val)
    workload.report(trainer.callback_metrics["val_accuracy"])


if __name__ == "__main__":
    main()
