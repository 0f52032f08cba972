"""Put annotated images into splits: those of the set, or carved ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tlx.data.labels import LabelKind
from tlx.data.splits.division import carve, carve_val
from tlx.data.splits.samples import ImageSet, Sample, Split


def image_set(
    name: str,
    class_names: list[str],
    samples: Mapping[str | None, Sequence[Sample]],
    said: str,
    fractions: tuple[float, float],
    seed: int,
    labels: LabelKind,
) -> ImageSet:
    """Return a set; with train and val only, val is the test split, and validation is carved from train.

    Args:
        name: Of the set.
        class_names: Of the set.
        samples: By split, `train` among them; None: all samples, which are in no split.
        said: What names the splits: `folders`.
        fractions: For validation and for test, where they are carved.
        seed: Of the splits that are carved.
        labels: Kind of the samples' labels.
    """
    parts = {part: Split([*own]) for part, own in samples.items()}
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    train = parts.get("train") or parts.get(None, Split([]))
    val, test = fractions
    if "test" not in parts:
        return carve(name, class_names, train, val, test, seed, labels)
    if "val" not in parts:
        return carve_val(name, class_names, train, parts["test"], val, seed, labels)
    rule = f"train, val and test by {said}"
    return ImageSet(name, class_names, train, parts["val"], parts["test"], rule, labels=labels)
