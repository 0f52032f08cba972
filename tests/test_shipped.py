"""What is shipped in conf/ works: every file, every option of every group, every experiment."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.conftest import ROOT, digits_file, shared_file
from tlx import Run
from tlx.backbones import catalog
from tlx.backbones.short_names import SHORT
from tlx.base.errors import ConfigError
from tlx.config import check_command_line, compose, options
from tlx.data.sources.torchvision_table import TORCHVISION, missing_files
from tlx.procedures import plan_table
from tlx.tasks.catalog import kind_of

CONF = ROOT / "conf"
FILES = sorted(str(p.relative_to(CONF)) for p in CONF.rglob("*.yaml") if p.parent.name != "local")
SMALL = ["backbone=small_cnn", "backbone.width=8"]
NEEDS = {
    "backbone": {"run", "file", "timm", "own"},
    "dataset": {"arrays", "boxes", "coco", "folder", "masks", "table", "voc", "yolo"},
}
# One of each kind of network that torchvision has.
FAMILIES = [
    "alexnet", "vgg11", "vgg11_bn", "resnet18", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "mobilenet_v2",
    "mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_s", "convnext_tiny", "regnet_x_400mf", "regnet_y_400mf",
    "mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1", "vit_b_32", "swin_t", "swin_v2_t",
]  # fmt: skip

# Experiments that train at night: the suite trains the same on digits, or on a smaller network, and plans all of them.
TWIN = re.compile(r"(mnist|usps)_.*|.*_vgg16")

COCO: dict[str, list[dict[str, str | int]]] = {
    "images": [{"id": 1, "file_name": "1.jpg", "width": 8, "height": 8}],
    "categories": [{"id": 1, "name": "cell"}],
    "annotations": [],
}

ADAPTING = {"adabn", "coral", "dan", "dann", "cdan", "mcc", "self_training"}


def command(path: str) -> list[str]:
    """The words of the command that a file opens with; `python -m` puts modules of the working directory in reach."""
    return shlex.split(re.split(r"\s{2,}", opening(path).removeprefix("# ").removeprefix("python -m "))[0])


def few_drawn(part: str, node: Mapping[str, object]) -> list[str]:
    """Overrides that make a set of drawn images small: drawing it takes seconds. Empty: its images are not drawn."""
    if node["name"] == "scenes":
        return [f"{part}.count=8"]
    return [f"{part}.per_class=20"] if node["name"] in ("plates", "letters") else []


def without_needs(group: str) -> list[str]:
    return [name for name in options(group) if name not in NEEDS.get(group, set())]


def opening(path: str) -> str:
    """The line that tells how a file is used: the first, or the one after Hydra's `# @package`."""
    lines = (CONF / path).read_text(encoding="utf-8").splitlines()
    return lines[1] if lines[0].startswith("# @package") else lines[0]


@pytest.fixture(scope="module")
def ten_digits(shared_folder: Path) -> Path:
    """Scikit-learn's digits as a file, 30 of each: what stands for sets that are not here."""
    return shared_file(shared_folder, "ten_digits.npz", lambda path: digits_file(path, [30] * 10))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_run: Run, ten_digits: Path) -> Path:
    """A home and working directory with what the commands in conf/ speak of."""
    for name in ("pets/cat/1.png", "pets/dog/1.png", "photos/1.png", "cells/images/1.png", "cells/masks/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "cells" / "images" / "1.xml").write_text(
        "<annotation><object><name>cell</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
        "</object></annotation>"
    )
    (tmp_path / "cells" / "images" / "1.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "cells" / "boxes.csv").write_text("1.png,1,1,4,4,cell\n")
    (tmp_path / "raccoons").symlink_to(tmp_path / "cells")
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "coco.json").write_text(json.dumps(COCO))
    (tmp_path / "FILE").write_bytes((2).to_bytes(8, "little") + b"{}")  # no tensors, in the format of safetensors
    (tmp_path / "pets.csv").write_text("path,label\npets/cat/1.png,cat\npets/dog/1.png,dog\n")
    np.savez(tmp_path / "pathmnist.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 0, 1]))
    (tmp_path / "FILE.npz").symlink_to(ten_digits)
    (tmp_path / "RUN").symlink_to(tiny_run.directory)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES)
def test_a_file_opens_with_the_command_that_uses_it(path, home, loggers_installed):
    """Guards against a header that is missing, names another option, or no longer works."""
    words = [word.replace("=NAME", "=resnet18") for word in command(path)]
    assert words[:2] == ["tlx", "train"], f"{path} opens with: {opening(path)}"
    group, _, name = path.removesuffix(".yaml").rpartition("/")
    if group and name not in ("base", "default"):
        assert f"{group}={name}" in words
    overrides = [word for word in words[2:] if word != "-m"]
    assert not check_command_line(overrides, None, multirun="-m" in words)


