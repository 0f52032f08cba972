"""What splits, subsets, checks and batches know of labels that are no classes: tags, masks and boxes."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torchvision import tv_tensors

from tlx.backbones.preprocessing import Preprocessing
from tlx.data import ImageDataModule, ImageSet, Sample, Split
from tlx.data.augmentation.distortion import Distortion
from tlx.data.augmentation.moved_labels import moved_boxes, moved_masks
from tlx.data.augmentation.randomness import seeded
from tlx.data.augmentation.transforms import distortion, train_transform
from tlx.data.batches.balance import balanced_epoch, members_of
from tlx.data.batches.dataset import SplitDataset, real
from tlx.data.batches.sampler import PADDING
from tlx.data.findings import class_findings, contradictions, copy_findings
from tlx.data.labels import CLASSES, LabelKind
from tlx.data.splits.division import carve, content_keys, fewer_labels


class Tags(LabelKind):
    """A label is a tuple of classes."""

    unknown = ()

    def class_ids(self, label):
        return label

    def only(self, label, places):
        return tuple(places[one] for one in label if one in places) or None

    def collate(self, labels):
        return torch.tensor([sum(2**one for one in label) for label in labels])

    def take(self, collated, index):
        return collated[index.clamp(min=0)] * (index != PADDING)


class Masks(LabelKind):
    """A label is a class for each pixel (H, W), uint8; 0 is the background."""

    moves = True
    unknown = None

    def class_ids(self, label):
        return tuple(int(one) for one in label.unique() if one)

    def only(self, label, places):
        raise NotImplementedError

    def collate(self, labels):
        return torch.stack([*labels])

    def take(self, collated, index):
        return collated[index.clamp(min=0)]

    def transform(self, transform, image, label):
        image, mask = transform(image, tv_tensors.Mask(label))
        return image, mask.as_subclass(torch.Tensor)

    def distort(self, labels, distortion, drawn, size):
        return moved_masks(labels, distortion, drawn)


def tagged(tags: list[tuple[int, ...]], distinct: int = 10_000) -> Split:
    content = torch.arange(len(tags)) % distinct
    pixels = torch.stack([content // 256, content % 256], dim=1)[:, None, None].to(torch.uint8)
    return Split([Sample(i, own, f"image {i:04d}") for i, own in enumerate(tags)], pixels)


def test_images_of_several_classes_are_divided_and_taken_away_by_each():
    """Guards against splits that look at one class of an image, and lose images that show none."""
    tags = [((), (0,), (0, 1), (1, 2), (2,), (0, 1, 2))[i % 6] for i in range(300)]
    images = carve("tags", ["a", "b", "c"], tagged(tags), 0.2, 0.2, 0, Tags())
    assert sum(len(split) for split in images.splits.values()) == 300
    for part in ("val", "test"):
        assert all(abs(count - 30) <= 2 for count in images.counts(images.splits[part]).values())
        assert sum(not sample.target for sample in images.splits[part].samples) in range(8, 13)
    few = fewer_labels(images.train, images.class_names, 5, None, 0, labels=images.labels)
    assert min(images.counts(few).values()) >= 5
    assert sum(not sample.target for sample in few.samples) == 5
    assert len(few) <= 20
    only = images.only(["c", "a"])
    assert {sample.target for sample in only.train.samples} == {(1,), (0,), (1, 0), (0, 1)} - {(0, 1)}


def test_findings_compare_what_images_show():
    """Guards against a check that knows targets by number, and a set of one class that is odd only for classes."""
    split = tagged([(0,), (0,), (0, 1), (1,), (1,)], distinct=3)
    images = ImageSet("tags", ["a", "b"], split, split, Split([]), "by hand", labels=Tags())
    keys = content_keys(split)
    assert [(a.name, b.name) for a, b in contradictions(images, split, keys)] == [
        ("image 0000", "image 0003"),
        ("image 0001", "image 0004"),
    ]
    assert list(copy_findings(images, {"train": keys, "val": keys, "test": []})) == []
    one = ImageSet("one", ["a"], split, split, split, "by hand", labels=Tags())
    assert not [line for line in class_findings(one) if "only class is" in line]
    nothing = Split([])
    assert "only class is" in next(iter(class_findings(ImageSet("one", ["a"], nothing, nothing, nothing, ""))))


def test_balance_draws_each_class_equally_often_by_the_images_that_show_it():
    """Guards against images of several classes that are drawn for one of them alone, or of none that are drawn."""
    tags = [(0,)] * 20 + [(0, 1)] * 4 + [()] * 3
    images, _ = balanced_epoch(members_of(tags), 27, 0, 0)
    assert len(images) == 27
    seen = Counter(tags[i] for i in images.tolist())
    assert seen[()] == 0
    assert seen[(0, 1)] >= 13


def test_padding_has_no_label_and_is_told_by_its_index():
    """Guards against figures that count padding, and an image of unknown class that is taken for padding."""
    split = Split(
        [Sample(i, target, "") for i, target in enumerate((2, -1))], torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    )
    batch = SplitDataset(split, torch.nn.Identity(), 1).__getitems__([(0, 0), (0, 1), (0, PADDING)])
    assert batch["target"].tolist() == [2, -1, -1]
    assert real(batch).tolist() == [True, True, False]
    assert CLASSES.class_ids(-1) == ()


def masked(count: int = 4, side: int = 40) -> Split:
    """Images that are white where their mask is 1 and black elsewhere."""
    masks = torch.zeros(count, side, side, dtype=torch.uint8)
    for i in range(count):
        masks[i, 6 + i : 20 + i, 14 : 26 + 2 * i] = 1
    return Split([Sample(i, masks[i], f"{i}") for i in range(count)], (255 * masks)[:, None])


@pytest.mark.parametrize("augment", ["none", "light", "strong", "affine"])
def test_a_mask_moves_with_its_image(augment):
    """Guards against labels that stay where they are while images are cropped, mirrored, rotated and moved."""
    preprocessing = Preprocessing(32, (0.5,), (0.5,), crop=0.875)
    distort = distortion(augment)
    if augment == "strong":
        assert distort is not None
        distort = Distortion(distort.degrees, distort.shift, distort.shear)  # nothing erased, no colour changed
    dataset = SplitDataset(
        masked(), train_transform(preprocessing, augment, True), 1, 0, distort=distort, labels=Masks()
    )
    batch = dataset.__getitems__([(epoch, i) for epoch in range(5) for i in range(4)])
    assert batch["target"].shape == (20, 32, 32)
    shown = batch["image"][:, 0] > 127
    agree = (shown == batch["target"].bool()).float().mean(dim=(1, 2))
    assert agree.min() > 0.92
    assert 0.05 < batch["target"].float().mean() < 0.6
    assert augment == "none" or len({one.numpy().tobytes() for one in batch["target"]}) > 12


@pytest.mark.parametrize("name", ["strong", "affine"])
def test_a_box_is_distorted_with_its_image(name):
    """Guards against boxes that are moved the other way, or by fractions of the wrong side."""
    distort = Distortion(20, 0.1, 10, (0.8, 1.2), beyond="background") if name == "affine" else Distortion(15, 0.1)
    height, width = 60, 90
    image = torch.zeros(1, 1, height, width, dtype=torch.uint8)
    image[..., 20:35, 30:60] = 255
    for seed in range(20):
        with seeded(seed):
            drawn = distort.draw()[None]
        moved = distort(image, drawn)[0, 0] > 127
        rows, columns = moved.any(dim=1).nonzero(), moved.any(dim=0).nonzero()
        found = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        box = moved_boxes(torch.tensor([[[30.0, 20.0, 60.0, 35.0]]]), distort, drawn, (height, width))[0, 0]
        assert (box - found).abs().max() < 2.5, seed
    still = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert torch.equal(moved_boxes(still, Distortion(), Distortion().draw()[None], (8, 8)), still)


def test_a_source_says_which_labels_it_has(node, preprocessing):
    """Guards against a kind of labels that is known in the set and forgotten in its batches."""
    own = {**node("digits", batch_size=4), "_target_": f"{__name__}.own_source", "name": "tags"}
    data = ImageDataModule(own, preprocessing, seed=0)
    assert data.class_counts == [3, 4]
    assert sorted(next(iter(data.train_dataloader()))["target"].tolist()) == [2, 3, 3, 3]
    data.need_trainable()


def own_source(name, val_fraction, split_seed):
    train = Split(
        [Sample(0, (0, 1), "0"), Sample(1, (1,), "1"), Sample(2, (0, 1), "2"), Sample(3, (0, 1), "3")],
        torch.arange(5 * 64, dtype=torch.uint8).view(5, 1, 8, 8),
    )
    val = Split([Sample(4, (0,), "4")], train.pixels)
    return ImageSet(name, ["a", "b"], train, val, val, "by hand", labels=Tags())
