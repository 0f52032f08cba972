"""Features of a frozen network: seconds for decoded images in memory, and the accuracy of a classifier on the features.

    python benchmarks/extraction.py --images DIR --weights FILE

Runs timm's tf_efficientnet_lite0 (default memory format, float32) and `tlx.features.extract` in turn in one process on
the images of train and val (uint8, 128 px), including normalisation. Then fits a logistic regression on the
standardised features of train and measures its accuracy on val. Prints one line of JSON; benchmarks/speed.py runs it
for its row `extraction`.
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
import workload

BATCH, TURNS = 64, 2


def read(folder: Path) -> tuple[Tensor, np.ndarray]:
    """Return the images of a folder of class folders, uint8 (N, 3, 128, 128), and their labels (N,)."""
    side = workload.SIDE
    resize = v2.Compose([v2.Resize(round(side / 0.875), v2.InterpolationMode.BICUBIC), v2.CenterCrop(side)])
    images, labels = [], []
    for label, one_class in enumerate(sorted(folder.iterdir())):
        for path in sorted(one_class.iterdir()):
            images.append(resize(v2.functional.pil_to_tensor(Image.open(path).convert("RGB"))))
            labels.append(label)
    return torch.stack(images), np.array(labels)


@torch.inference_mode()
def with_timm(network: torch.nn.Module, images: Tensor) -> Tensor:
    """Return features as in timm's documentation, batch by batch."""
    return torch.cat([network(batch.float().div(255).sub(0.5).div(0.5)) for batch in images.split(BATCH)])


def accuracy(features: Tensor, labels: np.ndarray, train: int) -> float:
    """Return the accuracy, on the other images, of a classifier that is fitted on the first `train` images."""
    x = features.float().numpy()
    scaler = StandardScaler().fit(x[:train])
    classifier = LogisticRegression(max_iter=2000, C=0.01).fit(scaler.transform(x[:train]), labels[:train])
    return float(classifier.score(scaler.transform(x[train:]), labels[train:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    args = parser.parse_args()
    (train, train_labels), (val, val_labels) = read(args.images / "train"), read(args.images / "val")
    images, labels = torch.cat([train, val]), np.concatenate([train_labels, val_labels])
    network = timm.create_model(workload.MODEL, num_classes=0, **workload.pretrained(args.weights)).eval()
    backbone = efficientnet_lite0()
    extractors = {"peer": lambda x: with_timm(network, x), "tlx": lambda x: extract(backbone, x, batch_size=BATCH)}
    seconds: dict[str, list[float]] = {name: [] for name in extractors}
    features = {}
    for extractor in extractors.values():
        extractor(images[:BATCH])  # warm up
    for _ in range(TURNS):
        for name, extractor in extractors.items():
            start = time.perf_counter()
            features[name] = extractor(images)
            seconds[name].append(time.perf_counter() - start)
    scores = {name: accuracy(x, labels, len(train)) for name, x in features.items()}
    figures = {name: {"seconds": statistics.median(seconds[name]), "val_accuracy": scores[name]} for name in extractors}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
