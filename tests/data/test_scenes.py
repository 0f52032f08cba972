from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from tlx.base.errors import TlxError
from tlx.data import ImageDataModule, scenes
from tlx.data.catalog import source_of
from tlx.data.findings import class_findings
from tlx.data.ignored import IGNORED
from tlx.data.mask_labels import MASKS, MaskArray
from tlx.data.sources.drawn_scenes import HEIGHT, LARGEST, MOST, SMALLEST, STROKE, WIDTH, Scene, draw_scene

DIGITS = "0123456789"


@pytest.fixture(scope="module")
def drawn() -> list[Scene]:
    return [draw_scene(DIGITS, 0, "train", i) for i in range(150)]


def alone(scene: Scene) -> list[int]:
    """The objects whose box, with a pixel around it, meets no other."""

    def apart(one, other) -> bool:
        return bool((one[2:] + 1 <= other[:2]).any() or (other[2:] + 1 <= one[:2]).any())

    boxes = scene.boxes
    return [i for i in range(len(boxes)) if all(apart(boxes[i], boxes[j]) for j in range(len(boxes)) if j != i)]


def cut(plane: np.ndarray, box: np.ndarray, around: int = 0) -> np.ndarray:
    left, top, right, bottom = box.astype(int)
    return plane[..., top - around : bottom + around, left - around : right + around]


def test_boxes_fit_the_masks(drawn):
    """Guards against boxes that are a pixel off, of another object, or drawn before an object was moved."""
    several = 0
    for scene in drawn:
        outside = scene.mask.copy()
        for box in scene.boxes:
            cut(outside, box)[:] = 0
        assert not outside.any(), "every pixel of an object lies in its box"
        for i in alone(scene):
            own = cut(scene.mask, scene.boxes[i], around=1)
            assert set(np.unique(own)) <= {0, 1 + scene.classes[i]}
            rows, columns = own.any(1), own.any(0)
            assert rows[1:-1][[0, -1]].all()
            assert columns[1:-1][[0, -1]].all()
            assert not rows[[0, -1]].any()
            assert not columns[[0, -1]].any()
            several += 1
    assert several > 200
    assert {one for scene in drawn for one in scene.classes.tolist()} == set(range(10))


def test_strokes_are_wide(drawn):
    """Guards against hairlines that a map of stride 4 cannot show: each pixel lies in a disc within its object."""
    for scene in drawn[:60]:
        for i in alone(scene):
            shape = cut(scene.mask, scene.boxes[i], around=1) == 1 + scene.classes[i]
            centres = distance_transform_edt(shape) >= STROKE / 2
            covered = distance_transform_edt(~centres) <= STROKE / 2
            assert (shape & ~covered).sum() <= 0.02 * shape.sum(), "but for a few pixels of pointed corners"


def test_numbers_and_sizes(drawn):
    """Guards against objects that are cut off by the edge, hidden by others, too small or never absent."""
    counts = [len(scene.classes) for scene in drawn]
    assert 0.005 < np.mean([count == 0 for count in counts]) < 0.12
    assert set(counts) == set(range(MOST + 1))
    hidden = 0.0
    for scene in drawn:
        assert scene.boxes.shape == (len(scene.classes), 4)
        if not len(scene.boxes):
            continue
        assert scene.boxes.min() >= 1
        assert (scene.boxes[:, 2:] < [WIDTH, HEIGHT]).all()
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        assert sides.max(1).min() >= SMALLEST - 8
        assert sides.max() <= 1.3 * LARGEST
        hidden += 1 - len(alone(scene)) / len(scene.boxes)
    assert hidden / len(drawn) < 0.5


def test_objects_stand_out_from_backgrounds_that_differ(drawn):
    """Guards against digits in the colour of their background, and against plain or always equal backgrounds."""
    backgrounds, kinds = [], set()
    for scene in drawn:
        gray = np.tensordot([0.299, 0.587, 0.114], scene.pixels.astype(float), 1)
        behind = gray[scene.mask == 0]
        backgrounds.append(scene.pixels[:, scene.mask == 0].mean(1))
        for i in alone(scene):
            ink = gray[scene.mask == 1 + scene.classes[i]]
            assert abs(np.median(ink) - np.median(behind)) > 50
            kinds.add(bool(np.median(ink) > np.median(behind)))
    assert kinds == {True, False}, "some darker, some brighter"
    assert np.std(backgrounds, axis=0).min() > 30
    textured = [scene.pixels[:, scene.mask == 0].std(1).max() > 6 for scene in drawn]
    assert np.mean(textured) > 0.7


def test_a_scene_is_a_function_of_seed_split_and_index():
    """Guards against a set that changes when more is asked for, or with what was drawn before."""
    few = scenes(count=10)
    np.random.seed(1)
    torch.manual_seed(1)
    more = scenes(count=15)
    assert (len(few.train), len(few.val), len(few.test)) == (10, 2, 2)
    for name, split in few.splits.items():
        other = more.splits[name]
        assert torch.equal(split.pixels, other.pixels[: len(split)])
        for one, same in zip(split.samples, other.samples, strict=False):
            assert np.array_equal(one.target.read(), same.target.read())
    single = draw_scene(DIGITS, 0, "val", 1)
    assert np.array_equal(few.val.pixels[1].numpy(), single.pixels)
    assert np.array_equal(few.val.samples[1].target.read(), single.mask)
    firsts = [split.pixels[0] for split in (*few.splits.values(), scenes(count=1, draw_seed=1).train)]
    assert len({one.numpy().tobytes() for one in firsts}) == 4


def test_classes_are_chosen(node):
    """Guards against a head of another size than the masks have classes, and against other characters than chosen."""
    source = source_of(node("scenes", classes=["A", 7, "x"], count=20, draw_seed=0))
    images = source.load()
    assert source.class_names() == images.class_names == ["background", "A", "7", "x"]
    assert source.labels == images.labels.name == "masks"
    assert {one for sample in images.train.samples for one in images.class_ids(sample)} == {0, 1, 2, 3}
    assert not list(class_findings(images)), "no warning that the background dominates"
    assert source_of(node("scenes")).class_names() == ["background", *DIGITS]
    assert source_of(node("scenes", classes="latin")).num_classes() == 27
    for wrong in (["A"], ["A", "A"], ["10", "1"], "lattin"):
        (mistake,) = source_of(node("scenes", classes=wrong)).mistakes()
        assert mistake.path == "dataset.classes"
    with pytest.raises(TlxError, match=r"dataset\.classes: expected characters for which this machine has a font"):
        scenes(["a", "\U000e0fff"], count=1)


def test_batches_hold_masks(node, preprocessing):
    """Guards against masks that are not those of their images, and against ignored pixels that are counted."""
    keys = {"count": 8, "image_size": [HEIGHT, WIDTH], "augment": "none", "horizontal_flip": False}
    data = ImageDataModule(node("scenes", **keys), preprocessing, seed=0)
    batch = next(iter(data.val_dataloader()))
    (sample,) = data.splits["val"].samples
    assert torch.equal(batch["image"][0], data.splits["val"].pixels[0])
    assert batch["target"].dtype == torch.uint8
    assert np.array_equal(batch["target"][0].numpy(), sample.target.read())
    mask = MaskArray(np.array([[0, 3, 3], [IGNORED, 0, 0]], np.uint8))
    assert mask.pixel_counts == {0: 3, 3: 2}
    assert MASKS.class_ids(pickle.loads(pickle.dumps(mask))) == (0, 3)
