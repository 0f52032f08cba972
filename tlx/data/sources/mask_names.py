"""Which folders and files are images and which are masks, by their names. Only the standard library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Literal

from tlx.data.files.image_files import EXTENSIONS
from tlx.data.sources.split_folders import part_called

Role = Literal["image", "mask", "other"]

OUTLINES = ".json"  # of labelme
MASK_EXTENSIONS = EXTENSIONS | {".gif", OUTLINES}
_IMAGES = {
    "images",
    "image",
    "imgs",
    "img",
    "photos",
    "photo",
    "pictures",
    "rgb",
    "inputs",
    "input",
    "originals",
    "original",
    "scans",
}
_MASKS = {
    *("masks", "mask", "labels", "label", "annotations", "annotation", "annots", "annot", "gt", "groundtruth", "truth"),
    *("segmentations", "segmentation", "segs", "seg", "targets", "target", "manual", "trimaps"),
}
_OTHERS = {"object", "objects", "instance", "instances", "coarse", "visualization", "overlay", "overlays", "npy"}
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_GLUED = re.compile(r"(train|val|valid|test)(annot|masks?|labels?|images?|gt)", re.IGNORECASE)
_MASK_ENDING = re.compile(
    r"(?<=[^_\-. ])[_\-. ]+(masks?|segs?|segmentation|segmented|labels?|labelids|gt|gtfine|ground[_\- ]?truth|"
    r"annotations?|annot|anno|target|matte|manual\d*|\d(st|nd)(_?manual|_?ho)?|ah|[lmp])$",
    re.IGNORECASE,
)
_IMAGE_ENDING = re.compile(
    r"(?<=[^_\-. ])[_\-. ]+(images?|img|sat|rgb|leftimg8bit|photo|volume|input|training|test|original|orig)$",
    re.IGNORECASE,
)


def said_by(folder: str) -> tuple[Role | None, str | None]:
    """Return what the name of one folder says: what lies in it, and of which split it is; None: nothing."""
    glued = _GLUED.fullmatch(folder)
    words = {word.lower() for word in (glued.groups() if glued else _WORDS.findall(folder))}
    role: Role | None = None
    if words & _OTHERS:
        role = "other"
    elif words & _MASKS:
        role = "mask"
    elif words & _IMAGES:
        role = "image"
    return role, part_called(glued[1] if glued else folder)


def stem_of(name: str) -> str:
    """Return a file's name without its extension, in small letters."""
    return os.path.splitext(name)[0].lower()


def image_stems(name: str) -> Iterator[str]:
    """Yield what an image may be called by, its own stem first."""
    stem = stem_of(name)
    yield stem
    if (short := _IMAGE_ENDING.sub("", stem)) != stem:
        yield short


def mask_stems(name: str) -> Iterator[str]:
    """Yield the stems of the image that a mask may belong to, its own stem first."""
    stem = stem_of(name)
    yield stem
    inner, extension = os.path.splitext(stem)
    if extension in EXTENSIONS:  # a.jpg.png
        yield inner
    while (short := _MASK_ENDING.sub("", stem)) != stem:
        stem = short
        yield stem


def has_mask_ending(name: str) -> bool:
    """Return whether a file is called like a mask: `a_mask.png`."""
    return bool(_MASK_ENDING.search(stem_of(name)))
