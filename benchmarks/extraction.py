"""Features of a frozen network: seconds for images that lie decoded in memory, and what a classifier makes of them.

    python benchmarks/extraction.py --images DIR --weights FILE

timm's tf_efficientnet_lite0 in its default layout in float32, and `tlx.features.extract`, in turn in one process, over
the images of train and val (uint8, 128 px). Both normalise. Then logistic regression on the standardised features of
train, its accuracy on val. Prints one line of JSON; benchmarks/speed.py runs it for its row `extraction`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torchvision.transforms import v2

from tlx.backbones import efficientnet_lite0
from tlx.features import extract

sys.path.append(str(Path(__file__).parent / "peers"))
import given

BATCH, TURNS = 64, 2


def read(folder: Path) -> tuple[Tensor, np.ndarray]:
    """Return the images of a folder of class folders, uint8 (N, 3, 128, 128), and their targets."""
    resize = v2.Compose([v2.Resize(round(given.SIDE / 0.875), v2.InterpolationMode.BICUBIC), v2.CenterCrop(given.SIDE)])
    images, targets = [], []
    for target, one_class in enumerate(sorted(folder.iterdir())):
        for path in sorted(one_class.iterdir()):
            images.append(resize(v2.functional.pil_to_tensor(Image.open(path).convert("RGB"))))
            targets.append(target)
    return torch.stack(images), np.array(targets)


@torch.inference_mode()
def with_timm(network: torch.nn.Module, images: Tensor) -> Tensor:
    """timm's forward as its documentation shows it, a batch at a time."""
    return torch.cat([network(batch.float().div(255).sub(0.5).div(0.5)) for batch in images.split(BATCH)])


def accuracy(features: Tensor, targets: np.ndarray, train: int) -> float:
    """Return the share of the images from `train` on that a classifier of those before it names rightly."""
    x = features.float().numpy()
    scaler = StandardScaler().fit(x[:train])
    classifier = LogisticRegression(max_iter=2000, C=0.01).fit(scaler.transform(x[:train]), targets[:train])
    return float(classifier.score(scaler.transform(x[train:]), targets[train:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    args = parser.parse_args()
    (train, train_targets), (val, val_targets) = read(args.images / "train"), read(args.images / "val")
    images, targets = torch.cat([train, val]), np.concatenate([train_targets, val_targets])
    network = timm.create_model(given.MODEL, num_classes=0, **given.pretrained(args.weights)).eval()
    backbone = efficientnet_lite0()
    ways = {"peer": lambda x: with_timm(network, x), "tlx": lambda x: extract(backbone, x, batch_size=BATCH)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    features = {}
    for way in ways.values():
        way(images[:BATCH])  # warm
    for _ in range(TURNS):
        for name, way in ways.items():
            start = time.perf_counter()
            features[name] = way(images)
            seconds[name].append(time.perf_counter() - start)
    scores = {name: accuracy(x, targets, len(train)) for name, x in features.items()}
    found = {name: {"seconds": statistics.median(seconds[name]), "val_accuracy": scores[name]} for name in ways}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
