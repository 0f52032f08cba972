"""The review of a classifier's test split: tables, pictures and metrics from one pass over the images."""

from __future__ import annotations

import numpy as np

from tlx.data.datamodule import ImageDataModule
from tlx.measures.class_cells import by_class
from tlx.measures.drawing import short
from tlx.measures.sections import Embedding, Picture, Sections
from tlx.tasks.classification import pictures, tables
from tlx.tasks.classification.kind import ClassificationKind
from tlx.tasks.classification.outputs import TestOutputs
from tlx.tasks.classification.summary import Summary, summarise
from tlx.tasks.shown import showable


def review_sections(data: ImageDataModule, outputs: TestOutputs | None) -> Sections:
    """Return the review of a test split.

    Args:
        data: The data set of the images.
        outputs: The recorded outputs; None if there was no test image.
    """
    if outputs is None:
        return Sections(compared=ClassificationKind.compared)
    names = data.class_names
    summary = summarise(outputs, names, data.sample_groups("test"))
    images = [_image_name(data, index) for index in outputs.index.tolist()]
    wrong = _wrong_rows(outputs, images, names)
    classes = tables.class_tables(summary.per_class, summary.confusion, names)
    return Sections(
        figures=summary.figures(),
        compared=ClassificationKind.compared,
        resampled=summary.intervals.tested,
        units=summary.intervals.units,
        predictions=tables.predictions_table(outputs, images, names),
        by_class=by_class(classes.tables[0], "images", ("precision", "recall", "F1"), "F1"),
        tables=[
            classes,
            tables.detection_tables(summary),
            tables.wrong_tables(wrong),
        ],
        pictures=_pictures(summary, outputs, wrong),
        embedding=_embedding(outputs, images, names),
    )


def _pictures(summary: Summary, outputs: TestOutputs, wrong: list[tuple[str, str, str, float, float]]) -> list[Picture]:
    names = summary.names
    drawn = [
        Picture("confusion_matrix", lambda: pictures.confusion_picture(summary.confusion, names)),
        Picture("precision_recall", lambda: pictures.class_picture(summary.per_class, names)),
        Picture("reliability", lambda: pictures.reliability_picture(summary.calibration)),
    ]
    if wrong:
        captions = [_caption(*row[:4]) for row in wrong]
        drawn.append(Picture("wrong", lambda: pictures.wrong_picture(outputs.wrong_images, captions)))
    return drawn


def _embedding(outputs: TestOutputs, images: list[str], names: list[str]) -> Embedding | None:
    if not len(outputs.embedded) or len(outputs.thumbnails) != len(outputs.embedded):  # no thumbnails were kept
        return None
    place = {index: i for i, index in enumerate(outputs.index.tolist())}
    rows = []
    for index in outputs.embedded.tolist():
        i = place[index]
        true, predicted = int(outputs.target[i]), int(outputs.predicted[i])
        rows.append([images[i], names[true], names[predicted], "right" if true == predicted else "wrong"])
    thumbnails = np.stack([showable(image) for image in outputs.thumbnails])
    columns = ["image", "true", "predicted", "verdict"]
    return Embedding("test images", outputs.features.numpy(), thumbnails, columns, rows)


def _wrong_rows(outputs: TestOutputs, images: list[str], names: list[str]) -> list[tuple[str, str, str, float, float]]:
    place = {index: i for i, index in enumerate(outputs.index.tolist())}
    rows = []
    for index in outputs.wrong:
        i = place[index]
        true, predicted = names[int(outputs.target[i])], names[int(outputs.predicted[i])]
        rows.append((images[i], true, predicted, float(outputs.confidence[i]), float(outputs.true_probability[i])))
    return rows


def _caption(image: str, true: str, predicted: str, probability: float) -> str:
    lines = short(image, 30), f"true: {short(true)}", f"predicted: {short(predicted)}"
    return "\n".join(lines) + f" ({probability:.2f})"


def _image_name(data: ImageDataModule, index: int) -> str:
    return data.splits["test"].samples[index].name
