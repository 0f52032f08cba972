from __future__ import annotations

import re
from itertools import islice

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint

from tlx.base.errors import TlxError
from tlx.data import ImageDataModule, ImageSet
from tlx.data.augmentation.transforms import eval_transform, train_transform
from tlx.data.batches import dataset as dataset_module
from tlx.data.batches.dataset import SplitDataset, real
from tlx.data.box_labels import BoxLabels
from tlx.data.reading.images import read_image, to_channels
from tlx.data.sources.base import OwnSource
from tlx.data.splits.samples import Sample, Split
from tlx.features.image_shelf import ImageShelf
from tlx.features.store import Store


def epoch_of(datamodule, epoch=0):
    datamodule.set_epoch(epoch)
    return list(datamodule.train_dataloader())


def same(one, other):
    return len(one) == len(other) and all(torch.equal(a[k], b[k]) for a, b in zip(one, other, strict=True) for k in a)


@pytest.fixture
def tree(make_tree):
    return make_tree({"train/a": 20, "train/b": 12, "test/a": 3, "test/b": 4})


def test_batches(tree, node, preprocessing):
    """Guards against batches of another shape, type or content than the tasks are written for."""
    data = ImageDataModule(node("folder", root=str(tree)), preprocessing, seed=0)
    data.prepare_data()
    data.setup()
    assert data.sizes == {"train": 26, "val": 6, "test": 7}
    assert (data.class_names, data.num_classes) == (["a", "b"], 2)
    train = epoch_of(data)
    assert [len(b["index"]) for b in train] == [6, 7, 6, 7]  # every image, in batches of at most 8
    for batch in (*train, *data.val_dataloader(), *data.test_dataloader()):
        count = len(batch["index"])
        assert set(batch) == {"image", "target", "index"}
        assert batch["image"].shape == (count, 3, 16, 16)
        assert batch["image"].is_contiguous()
        assert [batch[k].dtype for k in ("image", "target", "index")] == [torch.uint8, torch.int64, torch.int64]
    test = list(data.test_dataloader())
    assert torch.cat([b["target"] for b in test]).tolist() == [0, 0, 0, 1, 1, 1, 1]
    expected = eval_transform(preprocessing)(read_image(data.splits["test"].samples[5].source))
    assert torch.equal(test[0]["image"][5], expected)


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"a": 40}, "expected training images of at least two classes, got only 'a'"),
        ({"a": 1, "b": 2}, "expected images in train, val and test, got none in val and test (train 3, val 0, test 0)"),
    ],
    ids=["one class", "too few"],
)
def test_a_set_that_nothing_can_be_learned_from_is_refused(make_tree, node, preprocessing, tree, told):
    """Guards against 100 % in telling one class from none, and against an error after the training."""
    root = make_tree(tree)
    data = ImageDataModule(node("folder", root=str(root)), preprocessing, seed=0)
    with pytest.raises(TlxError, match=re.escape(told)):
        data.need_trainable()


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["none", "light", "strong", "trivial"])
def test_workers_change_nothing(tree, node, preprocessing, augment):
    """Guards against augmentation that depends on which process draws it, or on what was drawn before."""
    runs = []
    for workers in (0, 2):
        torch.manual_seed(workers)
        data = ImageDataModule(
            node("folder", root=str(tree), num_workers=workers, augment=augment), preprocessing, seed=3
        )
        runs.append([epoch_of(data, epoch) for epoch in (0, 1)])
    assert same(runs[0][0], runs[1][0])
    assert same(runs[0][1], runs[1][1])
    assert not same(runs[0][0], runs[0][1])


def test_augmentation_is_a_function_of_seed_epoch_and_index(tree, node, preprocessing):
    """Guards against an image augmented alike in every epoch, images alike in one, and a seed without effect."""

    def image(seed, epoch, index=4):
        data = ImageDataModule(node("folder", root=str(tree)), preprocessing, seed)
        return data.train_dataloader().dataset[epoch, index]["image"]

    assert torch.equal(image(0, 5), image(0, 5))
    assert not torch.equal(image(0, 5), image(0, 6))
    assert not torch.equal(image(0, 5), image(1, 5))
    twice = Split([Sample(0, 0, "a"), Sample(0, 0, "b")], torch.arange(3 * 24 * 24).view(1, 3, 24, 24).to(torch.uint8))
    drawn = SplitDataset(twice, train_transform(preprocessing, "light", True), 3, seed=0)
    assert not torch.equal(drawn[5, 0]["image"], drawn[5, 1]["image"])


