"""Boxes in JPEGs that are decoded at a reduced size."""

from __future__ import annotations

import json

import numpy as np
import torch
from PIL import Image

from tests.data.mask_trees import examined_here
from tests.data.test_coco import node
from tlx.backbones.preprocessing import Preprocessing
from tlx.data import ImageDataModule
from tlx.data.reading import inspection


def test_boxes_follow_an_image_that_is_decoded_at_a_reduced_size(tmp_path, monkeypatch):
    """Guards against boxes of the full photograph on an image of a quarter of its size."""
    monkeypatch.setattr(inspection, "examine_all", examined_here)
    image = np.zeros((1200, 1600, 3), np.uint8)
    image[400:800, 800:1200] = 255
    for number in range(5):
        image[0, 0] = 50 * number
        Image.fromarray(image).save(tmp_path / f"{number}.jpg", quality=95)
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 1600, "height": 1200} for i in range(5)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [800, 400, 400, 400]} for i in range(5)]
    held = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "square"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(held))
    keys = {"labels": "boxes", "repeats": 1, "num_workers": 0, "batch_size": 4, "augment": "none", "image_size": None}
    found = {}
    for decode in ("reduced", "full"):
        data = ImageDataModule(
            node(tmp_path, **keys, decode=decode, horizontal_flip=False), Preprocessing(32, (0.5,) * 3, (0.25,) * 3), 0
        )
        found[decode] = [next(iter(loader)) for loader in (data.train_dataloader(), data.val_dataloader())]
        assert data.preprocessing.sides == (256, 352)
        whole = next(iter(data.test_dataloader()))
        assert whole["image"].shape == (1, 3, 1200, 1600)
        assert whole["target"][0, 0, :4].tolist() == [800, 400, 1200, 800]
    assert data._dataset("train", augmented=True).min_side is None
    for reduced, full in zip(found["reduced"], found["full"], strict=True):
        assert torch.allclose(reduced["target"], full["target"], atol=0.6)
        assert not torch.equal(reduced["image"], full["image"]), "the image is reduced"
        left, top, right, bottom = (round(edge) for edge in reduced["target"][0, 0, :4].tolist())
        assert int(reduced["image"][0, :, top + 2 : bottom - 2, left + 2 : right - 2].min()) > 200
        outside = reduced["image"][0].float().mean(0)
        outside[top - 2 : bottom + 2, left - 2 : right + 2] = 0
        assert float(outside[:256, :341].max()) < 60
