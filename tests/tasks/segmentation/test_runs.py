"""Segmenters as commands train, plan and predict with them."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
from PIL import Image

import tlx
from tests.conftest import ROOT
from tlx import cli
from tlx.base.errors import ConfigError, TlxError
from tlx.data import ImageDataModule
from tlx.inference.predict import predict
from tlx.tasks.catalog import headline_in
from tlx.training.experiment import build
from tlx.training.plan_table import stage_table

SMALL = (
    "task=segmentation", "dataset=scenes", "dataset.classes=[1,X]", "dataset.count=10", "dataset.image_size=48",
    "dataset.batch_size=4", "dataset.repeats=1", "backbone=small_cnn", "backbone.width=4", "trainer.stage_epochs=1",
    "logger=none",
)  # fmt: skip
PROBE = (*SMALL, "strategy=last_layers", "optimizer.lr=1e-2", "cache.views=1", "trainer.stage_epochs=2")


def _rows(run: tlx.Run) -> list[dict[str, str]]:
    return list(csv.DictReader((run.directory / "metrics.csv").open(newline="")))


def test_images_in_memory_are_the_same_in_the_next_process():
    """Guards against a killed run of drawn scenes that cannot be resumed: a mask was known by its place in memory."""
    config = tlx.compose([*SMALL])
    small = build(config)[1].backbone.preprocessing
    one, other = (ImageDataModule(config.dataset, small, seed=0) for _ in range(2))
    assert one.fingerprint() == other.fingerprint()
    changed = tlx.compose([*SMALL, "dataset.draw_seed=1"]).dataset
    assert one.fingerprint() != ImageDataModule(changed, small, seed=0).fingerprint()


def test_a_run_without_room_for_the_cache_has_the_same_figures(finished):
    """Guards against cached maps, or masks of cached crops, that differ from those computed from the images."""
    cached, uncached = finished(*PROBE), finished(*PROBE, "cache.max_gb=1e-5")
    assert "tiles up to" in (cached.directory / "tlx.log").read_text()
    assert "trains from images" in (uncached.directory / "tlx.log").read_text()
    for one, other in zip(_rows(cached), _rows(uncached), strict=True):
        for name, value in one.items():
            same = value == other[name] if name == "stage" else float(value) == pytest.approx(float(other[name]), 1e-3)
            assert same, f"{name}: {value}, {other[name]}"


def test_the_page_shows_what_runs_log(finished):
    """Guards against lines of the log on the page that an older version wrote."""
    run, page = finished(*PROBE), (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8").splitlines()
    logged = {_form(line) for line in (run.directory / "tlx.log").read_text(encoding="utf-8").splitlines()}
    shown = [_form(line) for line in page if line.startswith("    cache: ")]
    assert len(shown) == 2
    assert set(shown) <= logged


def _form(line: str) -> str:
    """Return a line of the log without its time, numbers, units and names of layer groups."""
    line = re.sub(r"up to .* and labels", "up to … and labels", line[max(line.find("cache: "), 0) :])
    return re.sub(r"[\d.,]+ ?([kMG]B)?", "#", line)


def test_a_table_of_areas_is_written_where_a_table_is_asked_for(finished, tmp_path, monkeypatch, capsys):
    """Guards against `-o areas.csv` that makes a folder of masks with this name."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((40, 60, 3), 90, dtype=np.uint8)).save("photo.png")
    cli.main(["predict", str(finished(*PROBE).directory), "photo.png", "-o", "areas.csv"])
    text = (tmp_path / "areas.csv").read_text(encoding="utf-8")
    assert f"\n    {text.splitlines()[0]}\n" in (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["class"] for row in rows] == ["background", "1", "X"]
    assert sum(int(row["pixels"]) for row in rows) == 40 * 60
    assert "1 prediction in areas.csv" in capsys.readouterr().out
    (tmp_path / "masks.csv").mkdir()
    cli.main(["predict", str(finished(*PROBE).directory), "photo.png", "-o", "masks.csv"])
    assert (tmp_path / "masks.csv" / "masks" / "photo.png").is_file()


def test_the_first_figure_is_that_of_the_task():
    """Guards against sweeps of segmenters that are compared by the share of right pixels."""
    assert headline_in(["test/accuracy", "test/loss"]) == "test/accuracy"
    assert headline_in(["test/accuracy", "test/boundary_iou", "test/dice", "test/miou"]) == "test/miou"
    assert headline_in(["test/rmse"]) is None


def test_a_run_with_another_decoder_is_named_with_what_to_type(finished):
    """Guards against a list of shapes for a decoder that is not carried over."""
    source = ["backbone=run", f"backbone.run={finished(*PROBE).directory}"]
    typed = [text for text in SMALL if not text.startswith("backbone")]
    _, task = build(tlx.compose([*typed, *source, "task.decoder=unet"]))
    assert task.head_report == (
        "decoder, head: not carried over; the run has task.decoder=fpn, this one task.decoder=unet; "
        "to carry them over: task.decoder=fpn"
    )
    _, task = build(tlx.compose([*typed, *source]))
    assert task.head_report.startswith("decoder: carried over; head: 3 of 3 classes")


def test_pictures_of_predictions_are_shown_in_the_window_that_the_network_saw(finished, tmp_path):
    """Guards against overlays of 16-bit images that are black."""
    Image.fromarray(np.full((60, 60), 150, dtype=np.uint16)).save(tmp_path / "scan.png")
    run = finished(*PROBE)
    found = predict(run.model, {**run.config.dataset, "window": [100, 200]}, [tmp_path / "scan.png"])
    found.save(tmp_path / "out")
    shown = np.asarray(Image.open(tmp_path / "out" / "overlays" / "scan.jpg"))
    assert shown[found.mask(0) == 0].mean() == pytest.approx(191, abs=3)  # the background is left clear


@pytest.mark.parametrize("decoder", ["unet", "fpn", "deeplabv3plus"])
def test_the_plan_counts_what_is_built_and_says_what_is_left_out(decoder):
    """Guards against a plan of other layers than those that train, and of dense layers that are silently missing."""
    config = tlx.compose([*SMALL, f"task.decoder={decoder}"])
    text, (_, task) = stage_table(config), build(config)
    for group in task.group_names:
        line = next(line for line in text.splitlines() if line.startswith(f"{group} "))
        assert line.split()[1] == f"{sum(p.numel() for p in task.group_parameters(group)):,}"
    assert "left out" not in text
    vgg = stage_table(tlx.compose([*SMALL[:-5], "backbone=vgg11", "backbone.weights=null", f"task.decoder={decoder}"]))
    assert "left out: dense; the task reads maps" in vgg
    assert not any(line.startswith("dense ") for line in vgg.splitlines())


def test_freezing_is_advised_only_where_it_helps():
    """Guards against advice to freeze the BatchNorm of a new decoder, which trains whatever the policy says."""
    with pytest.raises(TlxError, match=r"type dataset\.batch_size=2 or more$"):
        build(tlx.compose([*SMALL, "strategy=full", "dataset.batch_size=1", "task.decoder=deeplabv3plus"]))


def test_tiles_are_asked_for_by_the_size_of_the_input():
    """Guards against a bare list of known keys for a key of classification that segmenters do without."""
    with pytest.raises(ConfigError, match=r"task\.tile_size.*\n.*type dataset\.image_size=N"):
        tlx.compose([*SMALL, "+task.tile_size=64"])
