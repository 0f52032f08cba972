"""What the sources of images with boxes share: their keys, their check and how a listing becomes a set."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tlx.base.errors import Mistake
from tlx.data.box_labels import BoxLabels
from tlx.data.sources.base import Source
from tlx.data.sources.box_listing import BoxListing, counts
from tlx.data.sources.keys import BoxKeys, Classes, ObjectKeys, RootKeys
from tlx.data.sources.set_folder import names_below, unread
from tlx.data.sources.turns import Frame
from tlx.data.splits.groups import groups_by_pattern
from tlx.data.splits.samples import ImageSet, Sample


@dataclass
class BoxedKeys(RootKeys, BoxKeys, ObjectKeys):
    """The keys of a folder of images with boxes."""

    classes: Classes | None = None
    exif: Frame = None


class BoxSource(Source):
    """Images with boxes, in files that are listed before an image is opened."""

    keys = BoxedKeys
    labels = BoxLabels.name
    chooses_classes = True
    least_chosen = 1
    own_keys: ClassVar[tuple[str, ...]] = ()  # further keys that errors of `listing` may begin with

    @abstractmethod
    def listing(self) -> BoxListing:
        """Return what the files say.

        Raises:
            TlxError: There are no images with boxes, or the layout is not understood.
        """

    def all_class_names(self) -> list[str] | None:
        """Return the names of the classes."""
        return self.listing().class_names if self.is_set("root") else None

    def own_mistakes(self) -> list[Mistake]:
        """Return whether there is no such folder, and what is not understood of its files."""

        def grouped() -> None:
            listing = self.listing()
            if self.node.get("group_pattern") is not None:
                groups_by_pattern(listing.names, self.node["group_pattern"])

        return unread(self, grouped, "images with boxes", ("group_pattern", *self.own_keys))

    def content(self) -> dict[str, Any]:
        """Return a hash of the classes and of the names, relative to `root`, sizes, splits and objects of images."""
        return self.listing().content()

    def file_names(self) -> Iterator[str]:
        """Return the names of all files below `root`."""
        return names_below(self)


def boxed_set(
    listing: BoxListing,
    name: str,
    exif: Frame,
    group_pattern: str | None,
    fractions: tuple[float, float],
    seed: int,
) -> ImageSet:
    """Return the set of a listing; all images are opened, unless an earlier call did.

    Args:
        listing: What its files say.
        name: Name of the set.
        exif: As what images with an EXIF orientation were when they were annotated, where sizes leave that open.
        group_pattern: See `tlx.data.splits.groups.groups_by_pattern`.
        fractions: For validation and for test, where they are carved.
        seed: Of the splits that are carved.

    Raises:
        TlxError: The pattern finds nothing in a name.
    """
    from tlx.data.reading.inspection import decoding, file_facts
    from tlx.data.sources.box_repairs import repaired
    from tlx.data.sources.set_splits import image_set

    names = listing.names
    with decoding(True):
        facts = file_facts([one.image for one in listing.images])
    labels, notes = repaired(facts, [one.written for one in listing.images], names, exif)
    groups = [None] * len(names) if group_pattern is None else groups_by_pattern(names, group_pattern)
    samples: dict[str | None, list[Sample]] = {}
    for one, label, own, group in zip(listing.images, labels, names, groups, strict=True):
        samples.setdefault(one.split, []).append(Sample(one.image, label, own, group))
    kind = BoxLabels(max((len(label) for label in labels), default=0))
    images = image_set(name, listing.class_names, samples, listing.split_by, fractions, seed, kind)
    rule = f"{images.rule}; {listing.said}; {counts(listing.images)}"
    return replace(images, rule=rule, notes=(*listing.notes, *notes))
