"""What every peer is given: the arguments, the images, the network with its weights, and one way to say how it went."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

STARTED = time.perf_counter()
MODEL = "tf_efficientnet_lite0"  # timm's name for the network that tlx calls efficientnet_lite0
SIDE, BATCH, CLASSES = 128, 32, 10


def arguments(*modes: str) -> argparse.Namespace:
    """Read the command line; `modes` are what --mode can be, the first one its default."""
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
    """Return the arguments with which timm takes ImageNet weights from a file instead of its hub."""
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}


def loaders(images: Path, tuned: bool):
    """Return the loaders of train and val: timm's evaluation transform for both, so nothing is drawn."""
    import timm
    from timm.data import create_transform, resolve_data_config
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    of_model = timm.get_pretrained_cfg(MODEL).to_dict()
    config = resolve_data_config({"input_size": (3, SIDE, SIDE)}, pretrained_cfg=of_model)
    transform = create_transform(**config, is_training=False)
    train, val = (ImageFolder(images / split, transform) for split in ("train", "val"))
    workers = {"num_workers": 2, "persistent_workers": True} if tuned else {}
    return (
        DataLoader(train, BATCH, shuffle=True, drop_last=True, **workers),
        DataLoader(val, 4 * BATCH if tuned else BATCH, **workers),
    )


def say(accuracy: float) -> None:
    """Print the line that the benchmark reads, as the last one."""
    print(json.dumps({"seconds_inside": time.perf_counter() - STARTED, "val_accuracy": float(accuracy)}), flush=True)
