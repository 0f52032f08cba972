"""Masks for tests: blobs of classes, predictions that miss them by a little, and ignored pixels."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from tlx.data.ignored import IGNORED


def blobs(height: int, width: int, classes: int, seed: int = 0, smooth: float = 3) -> np.ndarray:
    """Return a mask, uint8 (H, W), of smooth regions."""
    noise = np.random.default_rng(seed).normal(size=(classes, height, width))
    return ndimage.gaussian_filter(noise, (0, smooth, smooth)).argmax(axis=0).astype(np.uint8)


def pair(
    height: int = 40, width: int = 56, classes: int = 4, seed: int = 0, ignored: bool = True
) -> tuple[Tensor, Tensor]:
    """Return a predicted and a true mask, int64 and uint8 (H, W); the prediction is moved by a pixel or two."""
    truth = blobs(height, width, classes, seed)
    predicted = np.roll(truth, (1, -2), axis=(0, 1)).astype(np.int64)
    if ignored:
        truth = truth.copy()
        truth[3:9, 10:30] = IGNORED
    return torch.from_numpy(predicted), torch.from_numpy(truth)


def split(images: int = 6, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Return predicted and true masks (B, H, W) of several images."""
    pairs = [pair(classes=classes, seed=seed) for seed in range(images)]
    predicted, truth = (torch.stack(masks) for masks in zip(*pairs, strict=True))
    return predicted, truth