def test_loaders_leave_the_global_generator_alone(tree, node, preprocessing):
    """Guards against dropout that changes with the number of workers."""
    data = ImageDataModule(node("folder", root=str(tree)), preprocessing, seed=0)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    epoch_of(data)
    list(data.val_dataloader())
    assert torch.equal(torch.rand(1), expected)


def test_one_incomplete_batch_is_kept(node, preprocessing):
    """Guards against an epoch without a step where there are fewer images than a batch holds."""
    data = ImageDataModule(node(labels_per_class=1, batch_size=64), preprocessing, seed=0)
    assert [len(b["target"]) for b in epoch_of(data)] == [10]


def test_images_in_memory_are_resized_once_and_right(node, preprocessing, monkeypatch):
    """Guards against the short cut for sets in memory giving other pixels than the long way."""
    data = ImageDataModule(node(augment="none", image_size=24), preprocessing, seed=0)
    fast = data.val_dataloader().dataset
    assert fast._resized is not None
    monkeypatch.setattr(dataset_module, "RESIZED_AT_MOST", 0)
    slow = SplitDataset(data.splits["val"], eval_transform(data.preprocessing), 3)
    assert slow._resized is None
    keys = [(0, i) for i in (3, 0, -1, 358)]
    assert same([fast.__getitems__(keys)], [slow.__getitems__(keys)])
    assert fast.__getitems__(keys)["target"].tolist()[2] == -1
    pixels = to_channels(data.splits["val"].pixels[data.splits["val"].samples[3].source], 3)
    assert torch.equal(fast[0, 3]["image"][0], eval_transform(data.preprocessing)(pixels))


@pytest.mark.slow
@pytest.mark.parametrize(("augment", "flip", "once"), [("affine", False, True), ("affine", True, False)])
def test_images_that_are_only_distorted_are_resized_once_and_right(
    node, preprocessing, monkeypatch, augment, flip, once
):
    """Guards against the short cut drawing other distortions, and against one image for all flips."""

    def epochs():
        data = ImageDataModule(
            node(augment=augment, horizontal_flip=flip, image_size=24, channels=1), preprocessing, seed=0
        )
        seen = [batch for epoch in (0, 1) for batch in epoch_of(data, epoch)]
        return seen, data.train_dataloader().dataset._resized is not None

    fast, resized = epochs()
    assert resized == once
    monkeypatch.setattr(dataset_module, "RESIZED_AT_MOST", 0)
    slow, resized = epochs()
    assert not resized
    assert same(fast, slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("augment", "channels"),
    [*(("none", 1), ("none", 3), ("none", 5)), *(("light", 1), ("light", 4), ("strong", 5), ("trivial", 3))],
)
def test_kept_images_are_the_images(test_data, tmp_path, node, preprocessing, monkeypatch, augment, channels):
    """Guards against other pixels once an image is kept, and against files that are read again all the same."""
    for i, path in enumerate(sorted(test_data("exif_orientation").glob("*_[36].jpg"))):
        for part, name in (("train", "ab"[i % 2]), ("test", "ab"[i % 2])):
            (tmp_path / part / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / part / name / path.name).write_bytes(path.read_bytes())
    keys = {"root": str(tmp_path), "channels": channels, "augment": augment, "batch_size": 4, "decode": "reduced"}

    def epochs(at_most, shelf=None):
        monkeypatch.setattr("tlx.data.batches.kept.memory_available", lambda: at_most)
        data = ImageDataModule(node("folder", **keys), preprocessing, seed=0, shelf=shelf)
        loaders = data.train_dataloader(), data.val_dataloader()
        seen = []
        for epoch in range(2):
            data.set_epoch(epoch)
            seen += [batch for loader in loaders for batch in loader]
        return data, loaders, seen

    expected = epochs(0)
    assert [one.count for one in expected[0]._kept.values()] == [0, 0]
    shelf = ImageShelf(Store(tmp_path / "cache"), "run", "turned")
    for stored, is_new in ((None, True), (shelf, True), (shelf, False)):
        data, loaders, seen = epochs(2**29, stored)
        assert same(expected[2], seen)
        assert all(a["image"].stride() == b["image"].stride() for a, b in zip(expected[2], seen, strict=True))
        for loader in loaders:
            assert loader.dataset.kept.count == len(loader.dataset)
            assert loader.dataset.kept.added == is_new * len(loader.dataset)
    monkeypatch.setattr("tlx.data.batches.dataset.read_pixels", None)
    assert same(seen[-len(loaders[1]) :], list(loaders[1]))
    data.set_epoch(1)
    assert same(seen[-len(loaders[1]) - len(loaders[0]) : -len(loaders[1])], list(loaders[0]))