def test_there_are_files_to_check():
    """Guards against tests that pass because they look in the wrong folder."""
    assert len(FILES) > 20
    assert set(options("strategy")) == {Path(f).stem for f in FILES if f.startswith("strategy/")}


@pytest.mark.nightly  # the suite composes and plans one of each family, and compares the lists
@pytest.mark.parametrize("name", without_needs("backbone"))
def test_every_backbone_composes(name):
    """Guards against a network in the list that no command line can choose."""
    config = compose([f"backbone={name}", "strategy=gradual"])
    assert config.backbone.name == (SHORT[name].timm if name in SHORT else name)


def test_every_network_can_be_chosen():
    """Guards against a network of the catalog that is no option."""
    assert set(catalog.TORCHVISION) <= set(options("backbone"))


def test_a_family_is_not_forgotten():
    """Guards against a new kind of network that no plan is tried for."""

    def families(names):
        return {re.match(r"[a-z]+(_v\d)?", name)[0] for name in names}

    assert families(catalog.TORCHVISION) == families(FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAMILIES, "efficientnet_lite0", "small_cnn"])
def test_every_family_can_be_planned(name):
    """Guards against a strategy whose selectors do not fit a family, and against a plan that downloads."""
    for strategy in ("gradual", "top_down"):
        table = plan_table(compose([f"backbone={name}", f"strategy={strategy}"]))
        rows = [line.split()[0] for line in table.splitlines() if line]
        for group in (*catalog.group_names(name), "head"):
            assert group in rows


def test_the_plan_of_a_segmentation_names_the_groups_that_give_no_map():
    """Guards against a layer group that is missing from the table without a word."""
    table = plan_table(compose(["backbone=alexnet", "task=segmentation", "dataset=scenes", "strategy=linear_probe"]))
    assert "left out: dense;" in table
    assert not [line for line in table.splitlines() if line.startswith("dense")]


@pytest.mark.slow
@pytest.mark.parametrize("name", without_needs("dataset"))
def test_every_dataset_can_be_planned_without_its_images(name, tmp_path, monkeypatch):
    """Guards against an option that does not compose, or a plan that needs a download."""
    monkeypatch.chdir(tmp_path)
    known = TORCHVISION.get(name)
    if known and not known.download:  # to be put there by hand: said at once, by name
        missing = missing_files(known, Path("data"))
        with pytest.raises(ConfigError, match=missing[0]):
            compose([f"dataset={name}", *SMALL])
        for part in missing:
            (Path("data") / part).mkdir(parents=True)
    task = [w for w in command(path) if w.startswith("task=")] if (path := f"dataset/{name}.yaml") in FILES else []
    few = few_drawn("dataset", {"name": name})
    assert f"dataset {name}" in plan_table(compose([f"dataset={name}", *task, *SMALL, *few]))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", options("strategy"))
@pytest.mark.parametrize("optimizer", options("optimizer"))
def test_every_strategy_can_be_planned_with_every_optimizer(strategy, optimizer):
    """Guards against a shipped strategy that its own check refuses."""
    target = ["target=plates"] if strategy in ADAPTING else []
    config = compose([f"strategy={strategy}", f"optimizer={optimizer}", *SMALL, *target])
    table = plan_table(config)
    by = f"optimizer {config.optimizer._target_}" if config.classifier is None else f"dataset {config.dataset.name}"
    assert f"strategy {strategy}, {by}" in table
    assert "frozen" in table or strategy in ("full", "scratch", *ADAPTING)


@pytest.mark.parametrize(
    "choice", [f"{group}={name}" for group in ("task", "trainer", "logger") for name in options(group)]
)
def test_every_other_option_can_be_planned(choice, loggers_installed):
    """Guards against an option that does not compose."""
    marked = ["dataset=scenes", "dataset.count=5"] if choice in ("task=segmentation", "task=detection") else []
    assert "layer group" in plan_table(compose([choice, *SMALL, *marked]))


