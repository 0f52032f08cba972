"""The workload that all peers share: arguments, images, the network with its weights, and the line with the result."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

STARTED = time.perf_counter()
MODEL = "tf_efficientnet_lite0"  # timm's name for the network that tlx calls efficientnet_lite0
SIDE, BATCH, CLASSES = 128, 32, 10


def arguments(*modes: str) -> argparse.Namespace:
    """Read the command line; `modes` are the choices of --mode, the first one is the default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path, required=True, help="a folder with train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", type=Path, required=True, help=f"a state dict of timm's {MODEL}")
    parser.add_argument("--mode", choices=modes, default=modes[0])
    parser.add_argument("--epochs", type=int, nargs="+", required=True, help="of each stage")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tuned", action="store_true")
    return parser.parse_args()


def pretrained(weights: Path) -> dict[str, object]:
    """Return the arguments that make timm load ImageNet weights from a file instead of its hub."""
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}


def loaders(images: Path, tuned: bool):
    """Return the loaders of train and val, both with timm's evaluation transform, so without augmentation."""
    import timm
    from timm.data import create_transform, resolve_data_config
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    pretrained_cfg = timm.get_pretrained_cfg(MODEL).to_dict()
    config = resolve_data_config({"input_size": (3, SIDE, SIDE)}, pretrained_cfg=pretrained_cfg)
    transform = create_transform(**config, is_training=False)
    train, val = (ImageFolder(images / split, transform) for split in ("train", "val"))
    workers = {"num_workers": 2, "persistent_workers": True} if tuned else {}
    return (
        DataLoader(train, BATCH, shuffle=True, drop_last=True, **workers),
        DataLoader(val, 4 * BATCH if tuned else BATCH, **workers),
    )


def report(accuracy: float) -> None:
    """Print the last line, which the benchmark reads."""
    print(json.dumps({"seconds_inside": time.perf_counter() - STARTED, "val_accuracy": float(accuracy)}), flush=True)