@pytest.mark.slow
def test_workers_share_what_they_keep(tree, node, preprocessing, monkeypatch):
    """Guards against each reading process keeping images for itself alone, or this one seeing none of them."""
    for augment in ("none", "light"):
        data = ImageDataModule(node("folder", root=str(tree), num_workers=2, augment=augment), preprocessing, seed=0)
        loader = data.train_dataloader()
        first = epoch_of_loader(data, loader, 0)
        assert loader.dataset.kept.count == 26
        for path in tree.rglob("*.png"):
            path.rename(path.with_suffix(".gone"))
        again = epoch_of_loader(data, loader, 0)
        for path in tree.rglob("*.gone"):
            path.rename(path.with_suffix(".png"))
        assert same(first, again)


def epoch_of_loader(data, loader, epoch):
    data.set_epoch(epoch)
    return list(loader)


def test_large_photographs_are_decoded_at_a_reduced_size(test_data, node, preprocessing):
    """Guards against `dataset.decode` without effect, or one that shows, where files are predicted."""
    photograph = test_data("exif_orientation") / "Portrait_6.jpg"
    images = {}
    for decode in ("full", "reduced"):
        keys = {"root": "/nowhere", "channels": 3, "decode": decode}
        data = ImageDataModule(node("folder", **keys), preprocessing, seed=0)
        (batch,) = data.predict_loader([photograph])
        images[decode] = batch["image"][0]
        assert torch.equal(
            images[decode],
            eval_transform(preprocessing)(read_image(photograph, 3, 32 if decode == "reduced" else None)),
        )
    difference = (images["full"].float() - images["reduced"].float()).abs()
    assert 0 < difference.mean() < 2


def test_channels_and_size_override(tree, node, preprocessing):
    """Guards against `dataset.channels` and `dataset.image_size` reaching files or arrays only."""
    for source, keys in (("folder", {"root": str(tree)}), ("digits", {})):
        for augment in ("none", "light"):
            full = node(source, channels=4, image_size=20, augment=augment, **keys)
            batch = epoch_of(ImageDataModule(full, preprocessing, seed=0))[0]
            assert batch["image"].shape[1:] == (4, 20, 20)
            assert (batch["image"][:, 3] == 255).all()


