"""Images a second of reading, of a simulated device, of a plain torch loop, and of tlx's first three epochs.

    python benchmarks/reading.py                       both sizes of files, into docs/results.md; 4 minutes on 2 cores
    python benchmarks/reading.py --sizes 500           files of 500 px only; nothing is written
    python benchmarks/reading.py --device 2000 --processes 16

The files are photographs of ../shared/data, enlarged or reduced to 500 x 375 and 4,000 x 3,000 pixels and compressed
again. The device is simulated: a training step sleeps as long as a device with so many images a second would compute,
and leaves the cores free. Both loops read with as many processes as there are cores, at most: the torch loop with all
of them, tlx with as many as it chooses. Both augment alike (a random part of half to all of the area at 224 px, flip)
and deliver uint8. The epoch of the torch loop and the first one of tlx begin with starting processes. Reading alone is
one process of tlx without a device, which decodes every file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from PIL import Image
from report import machine, write_section
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import tlx
from tlx.backbones import small_cnn
from tlx.base.console import quiet
from tlx.data.datamodule import ImageDataModule
from tlx.records.settled import AUTO
from tlx.tasks import Classification
from tlx.training.experiment import load_data
from tlx.training.trainer import build_trainer

SHARED = Path(os.environ.get("TLX_TEST_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data")
PHOTOGRAPHS = ("hymenoptera", "raccoon")
FILES = {500: 1200, 4000: 240}  # longer side in pixels -> number of files
DIFFERENT = {500: 600, 4000: 32}  # photographs among them; the others are copies with other bytes at their ends
QUALITY, INPUT, BATCH, EPOCHS = 90, 224, 32, 3
CLASSES = ("a", "b")


def write_files(folder: Path, side: int) -> list[Path]:
    """Write JPEGs of one size in folders of classes, a few for validation and test; return those to train on."""
    sources = sorted(p for name in PHOTOGRAPHS for p in (SHARED / name).rglob("*.jpg"))
    if not sources:
        raise SystemExit(f"expected photographs in {SHARED}, got none; ../shared/data is not part of the repository")
    some = sources[:: max(1, len(sources) // DIFFERENT[side])][: DIFFERENT[side]]
    for number, source in enumerate(some):
        with Image.open(source) as image:
            sides = (side, side * 3 // 4) if image.width >= image.height else (side * 3 // 4, side)
            scaled = image.convert("RGB").resize(sides, Image.Resampling.BICUBIC)
        scaled.save(folder / f"{number}.jpg", quality=QUALITY)
    made = []
    for part, count in (("train", FILES[side]), ("val", 8), ("test", 8)):
        for number in range(count):
            path = folder / part / CLASSES[number % 2] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = (folder / f"{number % len(some)}.jpg").read_bytes()
            path.write_bytes(content + f"{part} {number}".encode())  # or it would be a duplicate
            made.append(path)
    return made[: FILES[side]]


class Simulated(Classification):
    """A network whose training step only waits."""

    image_seconds = 0.0

    def training_step(self, batch, batch_idx: int) -> Tensor:
        time.sleep(len(batch["image"]) * self.image_seconds)
        loss = 0.0 * next(self.head.parameters()).sum()
        self.log_loss(loss, len(batch["target"]))
        return loss


class Clock(pl.Callback):
    """Measures the seconds of each epoch, from its beginning to the end of its last step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def with_tlx(root: Path, device: float, processes: int | None, folder: Path) -> tuple[list[float], float]:
    """Train with tlx; return the images a second of each epoch, and of one process that reads without a device."""
    with quiet():
        config = tlx.compose(
            [
                *("dataset=folder", f"dataset.root={root}"),
                *(f"dataset.image_size={INPUT}", f"dataset.batch_size={BATCH}"),
                f"dataset.num_workers={AUTO if processes is None else processes}", f"cache.dir={folder / 'cache'}",
                *("logger=none", f"run_dir={folder / 'run'}", "trainer.devices=1", "trainer.progress_bar=false"),
                *("trainer.accelerator=cpu", "trainer.precision=32-true"),
            ]
        )  # fmt: skip
        backbone = small_cnn(width=4)
        data = load_data(config, backbone)
        data.leaves_cores, data.step_seconds = True, BATCH / device
        alone = reading_alone(data)
        task = Simulated(backbone, list(CLASSES))
        task.image_seconds = 1 / device
        task.configure_optimizers = lambda: torch.optim.SGD(task.head.parameters(), lr=0.0)
        clock = Clock()
        loader = data.train_dataloader()
        build_trainer(config, [clock], [], epochs=EPOCHS, eval_only=True).fit(task, loader)
    print(f"    tlx read in {loader.num_workers} processes", file=sys.stderr)
    return [data.sizes["train"] / seconds for seconds in clock.seconds], alone


def reading_alone(data: ImageDataModule, images: int = 64) -> float:
    """Return the images a second that this process decodes and augments."""
    count = min(images, data.sizes["train"])
    data.training_images([0])  # loads the decoder
    start = time.perf_counter()
    data.training_images(range(count))
    return count / (time.perf_counter() - start)


class Photographs(Dataset):
    """Files as a torch tutorial reads them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.transform = v2.Compose(
            [v2.RandomResizedCrop(INPUT, scale=(0.5, 1.0)), v2.RandomHorizontalFlip(), v2.PILToTensor()]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self.paths[index]
        with Image.open(path) as image:
            return self.transform(image.convert("RGB")), CLASSES.index(path.parent.name)


def with_torch(paths: Sequence[Path], device: float, processes: int) -> float:
    """Train for an epoch with a plain loop; return the images a second."""
    loader = DataLoader(Photographs(paths), BATCH, shuffle=True, num_workers=processes)
    start = time.perf_counter()
    for images, _ in loader:
        time.sleep(len(images) / device)
    return len(paths) / (time.perf_counter() - start)


def row(side: int, device: float, processes: int | None) -> str:
    """Measure files of one size; return the row of the table."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_files(folder, side)
        os.environ["TLX_CACHE"] = str(folder / "facts")
        plain = with_torch(paths, device, processes or cores)
        ours, alone = with_tlx(folder, device, processes, folder)
        shutil.rmtree(folder / "train")
    figures = " | ".join(f"{value:,.0f}" for value in (alone, device, plain, *ours))
    return f"| {side:,} px, {len(paths):,} files | {figures} | {ours[0] / plain:.2f} | {ours[-1] / device:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="*", choices=sorted(FILES), help="longer side of the files in pixels"
    )
    parser.add_argument("--device", type=float, default=500.0, help="images a second of the device (default: 500)")
    parser.add_argument("--processes", type=int, help="reading processes of both loops (default: see above)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    head = "| files | reading alone | device | torch | tlx, epoch 1 | 2 | 3 | epoch 1 / torch | epoch 3 / device |"
    lines = [head, "| --- " + "| ---: " * 8 + "|"]
    for side in args.sizes or FILES:
        lines.append(row(side, args.device, args.processes))
        print(lines[-1], file=sys.stderr, flush=True)
    text = "\n".join([*lines, "", f"Images a second. {machine()}, {len(os.sched_getaffinity(0))} of them used."])
    print(text)
    if not args.sizes:
        write_section("reading", text)


if __name__ == "__main__":
    main()
