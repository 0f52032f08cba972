"""The review of a detection's test split: tables, pictures and metrics from one pass over the images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tlx.data.datamodule import ImageDataModule
from tlx.measures.class_cells import by_class
from tlx.measures.sections import Picture, Sections
from tlx.tasks.detection import pictures, tables
from tlx.tasks.detection.class_confusion import class_confusion
from tlx.tasks.detection.mistakes import confident_errors, missed_objects
from tlx.tasks.detection.outputs import TestOutputs
from tlx.tasks.detection.summary import summarise
from tlx.tasks.recorded import Recorded

LISTED = 50  # false detections, and missed objects


def review_sections(
    data: ImageDataModule, seen: Recorded | None, thresholds: Tensor, compared: Sequence[str] = ()
) -> Sections:
    """Return the review of a test split.

    Args:
        data: The data set of the images.
        seen: The recorded outputs; None if there was no test image.
        thresholds: The score of each class (K,) from which a detection is shown.
        compared: Names of the figures by which runs are compared.
    """
    if seen is None:
        return Sections(compared=compared)
    outputs, names = TestOutputs.of(seen), data.class_names
    summary = summarise(outputs, names, thresholds.float().cpu().numpy(), data.sample_groups("test"))
    samples, index = data.splits["test"].samples, outputs.index.tolist()
    images = [samples[i].name for i in index]
    confusion = class_confusion(outputs, summary)
    errors = confident_errors(summary.matches, summary.verdicts, LISTED)
    missed = missed_objects(summary.matches, summary.verdicts, LISTED)
    rows = tables.predictions_table(summary, images)
    place = {one: i for i, one in enumerate(index)}
    worst = [place[one] for one in outputs.worst]

    def read(i: int) -> Tensor:
        return data.test_images(torch.tensor([index[i]]))[0]

    drawn = [
        Picture("confusion_matrix", lambda: pictures.confusion_picture(confusion, names)),
        Picture("precision_recall", lambda: pictures.curves_picture(summary)),
        Picture("sizes", lambda: pictures.sizes_picture(summary)),
    ]
    if outputs.worst_images:
        drawn.append(Picture("worst", lambda: pictures.worst_picture(outputs, summary, worst, images)))
    if errors:
        drawn.append(Picture("false_detections", lambda: pictures.crops_picture(errors, names, images, read)))
    if missed:
        drawn.append(Picture("missed_objects", lambda: pictures.crops_picture(missed, names, images, read)))
    classes = tables.class_tables(summary, confusion)
    return Sections(
        figures=summary.figures(),
        compared=compared,
        resampled=summary.intervals.tested,
        units=summary.intervals.units,
        predictions=rows,
        by_class=by_class(classes.tables[0], "objects", ("AP", "AP50", "precision", "recall"), "AP"),
        tables=[
            classes,
            *tables.error_tables(errors, missed, names, images),
            tables.worst_tables(rows, worst),
        ],
        pictures=drawn,
    )
