"""The contract of a source, one format of labelled images, in two halves.

The first half describes the set without loading it: keys, class names, mistakes, identity. The check of a configuration
calls it, so it imports nothing heavy. The second half, `read`, returns the images and imports what it needs.

A new format is one file in this package, with a subclass of `Source` and a function that returns an `ImageSet`, and a
line in `tlx.building.listed.SOURCES`. A user's own source is a subclass or just a function, see `dataset._target_`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

from tlx.base.errors import Mistake, TlxError, did_you_mean
from tlx.building.safety import locate
from tlx.data.augmentation.names import MOSAIC
from tlx.data.box_labels import BoxLabels
from tlx.data.files.image_files import DICOM, INSTALL_DICOM
from tlx.data.files.walk import skipping_unreadable
from tlx.data.labels import CLASSES
from tlx.data.sources import keys
from tlx.data.sources.keys import ObjectKeys, SourceKeys
from tlx.data.splits.samples import ImageSet
from tlx.data.splits.typed_classes import class_called

_LATER = ("repeats", "min_side", "max_side")  # keys of a set in crops, or with boxes, that its source does not need


class Source(ABC):
    """The source of the images of a dataset node.

    Subclasses define `read`, and override the other methods as far as the set is known without loading.

    Args:
        node: The composed node, as plain values. Before the check, a key may be missing or `???`, see `is_set`.
    """

    keys: ClassVar[type[SourceKeys]] = SourceKeys  # the node's keys, with types and ranges
    has_further_keys: ClassVar[bool] = False  # whether the node may have keys that `keys` does not list
    labels: str = "classes"  # name of the kind of labels that it reads, see `LabelKind.name`
    gives: ClassVar[
        tuple[str, ...]
    ] = ()  # kinds of labels that its key `labels` chooses from; the first is the default
    chooses_classes: ClassVar[bool] = False  # whether its key `classes` selects some of the set's classes
    least_chosen: ClassVar[int] = 2  # how many it must select
    lists_files: ClassVar[bool] = True  # whether `read` lists files, which needs no torch, or returns images in memory
    is_enlarged: ClassVar[bool] = False  # whether its images are always enlarged: small ones then cause no warning

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.node = node
        if self.gives:
            self.labels = str(node.get("labels") or self.gives[0])
        if self.makes_crops:
            self.labels = CLASSES.name

    # What a format defines

    def all_class_names(self) -> list[str] | None:
        """Return all class names in the order of their indices, before `classes` selects; None if not known yet.

        Raises:
            TlxError: The set does not exist; `own_mistakes` reports that.
        """
        return None

    def own_mistakes(self) -> list[Mistake]:
        """Return the mistakes of a node whose keys have the right types; a key that is `???` is skipped."""
        return []

    def content(self) -> dict[str, Any] | None:
        """Return the part of a run's identity that replaces the node's paths, see `identity`.

        Raises:
            TlxError, OSError, KeyError, TypeError: The paths do not exist.
        """
        return None

    def file_names(self) -> Iterable[str]:
        """Return the known file names; they determine which libraries are needed to read the files."""
        return ()

    @abstractmethod
    def read(self) -> ImageSet:
        """Return the images with all their classes, without opening the files.

        Raises:
            TlxError: The set does not exist or cannot be parsed.
        """

    # What tlx calls

    def class_names(self) -> list[str] | None:
        """Return the class names in the order of their indices; None if not known without loading."""
        with self._skipping_unreadable():
            known = self._all_class_names()
        if self.chooses_classes and self.node.get("classes") is not None:
            return [class_called(name, known or ()) for name in self.node["classes"]]
        return known

    def num_classes(self) -> int | None:
        """Return the number of classes; None if not known without loading."""
        names = self.class_names()
        return None if names is None else len(names)

    def mistakes(self) -> list[Mistake]:
        """Return the mistakes of a node whose keys are complete and have the right types."""
        with self._skipping_unreadable():
            found = self.own_mistakes()
            common = [*keys.mistakes(self.node), *self._box_mistakes(), *self._classes_mistakes()]
            return [*found, *common, *(() if found else self._missing_pydicom())]

    def identity(self) -> dict[str, Any] | None:
        """Return the part of a run's identity that replaces the node's keys `root` and `path`.

        It does not depend on the set's folder, and changes if its files change. {} means that the name identifies the
        set, None that the paths themselves do, {"missing": True} that the set does not exist.
        """
        try:
            with self._skipping_unreadable():
                return self.content()
        except (TlxError, OSError, KeyError, TypeError):
            return {"missing": True}

    def load(self) -> ImageSet:
        """Return the images of the selected classes.

        Raises:
            TlxError: A class does not exist; or `read` failed.
        """
        images = self.read()
        classes = self.node.get("classes") if self.chooses_classes else None
        return images if classes is None else images.only(classes)

    def finished(self, images: ImageSet) -> ImageSet:
        """Return what is trained on, from the set of `load` without its broken images: that set, or its objects."""
        if not self.makes_crops:
            return images
        from tlx.data.object_crops import object_crops

        return object_crops(images, float(self.node.get("crop_margin", ObjectKeys.crop_margin)))

    @property
    def makes_crops(self) -> bool:
        """Whether the objects of images with boxes are the images of a classification."""
        return issubclass(self.keys, ObjectKeys) and bool(self.node.get("crops"))

    # For subclasses

    def is_set(self, key: str) -> bool:
        """Return whether a key has a value."""
        return self.node.get(key) not in (None, "", "???")

    def path(self, key: str) -> Path:
        """Return the path that a key holds."""
        return Path(self.node[key]).expanduser()

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `read`: the node's own keys."""
        found = keys.arguments(self.node, self.keys)
        return {key: value for key, value in found.items() if key != "classes" or not self.chooses_classes}

    def _skipping_unreadable(self) -> Any:
        return skipping_unreadable(self.node.get("on_bad") == "skip")

    def _all_class_names(self) -> list[str] | None:
        try:
            return self.all_class_names()
        except TlxError:
            return None

    def _box_mistakes(self) -> Iterator[Mistake]:
        if self.labels != BoxLabels.name and self.node.get("augment") == MOSAIC:
            expected = f"an augmentation other than mosaic for {self.labels}: it is about images with boxes"
            yield Mistake("dataset.augment", expected, "'mosaic'", "type dataset.augment=light")
        for key in ("min_side", "max_side"):
            if self.labels != BoxLabels.name and self.node.get(key) is not None:
                expected, hint = f"null for {self.labels}: it is about images with boxes", "type dataset.image_size=N"
                yield Mistake(f"dataset.{key}", expected, str(self.node[key]), hint)

    def _classes_mistakes(self) -> Iterator[Mistake]:
        classes = self.node.get("classes")
        if not self.chooses_classes or not isinstance(classes, list):
            return
        known = self._all_class_names()
        chosen = [class_called(name, known or ()) for name in classes]
        unknown = [name for name in chosen if known is not None and name not in known]
        if unknown or len(set(chosen)) != len(chosen) or len(chosen) < self.least_chosen:
            least = "at least two" if self.least_chosen == 2 else "one or more"
            expected = f"{least} different classes" + ("" if known is None else f" of {', '.join(known[:40])}")
            hint = did_you_mean(unknown[0], known or []) if unknown else ""
            yield Mistake("dataset.classes", expected, str(chosen), hint)

    def _missing_pydicom(self) -> Iterator[Mistake]:
        """Yield one mistake if DICOM files need pydicom, instead of an error for each file; pydicom is not imported."""
        if find_spec("pydicom") is not None:
            return
        first = next((file for file in self.file_names() if os.path.splitext(file)[1].lower() in DICOM), None)
        if first is not None:
            yield Mistake("dataset", f"pydicom, to read DICOM files such as {first}", "none", f"type: {INSTALL_DICOM}")


