"""Predicted boxes as a file in COCO's format, with images and categories, so that `dataset=coco` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tlx.data.box_labels import CLASS
from tlx.data.reading.inspection import decoding, file_facts
from tlx.tasks.dense.mirrored_names import below_common
from tlx.tasks.detection.found import SCORE

_SIDEWAYS = 5  # from this EXIF orientation on, width and height of a file are exchanged


def coco_results(paths: Sequence[Path], class_names: Sequence[str], found: Sequence[np.ndarray]) -> Iterator[str]:
    """Yield the parts of the file. Categories are numbered from 1, images from 0.

    The names of images are their paths below the common folder. Sizes are those of the upright images.

    Args:
        paths: Image files.
        class_names: Class names.
        found: The boxes of each image (n, 6): left, top, right, bottom, class, score.
    """
    with decoding(True):  # they were examined before they were predicted, so this reads what was stored
        facts = file_facts(paths)
    images = (
        {"id": i, "file_name": name, "width": sides[0], "height": sides[1]}
        for i, (name, fact) in enumerate(zip(below_common(paths), facts, strict=True))
        for sides in [(fact.height, fact.width) if fact.turn >= _SIDEWAYS else (fact.width, fact.height)]
    )
    categories = ({"id": i, "name": name} for i, name in enumerate(class_names, 1))
    yield '{\n"images": ['
    yield from _listed(images)
    yield '],\n"categories": ['
    yield from _listed(categories)
    yield '],\n"annotations": ['
    yield from _listed(_annotations(found))
    yield "]\n}\n"


def _annotations(found: Sequence[np.ndarray]) -> Iterator[dict[str, object]]:
    number = 0
    for image, rows in enumerate(found):
        for row in rows.tolist():
            number += 1
            left, top, right, bottom = (round(edge, 2) for edge in row[:CLASS])
            width, height = round(right - left, 2), round(bottom - top, 2)
            yield {
                "id": number,
                "image_id": image,
                "category_id": int(row[CLASS]) + 1,
                "bbox": [left, top, width, height],
                "area": round(width * height, 2),
                "iscrowd": 0,
                "score": round(row[SCORE], 6),
            }


def _listed(entries: Iterator[dict[str, object]]) -> Iterator[str]:
    """Yield entries of a JSON list, one a line."""
    for i, entry in enumerate(entries):
        yield f"{',' if i else ''}\n{json.dumps(entry)}"
