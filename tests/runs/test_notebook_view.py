"""Runs as a notebook shows them: a line, a table, curves, wrong test images."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tlx
from tests.features.test_features_strategy import DIGITS as FEATURES
from tests.tasks.detection.test_runs import PROBE as BOXES
from tests.tasks.segmentation.test_runs import PROBE as MASKS
from tlx import Run, TlxError
from tlx.backbones.preprocessing import Preprocessing
from tlx.data import ImageDataModule
from tlx.inference.seen_images import seen_images
from tlx.tasks.shown import showable


def table_of(run: Run) -> list[dict[str, str]]:
    return list(csv.DictReader((run.directory / "test_predictions.csv").open(newline="", encoding="utf-8")))


def test_the_package_lists_its_public_names_and_imports_no_torch() -> None:
    """Guards against a completion full of rooms, and against a notebook that waits for torch before it needs it."""
    code = "import sys, tlx; tlx.compose; assert 'torch' not in sys.modules; print(*dir(tlx))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "ConfigError",
        "Run",
        "TlxError",
        "__version__",
        "atlas",
        "audit",
        "compose",
        "train",
    ]
    assert set(dir(tlx)) == set(tlx.__all__)


@pytest.mark.run
def test_a_run_is_one_line(tiny_run, tmp_path) -> None:
    """Guards against a line without the figure, and against an error in place of a line where there is no run."""
    low, high = (tiny_run.metrics[f"test/accuracy_{end}"] for end in ("low", "high"))
    figure = f"test/accuracy {tiny_run.metrics['test/accuracy']:.4f} ({low:.4f} to {high:.4f})"
    assert repr(tiny_run) == f"<Run {tiny_run.directory}: finished, {figure}>"
    assert repr(Run(tmp_path / "none")) == f"<Run {tmp_path / 'none'}: not begun>"
    assert "not begun" in Run(tmp_path / "none")._repr_html_()


class Texts(HTMLParser):
    """The texts and links of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.run
def test_a_run_is_a_table_without_the_code_of_its_names(tiny_run, tmp_path, monkeypatch) -> None:
    """Guards against names from elsewhere that a notebook runs as scripts, and against links that lead nowhere."""
    odd = tmp_path / "<script>alert(1)"
    run = Run(shutil.copytree(tiny_run.directory, odd))
    (odd / "review" / 'a" onclick="b.png').touch()
    settings = odd / "settings.json"
    settings.write_text(settings.read_text().replace('"small_cnn"', '"<img src=x>"'))
    monkeypatch.chdir(tmp_path)
    page = Texts(Run(Path(odd.name))._repr_html_())
    assert page.tags == {"p", "b", "table", "tr", "th", "td", "a"}
    assert "<img src=x>" in page.texts
    assert f"{run.metrics['test/accuracy']:.4f}" in page.texts
    assert "wrong" in page.texts
    assert len(page.links) == len(list((odd / "review").glob("*.png"))) > 3
    from urllib.parse import unquote

    assert all((tmp_path / unquote(link)).is_file() for link in page.links)


@pytest.mark.run
def test_curves_show_stages_and_rates(tiny_run, finished) -> None:
    """Guards against curves of other columns, stages without a border, and a rate of 0 on a logarithmic axis."""
    figure = tiny_run.plot()
    loss, accuracy, rates = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    rows = list(csv.DictReader((tiny_run.directory / "metrics.csv").open(newline="")))
    drawn = {line.get_label(): line for line in loss.get_lines()}
    assert drawn["val"].get_ydata().tolist() == [float(row["val/loss"]) for row in rows]
    assert drawn["val"].get_xdata().tolist() == [1, 2, 3]
    assert [text.get_text() for text in loss.texts] == ["dense", "conv", "full"]
    borders = [line for line in accuracy.get_lines() if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in borders] == [1.5, 2.5]
    points = {line.get_label(): int(np.isfinite(line.get_ydata()).sum()) for line in rates.get_lines()}
    assert (points["head"], points["stem"]) == (3, 1)
    assert Image.open(io.BytesIO(figure._repr_png_())).size[0] == 750
    with pytest.raises(TlxError, match="strategy=features has no epochs"):
        finished(*FEATURES).plot()
    with pytest.raises(TlxError, match="no such directory"):
        Run("no/such/run").plot()


