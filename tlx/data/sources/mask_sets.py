"""Class names of masks that are known before a mask is opened. Only the standard library."""

from __future__ import annotations

from typing import Any

from tlx.data.sources.mask_classes import ClassMap

BACKGROUND, FOREGROUND = "background", "foreground"
BACKGROUNDS = {"background", "_background_", "__background__"}  # labels of outlines that stand for no object

_VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
#: PASCAL VOC.
VOC = ClassMap(_VOC, tuple(enumerate(range(len(_VOC)))), (255,), "PASCAL VOC")

# Of Cityscapes, the value in files of label ids.
_CITYSCAPES = {
    **{"road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19},
    **{"traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26},
    **{"truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33},
}
_NOT_EVALUATED = (*(value for value in range(34) if value not in _CITYSCAPES.values()), 255)
#: The 19 classes by which Cityscapes is evaluated.
CITYSCAPES = ClassMap(
    tuple(_CITYSCAPES),
    tuple((value, place) for place, value in enumerate(_CITYSCAPES.values())),
    _NOT_EVALUATED,
    "Cityscapes",
)


def two_names(known: ClassMap | None) -> list[str]:
    """Return the names of what is background and what is not: those that are known, if there are two."""
    return list(known.names) if known is not None and len(known.names) == 2 else [BACKGROUND, FOREGROUND]


def outline_classes(known: ClassMap) -> tuple[list[str], tuple[tuple[Any, int], ...]]:
    """Return the classes of outlines, and the class of each label; None: pixels without an object, of background."""
    pairs = known.values or tuple((name, place) for place, name in enumerate(known.names))
    ground = next((place for place, name in enumerate(known.names) if name in BACKGROUNDS), None)
    if ground is not None:
        return list(known.names), (*pairs, (None, ground))
    return [BACKGROUND, *known.names], (*((label, place + 1) for label, place in pairs), (None, 0))
