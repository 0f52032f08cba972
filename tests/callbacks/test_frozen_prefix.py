"""Training on what the frozen prefix gave equals training from images: losses, weights and figures."""

from __future__ import annotations

import csv
import errno
import re
import shutil
from pathlib import Path

import pytest
import torch

import tlx
from tlx.backbones import small_cnn
from tlx.backbones.backbone import Backbone
from tlx.base.errors import Interrupted
from tlx.callbacks.epoch_table import EpochTable
from tlx.callbacks.frozen_prefix import unchanged_prefix
from tlx.features.segments import SegmentWriter
from tlx.strategies.plan import plan_stages
from tlx.tasks import Classification

pytestmark = pytest.mark.run
DIGITS = (
    "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "dataset.augment=light",
    "dataset.labels_per_class=10", "optimizer.lr=1e-2", "logger=none", "cache.views=2", "trainer.log_every_n_steps=1",
)  # fmt: skip
TWO_STAGES = (
    "strategy.stages=[{name: dense, train: head, epochs: 2, batch_norm: frozen},"
    "{name: conv, train: 'last:2', epochs: 2, batch_norm: frozen, start_from: best}]"
)


def train(directory: Path, *overrides: str):
    return tlx.train(tlx.compose([f"run_dir={directory}", f"cache.dir={directory.parent / 'cache'}", *overrides]))


def both(tmp_path: Path, *overrides: str):
    """The run with the cache and the one without."""
    return train(tmp_path / "cached", *overrides), train(tmp_path / "plain", "cache.enabled=false", *overrides)


def history(run) -> list[dict[str, float]]:
    with (run.directory / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]


def assert_equal(one, other) -> None:
    """Same losses each epoch, same weights and optimizer, same predictions."""
    assert len(history(one)) == len(history(other)) > 0
    for a, b in zip(history(one), history(other), strict=True):
        assert a.keys() == b.keys()
        for key in a:
            try:
                assert float(a[key]) == pytest.approx(float(b[key]), rel=1e-4, abs=1e-6), key
            except ValueError:
                assert a[key] == b[key]
    for name in ("last.ckpt", "best.ckpt"):
        first, second = (
            torch.load(run.checkpoints / name, weights_only=True)["state_dict"] for run in (one, other)
        )  # fmt: skip
        for key, tensor in first.items():
            assert torch.allclose(tensor.double(), second[key].double(), rtol=1e-4, atol=1e-6), key
    for key in one.metrics:
        if key != "train/seconds":
            assert one.metrics[key] == pytest.approx(other.metrics[key], rel=1e-4, abs=1e-6), key


def told(directory: Path) -> str:
    """What a run has said."""
    return (directory / "tlx.log").read_text(encoding="utf-8")


def computed(directory: Path) -> list[str]:
    """What it has run through a prefix: split and view, and how many images."""
    return re.findall(r"cache: (\w+(?:, view \d+)?: [\d,]+) (?:image|crop)s?", told(directory))


def images(directory: Path) -> int:
    """How many images those were."""
    return sum(int(line.rpartition(" ")[2].replace(",", "")) for line in computed(directory))


@pytest.mark.parametrize("strategy", ["linear_probe", "last_layers", "gradual", "lp_ft", "top_down", "full"])
def test_every_strategy_is_the_same_with_and_without(strategy, tmp_path):
    """Guards against stale rows, another augmentation, or a wrong boundary, across all stage changes of a strategy."""
    one, other = both(tmp_path, *DIGITS, f"strategy={strategy}", "trainer.stage_epochs=3", "dataset.labels_per_class=6")
    assert_equal(one, other)
    assert bool(computed(one.directory)) == (strategy != "full")


