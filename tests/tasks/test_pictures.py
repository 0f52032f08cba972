"""The pictures of few and many classes, and what is in them."""

from __future__ import annotations

import itertools
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tlx.measures import drawing
from tlx.measures.confusion import class_figures, reliability
from tlx.tasks.classification import pictures
from tlx.tasks.shown import showable


def some_confusion(classes: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(classes)
    return torch.randint(0, 3, (classes, classes), generator=generator) + 20 * torch.eye(classes, dtype=torch.int64)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 10, 120, 300])
def test_a_confusion_matrix_is_readable_for_any_number_of_classes(classes, tmp_path):
    """Guards against names that overlap or are left out, and pictures too large for a browser."""
    names = [f"class number {i}" for i in range(classes)]
    figure = pictures.confusion_picture(some_confusion(classes), names)
    pixels = drawing.pixels_of(figure)
    drawing.write_png(pixels, tmp_path / "c.png")
    assert pixels.shape[2] == 3
    assert max(pixels.shape) < 3000
    axes = figure.axes[0]
    labels = axes.get_yticklabels()
    assert len(labels) >= min(classes, 100)
    assert [label.get_text() for label in labels[:2]] == [names[0], names[1 if classes <= 130 else 3]]
    boxes = [label.get_window_extent() for label in labels]
    upper = [a.y0 - b.y1 for a, b in itertools.pairwise(boxes)]
    assert min(upper) > -2  # pixels: rows of text do not cover one another
    assert boxes[0].x0 >= 0  # nor are they cut off
    assert np.array(Image.open(tmp_path / "c.png")).shape == pixels.shape


def test_the_confusion_matrix_has_true_classes_as_rows_and_fractions_of_rows_as_colours():
    """Guards against exchanged axes, and colours by column or by all images."""
    figure = pictures.confusion_picture(torch.tensor([[3, 1], [0, 0]]), ["cat", "dog"])
    axes = figure.axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {((0, 0), "3"), ((1, 0), "1")}
    assert axes.images[0].get_extent()[2] > axes.images[0].get_extent()[3]  # the first row is the upper one


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 120, 300])
def test_the_bars_are_precision_and_recall_of_the_class_beside_them(classes, tmp_path):
    """Guards against bars in another order than the names, and pictures of hundreds of classes without end."""
    names = [f"class {i}" for i in range(classes)]
    figures = class_figures(some_confusion(classes))
    figure = pictures.class_picture(figures, names)
    pixels = drawing.pixels_of(figure)
    drawing.write_png(pixels, tmp_path / "b.png")
    assert max(pixels.shape) < 4000
    axes = figure.axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == min(classes, 120)
    bars = [[bar.get_width() for bar in group] for group in axes.containers]
    for row, label in enumerate(shown):
        place = names.index(label.rpartition(" (")[0])
        assert bars[0][row] == pytest.approx(float(figures.precision[place]))
        assert bars[1][row] == pytest.approx(float(figures.recall[place]))


def test_the_reliability_curve_is_drawn_for_one_image_too(tmp_path):
    """Guards against empty bins that break the picture."""
    found = reliability(torch.tensor([0.7]), torch.tensor([False]))
    figure = pictures.reliability_picture(found)
    drawing.pixels_of(figure)
    assert "0.700" in figure.axes[0].get_title()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_images_of_any_number_of_channels_are_shown(channels):
    """Guards against pictures of gray, transparent or multispectral images that matplotlib refuses."""
    image = torch.arange(channels * 6, dtype=torch.uint8).view(channels, 2, 3)
    shown = showable(image)
    assert shown.shape == (2, 3, 3)
    assert shown[..., 0].tolist() == image[0].tolist()
    assert shown[..., 2].tolist() == image[2 if channels > 2 else 0].tolist()


@pytest.mark.parametrize("count", [1, 5, 7])
def test_the_grid_holds_every_image_under_its_caption(count, tmp_path):
    """Guards against the last row that is lost, and captions of the neighbour; `$` and `_` are no formula."""
    images = [torch.full((3, 8, 8), i, dtype=torch.uint8) for i in range(count)]
    figure = pictures.wrong_picture(images, [drawing.short(f"$_{i}^$.png") for i in range(count)])
    drawing.pixels_of(figure)
    shown = [(axes.images[0].get_array()[0, 0, 0], axes.get_title()) for axes in figure.axes if axes.images]
    assert shown == [(i, rf"\$_{i}^\$.png") for i in range(count)]


@pytest.mark.slow
def test_neither_pyplot_nor_the_users_backend_is_touched():
    """Guards against a notebook whose own figures vanish after a run."""
    import subprocess

    code = (
        "import matplotlib, torch, pathlib, tempfile\n"
        "matplotlib.use('svg')\n"
        "from tlx.measures import drawing\n"
        "from tlx.tasks.classification import pictures\n"
        "path = pathlib.Path(tempfile.mkdtemp()) / 'c.png'\n"
        "figure = pictures.confusion_picture(torch.eye(2, dtype=torch.int64), ['a', '中'])\n"
        "drawing.write_png(drawing.pixels_of(figure), path)\n"
        "import sys\n"
        "print(matplotlib.get_backend(), 'matplotlib.pyplot' in sys.modules, path.is_file())"
    )
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["svg", "False", "True"], done.stderr


def test_no_text_is_handed_to_tex(tmp_path, monkeypatch):
    """Guards against a matplotlibrc of the working directory, which can have names of classes read by a program."""
    from matplotlib import rc_context

    program = tmp_path / "latex"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path / 'mark'}'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    confusion = torch.tensor([[3, 1], [2, 4]])
    with rc_context({"text.usetex": True}):
        with pytest.raises(RuntimeError, match="latex"):
            drawing.pixels_of(pictures.confusion_picture(confusion, ["a", "b"]))
        (tmp_path / "mark").unlink()  # the program was called
        with drawing.without_tex():
            drawing.pixels_of(pictures.confusion_picture(confusion, ["a", "b"]))
    assert not (tmp_path / "mark").exists()


def test_long_names_are_shortened_in_the_middle():
    """Guards against a file name that pushes its picture aside."""
    assert drawing.short("a" * 30 + "z.png") == "a" * 12 + "…" + "a" * 6 + "z.png"
    assert drawing.short("short") == "short"
