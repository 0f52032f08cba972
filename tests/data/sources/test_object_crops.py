"""`dataset.crops=true`: the objects of images with boxes are the images of a classification."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from tests.data.sources.box_trees import CELL, NUCLEUS, image, loaded, node, problems, sizes, written, xml, yolo
from tlx.backbones.preprocessing import Preprocessing
from tlx.base.errors import TlxError
from tlx.data.augmentation.transforms import eval_transform
from tlx.data.catalog import source_of
from tlx.data.datamodule import ImageDataModule
from tlx.data.labels import CLASSES
from tlx.data.reading.images import read_image
from tlx.data.sources.base import OwnSource


def tree(root, count=10):
    """Write images with two objects each as VOC, YOLO, CSV and COCO would."""
    rows, images, annotations = ["file,x1,y1,x2,y2,class"], [], []
    for number in range(count):
        image(root / "images" / f"{number}.png", number)
        written(root / "annotations" / f"{number}.xml", xml([CELL, NUCLEUS]))
        written(root / "labels" / f"{number}.txt", yolo([(0, CELL[1]), (1, NUCLEUS[1])]))
        images.append({"id": number, "file_name": f"{number}.png", "width": 40, "height": 30})
        for label, (name, (left, top, right, bottom)) in enumerate((CELL, NUCLEUS)):
            rows.append(f"{number}.png,{left},{top},{right},{bottom},{name}")
            box = [left, top, right - left, bottom - top]
            annotations.append({"id": len(annotations), "image_id": number, "category_id": label, "bbox": box})
    written(root / "classes.txt", "cell\nnucleus")
    written(root / "boxes.csv", "\n".join(rows))
    categories = [{"id": 0, "name": "cell"}, {"id": 1, "name": "nucleus"}]
    written(root / "coco.json", json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return root


@pytest.mark.parametrize("source", ["voc", "yolo", "boxes", "coco"])
def test_objects_are_images_in_the_splits_of_their_photographs(tmp_path, source):
    """Guards against objects of one photograph in two splits, and crops beside their objects."""
    keys = {"labels": "masks", "masks": "classes"} if source == "coco" else {}
    checked = loaded(source, tree(tmp_path), crops=True, crop_margin=0.5, **keys)
    images = checked.images
    whole = loaded(source, tmp_path, **{**keys, "labels": "boxes"} if keys else {}).images
    assert (images.labels, images.class_names, sizes(checked)) == (CLASSES, ["cell", "nucleus"], [12, 4, 4])
    assert source_of(node(source, tmp_path, crops=True, **keys)).labels == "classes"
    for part, split in images.splits.items():
        assert {s.source for s in split.samples} == {s.source for s in whole.splits[part].samples}
    first, second = images.train.samples[:2]
    assert first.name == whole.train.samples[0].name + " at 4,6,14,18"
    assert (first.target, first.region) == (0, (0, 0, 24, 19))
    assert (second.target, second.region) == (1, (6, 4, 8, 7))
    assert not [line for line in checked.findings(None) if "copies" in line or "near" in line or "identical" in line]
    assert "20 objects as images, with a margin of 50 %" in images.rule


def test_objects_of_one_class_are_refused_with_what_finds_them(tmp_path):
    """Guards against a classifier of one class, and a refusal that leaves its user without a way on."""
    for number in range(6):
        image(tmp_path / f"{number}.png", number)
        written(tmp_path / f"{number}.xml", xml([CELL]))
    data = ImageDataModule(node("voc", tmp_path, crops=True), Preprocessing(8, (0.5,), (0.5,)), seed=0)
    with pytest.raises(TlxError, match=r"got only 'cell'; there is nothing to classify; .* task=detection without"):
        data.need_trainable()


def test_ignored_objects_and_wrong_images_are_left_out(tmp_path):
    """Guards against objects that are difficult in training, and wrong annotations without a word."""
    tree(tmp_path, 6)
    written(tmp_path / "annotations" / "0.xml", xml([CELL, NUCLEUS], more="<difficult>1</difficult>"))
    written(tmp_path / "annotations" / "1.xml", xml([("cell", (100, 100, 120, 120))]))
    written(tmp_path / "annotations" / "2.xml", xml([]))
    checked = loaded("voc", tmp_path, stop=False, crops=True)
    assert sum(sizes(checked)) == 6
    assert list(problems(checked)) == ["images/1.png"]


def test_networks_see_the_objects(tmp_path):
    """Guards against whole photographs, parts of reduced ones, and the wrong part of one that EXIF turns."""
    for number in range(6):
        turned = Image.Exif()
        turned[0x0112] = 6
        image(tmp_path / f"{number}.jpg", number, quality=95, **({"exif": turned} if number == 0 else {}))
        written(tmp_path / f"{number}.xml", xml([("cell", (20, 5, 44, 26)), ("nucleus", (2, 3, 12, 13))], None))
    written(tmp_path / "0.xml", xml([("cell", (5, 20, 26, 39)), ("nucleus", (2, 3, 12, 13))], (30, 40)))
    keys = {"crops": True, "crop_margin": 0.0, "batch_size": 2, "num_workers": 0, "decode": "reduced"}
    whole = node("voc", tmp_path, **keys, augment="none", horizontal_flip=False)
    preprocessing = Preprocessing(8, (0.5,), (0.5,))
    data = ImageDataModule(whole, preprocessing, seed=0)
    expected = eval_transform(preprocessing)
    for part, split in data.splits.items():
        for batch in data.images_of(part, range(len(split))):
            for row, index in zip(batch["image"], batch["index"].tolist(), strict=True):
                sample = split.samples[index]
                top, left, height, width = sample.region
                cut = read_image(sample.source)[:, top : top + height, left : left + width]
                assert torch.equal(row, expected(cut))
    turned = [s.region for split in data.splits.values() for s in split.samples if s.source.name == "0.jpg"]
    assert turned == [(20, 5, 19, 21), (3, 2, 10, 10)]
    assert data.sizes == {"train": 8, "val": 2, "test": 2}
    assert len(set(data.content_keys("train"))) == 8


def test_other_sources_have_a_key_of_that_name(tmp_path):
    """Guards against a user's own key `crops` that changes what a set is."""
    own = OwnSource({"_target_": "mine.set", "crops": True})
    assert own.labels == "classes"
    assert not own.makes_crops