# The smallest network of each way in which maps pass from group to group; at night also large ones.
NETWORKS = {
    "test_resnet": "backbone=timm backbone.name=test_resnet backbone.pretrained=false",
    "test_convnext": "backbone=timm backbone.name=test_convnext backbone.pretrained=false",  # a norm in the pool
    "test_vit": "backbone=timm backbone.name=test_vit backbone.pretrained=false dataset.image_size=160",  # tokens
    "mobilenet_v3_small": "backbone=mobilenet_v3_small backbone.weights=null",  # a group after the pool
}
LARGE = {
    "densenet121": "backbone=densenet121 backbone.weights=null",  # maps that are joined
    "swin_t": "backbone=swin_t backbone.weights=null",  # channels last
    "resnet18": "backbone=resnet18 backbone.weights=null",
    "vgg11": "backbone=vgg11 backbone.weights=null optimizer=sgd optimizer.momentum=0 optimizer.nesterov=false",
    "convnext_tiny": "backbone=convnext_tiny backbone.weights=null",
    # Rotary embeddings, of images that are no squares and as many patches as the network's own.
    "dinov3": "backbone=vit_tiny_patch16_dinov3_qkvb backbone.pretrained=false dataset.image_size=[128,512]",
    "vit_tiny": "backbone=timm backbone.name=vit_tiny_patch16_224 backbone.pretrained=false dataset.image_size=224",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    [
        *(pytest.param(words, id=name) for name, words in NETWORKS.items()),
        *(pytest.param(words, id=name, marks=pytest.mark.nightly) for name, words in LARGE.items()),
    ],
)
def test_every_family_is_the_same_with_and_without(backbone, tmp_path):
    """Guards against an inner layout (tokens, channels last) that does not survive the way to the disk and back."""
    overrides = (
        "dataset.image_size=32", *backbone.split(), "dataset.labels_per_class=2", "dataset.augment=light",
        "cache.views=1", "logger=none", TWO_STAGES.replace("epochs: 2", "epochs: 1"), "dataset.classes=[0,1]",
        "dataset.batch_size=4", "trainer.limit_batches=3",
    )  # fmt: skip
    assert_equal(*both(tmp_path, *overrides))
    for run in ("cached", "plain"):  # gigabytes, of the largest
        shutil.rmtree(tmp_path / run)


@pytest.mark.parametrize(
    "more",
    [
        "trainer.precision=bf16-mixed", "trainer.channels_last=false", "task.dropout=0.5",
        "trainer.accumulate_grad_batches=2", "dataset.augment=none", "cache.views=0",
    ],
)  # fmt: skip
def test_settings_of_the_training_are_followed(more, tmp_path):
    """Guards against rows in another precision or layout, and against another order of random numbers."""
    assert_equal(*both(tmp_path, *DIGITS, TWO_STAGES, more))


def test_views_take_turns(tmp_path):
    """Guards against one view in every epoch, and against views beyond those that were asked for."""
    train(tmp_path / "run", *DIGITS, "strategy=linear_probe", "trainer.stage_epochs=5", "cache.views=3")
    drawn = [line.split(":")[0] for line in computed(tmp_path / "run")]
    assert drawn == ["val", "train, view 0", "train, view 1", "train, view 2", "test"]


def test_fresh_augmentation_leaves_training_alone(tmp_path):
    """Guards against `cache.views=0` that still trains on what was kept."""
    train(tmp_path / "run", *DIGITS, "strategy=linear_probe", "trainer.stage_epochs=2", "cache.views=0")
    assert [line.split(":")[0] for line in computed(tmp_path / "run")] == ["val", "test"]


def test_runs_seeds_and_strategies_share(tmp_path):
    """Guards against computing again what another run has left: another rate, seed, strategy or subset."""
    common = (*DIGITS, "dataset.augment=none", "dataset.subset_seed=0", "trainer.stage_epochs=1")
    train(tmp_path / "a", *common, "strategy=linear_probe")
    assert computed(tmp_path / "a") == ["val: 359", "train: 100", "test: 359"]
    train(tmp_path / "b", *common, "strategy=linear_probe", "optimizer.lr=1e-3")
    train(tmp_path / "c", *common, "strategy=linear_probe", "optimizer.weight_decay=0.1", "dataset.labels_per_class=5")
    train(tmp_path / "d", *common, "strategy=gradual")
    assert computed(tmp_path / "b") == computed(tmp_path / "c") == []
    assert "up to stage3" not in told(tmp_path / "d")