class OwnSource(Source):
    """A user's function that returns an `ImageSet`. Nothing is known about the set before it is called."""

    has_further_keys = True
    lists_files = False  # not known

    def mistakes(self) -> list[Mistake]:
        """Return no mistakes: the function defines the meaning of keys such as `test_fraction` or `classes`."""
        return []

    def read(self) -> ImageSet:
        """Call the function with the node's own keys, `name`, `val_fraction` and `split_seed`.

        Keys that tlx uses once the set is there, such as `min_side` of boxes, are passed if the function takes them.
        """
        function = locate(str(self.node["_target_"]))
        taken = signature(function).parameters
        takes_all = any(one.kind is one.VAR_KEYWORD for one in taken.values())
        given = {key: v for key, v in self.arguments.items() if takes_all or key in taken or key not in _LATER}
        images: ImageSet = function(**given)
        return images


def mistake_at(error: TlxError, keys: Iterable[str], otherwise: Mistake) -> Mistake:
    """Return a mistake at the key of the node that an error begins with, or `otherwise` if it begins with none.

    Args:
        error: The error.
        keys: Keys of the node.
        otherwise: The mistake for other errors.
    """
    paths = (f"dataset.{key}" for key in keys)
    return next((mistake_of(error, path) for path in paths if str(error).startswith(f"{path}: expected ")), otherwise)


def mistake_of(error: TlxError, path: str) -> Mistake:
    """Return a mistake from a message of the form `path: expected …, got …; hint`."""
    expected, _, rest = str(error).removeprefix(f"{path}: expected ").rpartition(", got ")
    got, _, hint = rest.partition("; ")
    return Mistake(path, expected, got, hint)
