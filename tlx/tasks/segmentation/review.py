"""The review of a segmentation's test split: tables, pictures and metrics from one pass over the images."""

from __future__ import annotations

from collections.abc import Sequence

from tlx.data.datamodule import ImageDataModule
from tlx.measures.class_cells import by_class
from tlx.measures.drawing import short
from tlx.measures.sections import Picture, Sections
from tlx.tasks.recorded import Recorded
from tlx.tasks.segmentation import pictures, tables
from tlx.tasks.segmentation.outputs import TestOutputs
from tlx.tasks.segmentation.summary import Summary, summarise


def review_sections(data: ImageDataModule, seen: Recorded | None, compared: Sequence[str] = ()) -> Sections:
    """Return the review of a test split.

    Args:
        data: The data set of the images.
        seen: The recorded outputs; None if there was no test image.
        compared: Names of the figures by which runs are compared.
    """
    if seen is None:
        return Sections(compared=compared)
    outputs = TestOutputs.of(seen)
    summary = summarise(outputs, data.class_names, data.sample_groups("test"))
    samples = data.splits["test"].samples
    images = [samples[index].name for index in outputs.index.tolist()]
    classes = tables.class_tables(summary)
    return Sections(
        figures=summary.figures(),
        compared=compared,
        resampled=summary.intervals.tested,
        units=summary.intervals.units,
        predictions=tables.predictions_table(summary, images),
        by_class=by_class(classes.tables[0], "images", ("IoU", "Dice", "precision", "recall"), "IoU"),
        tables=[classes, tables.worst_tables(summary, outputs, images)],
        pictures=_pictures(summary, outputs, images),
    )


def _pictures(summary: Summary, outputs: TestOutputs, images: Sequence[str]) -> list[Picture]:
    names = summary.names
    drawn = [
        Picture("confusion_matrix", lambda: pictures.confusion_picture(summary.confusion, names)),
        Picture("areas", lambda: pictures.areas_picture(*summary.shares(), names)),
    ]
    if outputs.worst_images:
        place = {index: i for i, index in enumerate(outputs.index.tolist())}
        worst = [place[index] for index in outputs.worst]
        captions = [f"{short(images[i], 30)}, IoU {float(summary.image_ious[i]):.3f}" for i in worst]
        background = summary.background
        worst_picture = Picture(
            "worst", lambda: pictures.worst_picture(outputs.worst_images, captions, names, background)
        )
        drawn.append(worst_picture)
    return drawn