def test_an_unchecked_test_split_is_not_opened_before_the_test(tree, node, preprocessing):
    """Guards against `check=false` opening files all the same: these cannot even be read."""
    for path in (tree / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    data = ImageDataModule(node("folder", root=str(tree), check=False), preprocessing, seed=0)
    data.setup("fit")
    epoch_of(data)
    list(data.val_dataloader())
    data.describe()
    with pytest.raises(TlxError, match=r"cannot read image .*test/a/0\.png"):
        list(data.test_dataloader())


def test_a_set_is_checked_before_it_is_trained_on(tree, node, preprocessing):
    """Guards against a broken file that ends a training hours after its start."""
    (tree / "train" / "b" / "3.png").write_bytes(b"no image")
    data = ImageDataModule(node("folder", root=str(tree)), preprocessing, seed=0)
    with pytest.raises(TlxError, match=r"1 broken file\n.*train/b/3\.png: it is in no image format"):
        data.setup()
    data = ImageDataModule(node("folder", root=str(tree), on_bad="skip"), preprocessing, seed=0)
    data.setup()
    assert sum(data.sizes.values()) == 38
    assert len(torch.cat([b["target"] for b in data.val_dataloader()])) == data.sizes["val"]
    assert "  left out: 1 broken file\n    " in data.describe()
    assert "train/b/3.png: it is in no image format" in data.describe()


def test_what_is_odd_about_a_set_is_said(tree, node, preprocessing):
    """Guards against a test figure that rests on images trained on, without a word."""
    data = ImageDataModule(node("folder", root=str(tree)), preprocessing, seed=0)
    assert "warning" not in data.describe()
    (tree / "test" / "a" / "copy.png").write_bytes(data.splits["train"].samples[0].source.read_bytes())
    data = ImageDataModule(node("folder", root=str(tree), image_size=20), preprocessing, seed=0)
    warnings = [line for line in data.describe().splitlines() if "warning" in line]
    assert "1 of 8 test images are also in train: test/a/copy.png is train/a/" in warnings[0]
    assert "40 of 40 images are far smaller than the input of 20 pixels (shorter side under 10)" in warnings[1]


def test_names_paths_and_fingerprint(tree, node, preprocessing):
    """Guards against a review of other images than were shown, and against resuming on a set that has changed."""

    def make(**keys):
        return ImageDataModule(node("folder", root=str(tree), **keys), preprocessing, seed=0)

    data = make()
    assert data.sample_names("test")[3] == "test/b/0.png"
    assert data.sample_paths("test")[3] == tree / "test" / "b" / "0.png"
    assert ImageDataModule(node(), preprocessing, seed=0).sample_paths("val")[0] is None
    first = data.fingerprint()
    assert first == make().fingerprint() == make(batch_size=4).fingerprint()
    assert first != make(split_seed=1).fingerprint()
    assert first != make(labels_per_class=3).fingerprint()
    with (tree / "train" / "a" / "5.png").open("ab") as file:
        file.write(b"more")
    assert first != make().fingerprint()
    table, found = tree / "labels.csv", set()
    for label in "ab":  # of one image
        rows = [f"train/a/0.png,{label},train", *(f"train/{x}/1.png,{x},train" for x in "ab")]
        table.write_text("\n".join(["path,label,split", *rows, "train/a/2.png,a,val", "test/a/0.png,a,test"]))
        found.add(ImageDataModule(node("table", path=str(table)), preprocessing, seed=0).fingerprint())
    assert len(found) == 2


def test_predict(tree, node, preprocessing):
    """Guards against predictions in another order than the files, and against needing the training set for them."""
    data = ImageDataModule(node("folder", root="/moved/away", batch_size=4), preprocessing, seed=0)
    files = [tree / "test" / "b" / "2.png", tree / "test" / "a"]
    batches = list(data.predict_loader(files))
    assert torch.cat([b["index"] for b in batches]).tolist() == [0, 1, 2, 3]
    assert not any("target" in batch for batch in batches)
    assert torch.equal(batches[0]["image"][0], eval_transform(preprocessing)(read_image(files[0])))


def test_description(tree, node, preprocessing):
    """Guards against splits and subsets that nobody is told about."""
    (tree / "train" / "a" / "old.gif").write_bytes(b"")
    data = ImageDataModule(node("folder", root=str(tree), labels_per_class=5), preprocessing, seed=0)
    assert data.describe().splitlines() == [
        "folder: 2 classes; official test split; val (20 %) carved from train, class by class, by content, seed 0; "
        "left out, by extension: 1 .gif",
        "  train      10 images, 5 per class, of 26 (subset seed 0)",
        "  val         6 images, 2 to 4 per class",
        "  test        7 images, 3 to 4 per class",
    ]


def test_automatic_workers(tree, node, preprocessing, monkeypatch, caplog):
    """Guards against idle processes for sets in memory, and against more processes than cores under torchrun."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("tlx.data.datamodule.WORTH_MEASURING", 20)  # there are 26 images to train on
    monkeypatch.setattr("tlx.data.datamodule.LEAST_MEASURED", 20)
    monkeypatch.setattr("tlx.data.datamodule.seconds_an_image", lambda _: 0.1)
    caplog.set_level("INFO", "tlx")
    for step, local_world, expected in (
        *((None, "1", 4), (None, "4", 2), (None, "16", 0)),
        *((0.9, "1", 1), (0.3, "1", 3), (0.3, "4", 2), (0.01, "1", 8), (90, "1", 0)),
    ):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local_world)
        data = ImageDataModule(node("folder", root=str(tree), num_workers="auto"), preprocessing, seed=0)
        data.step_seconds = step
        for _ in range(2):
            assert data.train_dataloader().num_workers == expected
        assert data.test_dataloader().num_workers == 0  # 7 images
    assert len(caplog.messages) == 8  # one line a choice
    assert "reading processes: 3 (reading a batch takes 800 ms in one process, a step takes 300 ms; 8 cores)" in (
        caplog.messages
    )
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    for augment, worth_it, expected in (("light", 5000, 0), ("light", 1000, 4), ("none", 1000, 0)):
        monkeypatch.setattr("tlx.data.datamodule.WORTH_WORKERS", worth_it)
        data = ImageDataModule(node(num_workers="auto", augment=augment), preprocessing, seed=0)
        assert data.train_dataloader().num_workers == expected
        assert data.val_dataloader().num_workers == 0


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
def test_the_number_of_readers_is_corrected_and_changes_nothing(tree, node, preprocessing, monkeypatch, caplog, kept):
    """Guards against a device that waits in every epoch, and against other batches from another number of processes."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(3)), raising=False)
    monkeypatch.setattr("tlx.data.datamodule.WORTH_MEASURING", 20)
    monkeypatch.setattr("tlx.data.datamodule.LEAST_MEASURED", 20)
    monkeypatch.setattr("tlx.data.datamodule.seconds_an_image", lambda _: 0.0)
    if not kept:
        monkeypatch.setattr("tlx.data.batches.kept.memory_available", lambda: 0)
    caplog.set_level("INFO", "tlx")

    def epochs(workers, step):
        data = ImageDataModule(node("folder", root=str(tree), num_workers=workers), preprocessing, seed=0)
        data.leaves_cores, data.step_seconds = True, step
        loader = data.train_dataloader()
        found = []
        for epoch in range(4):
            data.set_epoch(epoch)
            found.append((loader.num_workers, [*islice(iter(loader), len(loader))]))  # as Lightning does
        return found

    found = epochs("auto", 1e-6)
    assert [workers for workers, _ in found] == ([0, 0, 3, 3] if kept else [0, 3, 3, 3])
    told = [line for line in caplog.messages if line.startswith("reading: ")]
    assert told[0].startswith("reading: this process can read ")
    assert told[-1].endswith("; from now on 3 processes read")
    assert len(told) == 1 + kept
    expected = epochs(1, 1e-6)
    assert [workers for workers, _ in expected] == [1] * 4
    assert all(same(one, other) for (_, one), (_, other) in zip(found, expected, strict=True))


def test_two_processes_share_the_images_out(tree, node, preprocessing, monkeypatch):
    """Guards against both processes training on the same half, and against padding counted by the metrics."""

    def loaders(batch_size, rank=0, world=1):
        monkeypatch.setattr("torch.distributed.is_initialized", lambda: world > 1)
        monkeypatch.setattr("torch.distributed.get_rank", lambda: rank)
        monkeypatch.setattr("torch.distributed.get_world_size", lambda: world)
        data = ImageDataModule(node("folder", root=str(tree), batch_size=batch_size), preprocessing, seed=0)
        return list(data.train_dataloader()), list(data.test_dataloader())

    train, test = loaders(8)
    shards = [loaders(8, rank, world=2) for rank in (0, 1)]
    assert {len(batch["index"]) for shard in shards for batch in shard[0]} == {3, 4}
    for together, *parts in zip(train, *(shard[0] for shard in shards), strict=True):
        both = {int(i): image for part in parts for i, image in zip(part["index"], part["image"], strict=True)}
        assert sorted(both) == sorted(together["index"].tolist())
        for index, image in zip(together["index"].tolist(), together["image"], strict=True):
            assert torch.equal(both[index], image)
    seen = torch.cat([batch["target"] for shard in shards for batch in shard[1]])
    assert len(seen) == 8
    assert sorted(seen.tolist()) == [-1, *sorted(torch.cat([batch["target"] for batch in test]).tolist())]
    images = torch.cat([batch["index"][real(batch)] for shard in shards for batch in shard[1]])
    assert sorted(images.tolist()) == list(range(7))


def test_a_batch_that_cannot_be_shared_out_is_refused(node, preprocessing, monkeypatch):
    """Guards against processes that quietly train with other batches than one would."""
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    with pytest.raises(TlxError, match=r"multiple of 3.*got 32; for example dataset.batch_size=33"):
        ImageDataModule(node("digits", batch_size=32), preprocessing, seed=0).train_dataloader()


def test_a_source_of_the_users_own(node, preprocessing):
    """Guards against sources that only this package can add."""
    own = {**node("digits", classes=[1, 2], val_fraction=0.5), "_target_": f"{__name__}.own_source", "name": "mine"}
    data = ImageDataModule(own, preprocessing, seed=0)
    assert data.describe().startswith("mine: 2 classes; by hand")


def own_source(name, classes, val_fraction, split_seed):
    from tlx.data import digits

    assert (val_fraction, split_seed) == (0.5, 0)
    images = digits(classes)
    return ImageSet(name, images.class_names, images.train, images.val, images.test, "by hand")


@pytest.mark.parametrize("function", ["own_boxes", "own_boxes_of_a_side"])
def test_keys_of_boxes_break_no_source_of_the_users_own(function):
    """Guards against a traceback because a function does not take `min_side`, and against one that gets nothing."""
    keys = {"name": "mine", "val_fraction": 0.2, "split_seed": 0, "min_side": 64, "max_side": None, "repeats": 2}
    images = OwnSource({"_target_": f"{__name__}.{function}", **keys}).load()
    assert images.labels.name == "boxes"
    assert images.rule == ("a side of 64" if function == "own_boxes_of_a_side" else "by hand")


def own_boxes(name, val_fraction, split_seed):
    return ImageSet(name, ["cell"], Split([]), Split([]), Split([]), "by hand", labels=BoxLabels(1))


def own_boxes_of_a_side(name, val_fraction, split_seed, min_side):
    return ImageSet(name, ["cell"], Split([]), Split([]), Split([]), f"a side of {min_side}", labels=BoxLabels(1))


class Recorder(pl.LightningModule):
    """Learns nothing and remembers which images came, in which epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, _):
        self.seen.append((self.current_epoch, batch["index"].tolist(), batch["image"].sum().item()))
        return self.weight.sum()

    def validation_step(self, batch, _):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("save_after_validation", [False, True])
@pytest.mark.parametrize(("workers", "reload_every"), [(0, 0), (2, 0), (0, 1)])
def test_a_resumed_fit_sees_what_an_uninterrupted_one_sees(
    tree, node, preprocessing, tmp_path, workers, reload_every, save_after_validation
):
    """Guards against Lightning drawing a resumed run's first batches with the order of epoch 0."""

    def fit(ckpt_path=None):
        every_epoch = ModelCheckpoint(
            tmp_path, "{epoch}", save_top_k=-1, save_on_train_epoch_end=not save_after_validation
        )
        module = Recorder()
        trainer = pl.Trainer(
            max_epochs=4,
            accelerator="cpu",
            callbacks=[every_epoch],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            reload_dataloaders_every_n_epochs=reload_every,
        )
        data = ImageDataModule(node("folder", root=str(tree), num_workers=workers), preprocessing, seed=0)
        trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
        return module.seen

    whole = fit()
    assert len({str([images for epoch, *images in whole if epoch == e]) for e in range(4)}) == 4
    assert fit(tmp_path / "epoch=1.ckpt") == [seen for seen in whole if seen[0] >= 2]


def test_modes_and_sizes_side_by_side(tmp_path, node, preprocessing):
    """Guards against images of different modes and sizes that do not fit into one batch."""
    root = tmp_path / "mixed"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i, mode in enumerate(("L", "RGB", "RGBA", "P", "1", "CMYK", "LA")):
            size = (20 + i, 40 - 3 * i + ord(name))
            Image.linear_gradient("L").resize(size).convert(mode).save(root / name / f"{i}.tif", "TIFF")
    data = ImageDataModule(node("folder", root=str(root), batch_size=14), preprocessing, seed=0)
    assert epoch_of(data)[0]["image"].shape[1:] == (3, 16, 16)