@pytest.mark.run
def test_wrong_images_are_those_of_the_table_the_most_confident_first(tiny_run) -> None:
    """Guards against images that are right, an order by name, and a slice that is no table any more."""
    wrong = tiny_run.wrong()
    expected = [row for row in table_of(tiny_run) if row["true"] != row["predicted"]]
    expected.sort(key=lambda row: -float(row["confidence"]))
    assert [row["image"] for row in wrong] == [row["image"] for row in expected]
    assert list(wrong[0]) == ["image", "true", "predicted", "confidence"]
    assert wrong[0]["confidence"] == float(expected[0]["confidence"])
    assert len(wrong[:2]) == 2
    assert repr(wrong[:2]).splitlines()[0] == f"2 wrong of {len(table_of(tiny_run))} test images, worst first"
    assert Texts(wrong._repr_html_()).texts.count("true") == 1
    if len(wrong) > 20:
        assert repr(wrong).endswith(f"and {len(wrong) - 20} more")


@pytest.mark.run
def test_the_pictures_are_those_of_the_wrong_images(tiny_run, tmp_path) -> None:
    """Guards against pictures of other images than those that are named."""
    names = [str(row["image"]) for row in tiny_run.wrong()[:3]]
    preprocessing = Preprocessing.from_dict(tiny_run.description["preprocessing"])
    seen = seen_images(tiny_run.config, preprocessing, names)
    data = ImageDataModule({**tiny_run.config.dataset, "num_workers": 0}, preprocessing, seed=0)
    images = [image for batch in data.test_dataloader() for image in batch["image"]]
    by_name = dict(zip((sample.name for sample in data.splits["test"].samples), images, strict=True))
    for name, image in zip(names, seen, strict=True):
        assert np.array_equal(image, showable(by_name[name]))
    figure = tiny_run.wrong()[:3].show()
    width, height = (round(100 * side) for side in figure.get_size_inches())
    assert (width, height) == Image.open(io.BytesIO(figure._repr_png_())).size
    with pytest.raises(TlxError, match=r"without 'moved'; if the images have moved, .* dataset\.root=DIR"):
        seen_images(tiny_run.config, preprocessing, ["moved"])
    with pytest.raises(TlxError, match="expected wrong test images, got none"):
        tiny_run.wrong()[:0].show()


@pytest.mark.run
@pytest.mark.parametrize(("words", "column"), [(MASKS, "IoU"), (BOXES, "F1")], ids=["masks", "boxes"])
def test_the_worst_images_of_a_dense_task(finished, tmp_path, words, column) -> None:
    """Guards against perfect images among the wrong ones, and a traceback where no review was drawn."""
    run = Run(shutil.copytree(finished(*words).directory, tmp_path / "run"))
    wrong = run.wrong()
    values = [float(row[column]) for row in table_of(run)]
    assert [row[column] for row in wrong] == sorted(value for value in values if value < 1)
    with pytest.raises(TlxError, match=r"expected the picture review/worst\.png .*logger=none"):
        wrong.show()
    (run.directory / "review").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(run.directory / "review" / "worst.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(wrong.show()._repr_png_())).convert("RGB")), pixels)
    assert re.fullmatch(r"<Run .*: finished, test/m(iou|ap) [\d.]+ \([\d.]+ to [\d.]+\)>", repr(run))


@pytest.mark.run
def test_a_damaged_table_is_told(tiny_run, tmp_path) -> None:
    """Guards against a traceback over a run from elsewhere."""
    run = Run(shutil.copytree(tiny_run.directory, tmp_path / "run"))
    (run.directory / "test_predictions.csv").write_text("image,true\n1,2\n")
    with pytest.raises(TlxError, match=r"expected the columns image, true, predicted, confidence, got 'predicted'"):
        run.wrong()
    (run.directory / "metrics.csv").write_text("epoch,stage\nx,y\n")
    with pytest.raises(TlxError, match="expected a row for each epoch"):
        run.plot()