def test_a_run_that_goes_on_is_the_same(tmp_path, monkeypatch, finished):
    """Guards against other rows or another view after a stop at the end of an epoch of the second stage."""
    whole = finished(*DIGITS, TWO_STAGES)
    original = EpochTable.on_train_epoch_end

    def stop(self, trainer, pl_module):
        original(self, trainer, pl_module)
        if trainer.current_epoch == 2:
            raise Interrupted("the test wants it so")

    with monkeypatch.context() as patch:
        patch.setattr(EpochTable, "on_train_epoch_end", stop)
        with pytest.raises(Interrupted):
            train(tmp_path / "cut", *DIGITS, TWO_STAGES)
    shutil.rmtree(tmp_path / "cache")  # and without what the first start has computed
    assert_equal(train(tmp_path / "cut", *DIGITS, TWO_STAGES), whole)


def test_too_small_a_limit_changes_nothing_but_the_time(tmp_path):
    """Guards against a run that fails, or ends otherwise, where a boundary is too large."""
    common = (*DIGITS, TWO_STAGES, "dataset.augment=none")
    whole = train(tmp_path / "whole", *common)
    next_best = train(tmp_path / "small", *common, "cache.max_gb=0.0000001", "cache.dir=" + str(tmp_path / "other"))
    assert "trains from images" in told(tmp_path / "small")
    assert_equal(next_best, whole)


def test_the_next_best_boundary_is_taken(tmp_path):
    """Guards against giving up where a lower, smaller output would fit."""
    common = (*DIGITS, "strategy=linear_probe", "trainer.stage_epochs=1", "dataset.augment=none", "backbone.width=4")
    whole = train(tmp_path / "whole", *common)
    from tlx.features import prefix_cache

    original = prefix_cache.PrefixCache._shapes

    def swollen(self, task, prefix, how, pooled=None):
        shapes = original(self, task, prefix, how, pooled)
        top = prefix[-1]
        shapes[top] = type(shapes[top])((10**9,), "float32")
        return shapes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_cache.PrefixCache, "_shapes", swollen)
        lower = train(tmp_path / "lower", *common, "cache.dir=" + str(tmp_path / "other"))
    assert "trains from the output of stage2 instead" in told(tmp_path / "lower")
    assert_equal(lower, whole)


def test_a_full_disk_changes_nothing_but_the_time(tmp_path, monkeypatch, finished):
    """Guards against a run that dies because its cache cannot be written."""
    common = (*DIGITS, TWO_STAGES)
    whole = finished(*common)

    def full(self, rows, keys):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "append", full)
        run = train(tmp_path / "full", *common, "cache.dir=" + str(tmp_path / "other"))
    assert "No space left on device" in told(tmp_path / "full")
    assert_equal(run, whole)
    assert not list((tmp_path / "other").rglob("*.tmp"))


def test_a_damaged_file_is_computed_again(tmp_path):
    """Guards against training on what a disk has spoilt."""
    common = (*DIGITS, "strategy=linear_probe", "trainer.stage_epochs=2")
    whole = train(tmp_path / "whole", *common)
    for path in (tmp_path / "cache").rglob("*.rows"):
        content = bytearray(path.read_bytes())
        content[4096] ^= 1  # of the first row: the header is a page
        path.write_bytes(content)
    assert_equal(train(tmp_path / "again", *common, "trainer.log_every_n_steps=2"), whole)
    assert "removed and computed again" in told(tmp_path / "again")