def discs(folder: Path) -> Path:
    """Draw ten images of a disc in a disc, each with its mask beside it, with the values of cells: 0, 128 and 255."""
    folder.mkdir()
    y, x = np.mgrid[:32, :32]
    for number in range(10):
        distance = np.hypot(y - 12 - number % 8, x - 16)
        mask = np.where(distance < 5, 255, np.where(distance < 9, 128, 0)).astype(np.uint8)
        Image.fromarray(mask).save(folder / f"{number}.png")
        colours = np.stack([mask // 2 + number, 200 - mask // 2, mask // 4 + y.astype(np.uint8)], axis=-1)
        Image.fromarray(colours).save(folder / f"{number}.bmp")
    return folder


def boxed_discs(folder: Path) -> Path:
    """Draw these images, each with a box in an XML file beside it, and all boxes in a table."""
    rows = ["file,x1,y1,x2,y2,class"]
    for path in sorted(discs(folder).glob("*.png")):
        path.unlink()
        name, top = f"{path.stem}.bmp", int(path.stem) % 8 + 3
        place = f"<xmin>7</xmin><ymin>{top}</ymin><xmax>25</xmax><ymax>{top + 18}</ymax>"
        size = "<size><width>32</width><height>32</height><depth>3</depth></size>"
        xml = f"<filename>{name}</filename>{size}<object><name>disc</name><bndbox>{place}</bndbox></object>"
        (folder / f"{path.stem}.xml").write_text(f"<annotation>{xml}</annotation>")
        rows.append(f"{name},7,{top},25,{top + 18},disc")
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_can_be_planned(name, home, tiny_run):
    """Guards against an experiment that rots while the groups it is made of change."""
    words = command(f"experiment/{name}.yaml")[2:]
    config = compose(words)
    if fewer := [text for part in ("dataset", "target") if config.get(part) for text in few_drawn(part, config[part])]:
        config = compose([*words, *fewer])
    assert "layer group" in plan_table(config)
    assert not OmegaConf.missing_keys(config)


@pytest.mark.run
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.nightly] * bool(TWIN.fullmatch(n))) for n in options("experiment")]
)
def test_every_experiment_trains(name, ten_digits, home, finished):
    """Guards against an experiment that composes and then fails on images: one batch of each stage, of small sets. Some
    are the same with these, and train once."""
    words = command(f"experiment/{name}.yaml")[2:]
    settled = compose(words)
    small = ["trainer.stage_epochs=1", "trainer.limit_batches=1", "logger=none"]
    for part in ("dataset", "target"):
        node = settled.get(part)
        if node is None:
            continue
        if drawn := few_drawn(part, node):
            small += drawn
            if node.name == "scenes":
                small.append(f"{part}.image_size=64")
        elif node._target_ == "tlx.data.masks":
            small += [f"{part}.root={discs(home / 'discs')}", f"{part}.image_size=64", f"{part}.batch_size=2"]
        elif node._target_ in ("tlx.data.voc", "tlx.data.boxes"):
            small += [f"{part}.root={boxed_discs(home / 'discs')}", f"{part}.image_size=64", f"{part}.batch_size=2"]
        elif node.name != "digits":
            small += [f"{part}=arrays", f"{part}.path={ten_digits}", f"{part}.horizontal_flip=false"]
    if settled.dataset.image_size is None:
        small.append("dataset.image_size=32")
    if settled.backbone._target_ == "tlx.backbones.torchvision_backbone":
        small.append("backbone.weights=null")  # they are a download
    run = finished(*[w for w in words if not re.match(r"(dataset|target)\.", w)], *small)
    assert 0 <= run.metrics[kind_of(settled.task).headline] <= 1
    assert ("oracle/test_accuracy" in run.metrics) == (settled.target is not None)
    if settled.strategy.stages:
        with (run.directory / "metrics.csv").open(encoding="utf-8") as file:
            assert [row["stage"] for row in csv.DictReader(file)] == [stage.name for stage in settled.strategy.stages]


@pytest.mark.slow
def test_options_that_need_something_say_so_and_can_be_planned_with_it(home, tiny_run):
    """Guards against an option whose `???` nothing fills, and against a plan that reads weights."""
    import torch

    torch.save(tiny_run.model.backbone.state_dict(), home / "weights.pth")
    for choice, given in {
        "backbone=run": ["backbone.run=RUN"],
        "backbone=file": ["backbone.path=weights.pth", "backbone.architecture=small_cnn"],
        "backbone=timm": ["backbone.name=resnet10t"],
        "dataset=folder": ["dataset.root=~/pets", *SMALL],
        "dataset=masks": ["task=segmentation", "dataset.root=~/cells", *SMALL],
        "dataset=coco": ["task=segmentation", "dataset.root=~/coco", *SMALL],
        "dataset=table": ["dataset.path=~/pets.csv", *SMALL],
        "dataset=arrays": ["dataset.path=~/pathmnist.npz", *SMALL],
        "experiment=digits_5to9": ["backbone.run=RUN"],
    }.items():
        assert check_command_line([choice], None, multirun=False), choice
        assert "head" in plan_table(compose([choice, *given]))
