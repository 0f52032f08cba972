"""The review of a finished run: pictures, tables and figures of its test split, from one pass over it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger

from tlx.base.files import write_text
from tlx.base.printable import one_line
from tlx.data.datamodule import ImageDataModule
from tlx.measures.names import is_of_a_class
from tlx.records.directory import RunDirectory
from tlx.review import pictures, tables
from tlx.review.hparams import Plain, best_figures, write_hparams
from tlx.review.projector import FILES as PROJECTOR
from tlx.review.projector import write_projector
from tlx.review.recorder import TestOutputs
from tlx.review.summary import Summary, summarise

log = logging.getLogger("tlx")


def report(
    run: RunDirectory,
    hyperparameters: Mapping[str, Plain],
    data: ImageDataModule,
    outputs: TestOutputs | None,
    figures: Mapping[str, float],
    logger: Logger | bool | None,
) -> dict[str, float]:
    """Write the review of a run: test_predictions.csv; with a logger also `review/`, and all of it into TensorBoard.

    Everything is logged at the step `train/steps`. A picture that cannot be drawn is a warning: the run is worth more.

    Args:
        run: The run.
        hyperparameters: Its row in the table of runs, from `tlx.config.hyperparameters`.
        data: Where the images are from.
        outputs: From the TestRecorder of the test; None where there was no test image.
        figures: The run's final figures.
        logger: Of training or a new one; none (None or False): no matplotlib, no pictures.

    Returns:
        Further figures, see `Summary.figures`.
    """
    summary = None if outputs is None else summarise(outputs, data.class_names, data.sample_groups("test"))
    more = {} if summary is None else summary.figures()
    figures = {**figures, **more}
    step = int(figures["train/steps"])
    if outputs is not None:
        images = [_image_name(data, index) for index in outputs.index.tolist()]
        run.files.add("test_predictions.csv")
        write_text(run.directory / "test_predictions.csv", tables.predictions_csv(outputs, images, data.class_names))
    if not isinstance(logger, Logger):
        return more
    # Figures of classes would be a hundred charts of one point each; their table is among the texts.
    tested = {n: value for n, value in figures.items() if n.startswith("test/") and not is_of_a_class(n)}
    logger.log_metrics({**tested, **best_figures(figures)}, step)
    writer = logger.experiment if isinstance(logger, TensorBoardLogger) else None
    if writer is not None:
        with _worth_a_warning("hparams"):
            write_hparams(writer, hyperparameters, run.directory.name, step)
    if outputs is not None and summary is not None:
        _review(run, data, outputs, summary, figures, writer, step)
    if writer is not None and outputs is not None and len(outputs.embedded):
        with _worth_a_warning("projector"):
            folder = Path(logger.log_dir or run.directory)
            if folder.resolve() == run.directory.resolve():
                run.files.add(*PROJECTOR)
            _project(folder, data, outputs)
    logger.save()
    if writer is not None:
        writer.close()
    return more


def _review(
    run: RunDirectory,
    data: ImageDataModule,
    outputs: TestOutputs,
    summary: Summary,
    figures: Mapping[str, float],
    writer: Any,
    step: int,
) -> None:
    folder = run.directory / "review"
    names, confusion, per_class = data.class_names, summary.confusion, summary.per_class
    wrong = _wrong_rows(data, outputs)
    drawn: dict[str, Callable[[], Any]] = {
        "confusion_matrix": lambda: pictures.confusion_picture(confusion, names),
        "precision_recall": lambda: pictures.class_picture(per_class, names),
        "reliability": lambda: pictures.reliability_picture(summary.calibration),
        "wrong": lambda: pictures.wrong_picture(outputs.wrong_images, [_caption(*row[:4]) for row in wrong]),
    }
    if not wrong:
        del drawn["wrong"]
    run.files.remove("review/wrong.png")
    run.files.add("review/review.md", *(f"review/{name}.png" for name in drawn))
    for name, figure in drawn.items():
        with _worth_a_warning(f"{name}.png"), pictures.without_tex():
            pixels = pictures.draw(figure(), folder / f"{name}.png")
            if writer is not None:
                writer.add_image(f"review/{name}", pixels, step, dataformats="HWC")
    texts = {
        "per_class": tables.class_table(per_class, confusion, names),
        "sensitivity_and_specificity": tables.detection_table(summary),
        "most_confidently_wrong": tables.wrong_table(wrong),
    }
    if writer is not None:
        for name, text in texts.items():
            writer.add_text(f"review/{name}", text, step)
    parts = [f"# {one_line(folder.parent.name)}", tables.figures_table(figures)]
    parts += ["## Classes", texts["per_class"]]
    parts += ["## Each class against all others", texts["sensitivity_and_specificity"]]
    parts += ["## The most confidently wrong images", texts["most_confidently_wrong"]]
    parts += [f"![{name}]({name}.png)" for name in drawn if (folder / f"{name}.png").is_file()]
    write_text(folder / "review.md", "\n\n".join(parts) + "\n")


def _project(directory: Path, data: ImageDataModule, outputs: TestOutputs) -> None:
    place = {index: i for i, index in enumerate(outputs.index.tolist())}
    rows = []
    for index in outputs.embedded.tolist():
        true, called = int(outputs.target[place[index]]), int(outputs.predicted[place[index]])
        verdict = "right" if true == called else "wrong"
        rows.append([_image_name(data, index), data.class_names[true], data.class_names[called], verdict])
    columns = ["image", "true", "predicted", "verdict"]
    write_projector(directory, outputs.features, outputs.thumbnails, columns, rows)


def _wrong_rows(data: ImageDataModule, outputs: TestOutputs) -> list[tuple[str, str, str, float, float]]:
    place = {index: i for i, index in enumerate(outputs.index.tolist())}
    rows = []
    for index in outputs.wrong:
        i = place[index]
        true, called = data.class_names[int(outputs.target[i])], data.class_names[int(outputs.predicted[i])]
        probabilities = float(outputs.confidence[i]), float(outputs.true_probability[i])
        rows.append((_image_name(data, index), true, called, *probabilities))
    return rows


def _caption(image: str, true: str, called: str, probability: float) -> str:
    lines = pictures.short(image, 30), f"true: {pictures.short(true)}", f"predicted: {pictures.short(called)}"
    return "\n".join(lines) + f" ({probability:.2f})"


def _image_name(data: ImageDataModule, index: int) -> str:
    return data.splits["test"].samples[index].name


@contextmanager
def _worth_a_warning(what: str) -> Iterator[None]:
    """Let a run end well although a part of its review could not be made."""
    try:
        yield
    except Exception as error:
        log.warning("review: expected to write %s, got %s: %s", what, type(error).__name__, error)