def pictures(folder: Path, count: int) -> None:
    from PIL import Image

    for label, shade in (("dark", 40), ("light", 200)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            noise = torch.randint(0, 40, (16, 16, 3), generator=torch.Generator().manual_seed(i + shade))
            Image.fromarray((noise + shade).to(torch.uint8).numpy()).save(folder / label / f"{i}.bmp")


def probe_of(folder: Path) -> tuple[str, ...]:
    return (
        "dataset=folder", f"dataset.root={folder}", "backbone=small_cnn", "backbone.width=4", "dataset.image_size=16",
        "strategy=linear_probe", "trainer.stage_epochs=1", "dataset.augment=none", "logger=none",
    )  # fmt: skip


def test_a_set_that_changed_is_seen_as_it_is(tmp_path):
    """Guards against rows of a file that was replaced by another of the same name and size, or of one that is gone."""
    from PIL import Image

    folder = tmp_path / "set"
    pictures(folder, 20)
    common = probe_of(folder)
    train(tmp_path / "first", *common)
    for label in ("dark", "light"):  # same names, same sizes in bytes
        for i in range(20):
            Image.new("RGB", (16, 16), (i, 90, 90 + len(label))).save(folder / label / f"{i}.bmp")
    Image.new("RGB", (16, 16), (255, 0, 0)).save(folder / "dark" / "new.bmp")
    one, other = both(tmp_path, *common)
    assert_equal(one, other)
    assert images(tmp_path / "cached") == 41  # all are new, none is left out
    train(tmp_path / "third", *common, "optimizer.lr=0.5")
    assert computed(tmp_path / "third") == []


def test_only_new_images_are_computed(tmp_path):
    """Guards against computing a whole set again because one image was added."""
    folder = tmp_path / "set"
    pictures(folder, 20)
    common = probe_of(folder)
    train(tmp_path / "first", *common)
    pictures(folder, 21)
    train(tmp_path / "second", *common)
    assert images(tmp_path / "second") == 2


def test_what_was_computed_before_a_stop_is_kept(tmp_path, monkeypatch):
    """Guards against hours that are lost with a signal."""
    common = (*DIGITS, "strategy=linear_probe", "trainer.stage_epochs=1", "dataset.augment=none")
    original = Backbone.run
    calls = []

    def stop(backbone, x, start=None, outputs=None, pooled=None):
        if outputs is not None and len(x) > 2:  # not a step, and not the two images by which it learns the shapes
            calls.append(len(x))
        if len(calls) == 5:
            raise Interrupted("the test wants it so")
        return original(backbone, x, start, outputs, pooled)

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "run", stop)
        with pytest.raises(Interrupted):
            train(tmp_path / "run", *common)
    done = sum(calls[:-1])
    train(tmp_path / "run", *common)
    assert computed(tmp_path / "run")[-3:] == [f"val: {359 - done}", "train: 100", "test: 359"]


def test_the_review_shows_the_same_images(tmp_path):
    """Guards against pictures of other images where the test saw none."""
    common = (*DIGITS, "strategy=linear_probe", "trainer.stage_epochs=1", "logger=tensorboard")
    one, other = both(tmp_path, *common)
    for pattern in ("test_predictions.csv", "review/wrong.png", "projector/sprite.jpg"):
        first, second = (sorted(run.directory.glob(pattern)) for run in (one, other))
        assert len(first) == len(second) == 1, pattern
        assert first[0].read_bytes() == second[0].read_bytes(), pattern


def test_rounded_rows_are_near(tmp_path):
    """Guards against bf16 rows that change a result by more than rounding does."""
    common = (*DIGITS, "strategy=linear_probe", "trainer.stage_epochs=5", "dataset.augment=none")
    whole = train(tmp_path / "whole", *common)
    rounded = train(tmp_path / "rounded", *common, "cache.precision=bf16")
    assert rounded.metrics["val/loss"] == pytest.approx(whole.metrics["val/loss"], rel=0.02)
    assert rounded.metrics["val/loss"] != whole.metrics["val/loss"]


@pytest.mark.parametrize(
    ("trained", "batch_norm", "expected"),
    [
        ("head", "frozen", ("stem", "stage1", "stage2", "stage3")),
        ("last:2", "train", ("stem", "stage1", "stage2")),
        ("stage2", "frozen", ("stem", "stage1")),  # those above are frozen too, but what they get changes
        ("all", "frozen", ()),
        ("head", "adapt", ()),  # statistics of the stem's BatchNorm move
    ],
)
def test_the_prefix_that_stands_still(trained, batch_norm, expected):
    """Guards against keeping what changes during a stage."""
    stage, task = planned(trained, batch_norm)
    assert unchanged_prefix(task, stage) == expected


def test_a_weight_that_trains_above_is_not_still_below():
    """Guards against keeping the output of a frozen group that shares a weight with one that trains."""
    stage, task = planned("last:2", "frozen")
    convolutions = [m for m in task.backbone.groups["stage1"].modules() if isinstance(m, torch.nn.Conv2d)]
    above = [m for m in task.backbone.groups["stage3"].modules() if isinstance(m, torch.nn.Conv2d)]
    above[0].weight = convolutions[0].weight
    assert unchanged_prefix(task, stage) == ("stem",)


def planned(trained: str, batch_norm: str):
    task = Classification(small_cnn(width=4), ["a", "b"])
    strategy = {"stages": [{"name": "x", "train": trained, "batch_norm": batch_norm}]}
    return plan_stages(strategy, {"lr": 0.1}, task.group_names)[0], task
