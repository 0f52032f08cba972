"""The real command line on small real files, each command in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.conftest import ROOT
from tests.fork_server import forking
from tlx import Run
from tlx.cli import main

pytestmark = [pytest.mark.run, pytest.mark.usefixtures("fork_server")]
SMALL = ["backbone=small_cnn", "backbone.width=8", "dataset.image_size=16", "trainer.stage_epochs=1"]
FOLDER = ["dataset=folder", "dataset.root=pictures", "strategy=gradual", "optimizer.lr=1e-2"]
CLASSES = ("cross", "dot", "stripe")


def process(*arguments: str, cwd: Path) -> str:
    """Run `tlx …` as a command; return what it prints on both streams."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tlx", *arguments]
    with forking():
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


Tlx = Callable[..., str]


@pytest.fixture
def tlx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tlx:
    """Return a function that runs `tlx …` in this process, where torch is imported already, and in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tlx"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # set by a multirun: put back afterwards

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        got = 0
        try:
            main(arguments)
        except SystemExit as stop:
            got = stop.code
        streams = capsys.readouterr()
        assert got == code, streams.out + streams.err
        return streams.out + streams.err

    return run


def picture(kind: str, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (20, 20, 3), dtype=np.uint8)
    if kind == "dot":
        pixels[6:14, 6:14] += 150
    elif kind == "stripe":
        pixels[:, ::4] += 150
    else:
        pixels[9:11, :] += 150
        pixels[:, 9:11] |= 150
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, fork_server: None) -> Path:
    """A working directory with a folder of pictures and a run on them, in `outputs`."""
    directory = tmp_path_factory.mktemp("place")
    for i, kind in enumerate(CLASSES):
        for j in range(20):
            file = directory / "pictures" / kind / f"{j}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(kind, 100 * i + j).save(file)
    told = process("train", *SMALL, *FOLDER, cwd=directory)
    assert "stage 3/3" in told
    return directory


def the_run(place: Path) -> Run:
    (directory,) = [p for p in (place / "outputs").iterdir() if p.is_dir()]
    return Run(directory)


def test_the_same_command_returns_the_finished_run_and_force_trains_anew(place, tlx, monkeypatch):
    """Guards against a sweep that, started again, does everything again, and against `force` without effect."""
    monkeypatch.chdir(place)
    run = the_run(place)
    before = (run.checkpoints / "best.ckpt").stat().st_mtime_ns
    told = tlx("train", *SMALL, *FOLDER)
    assert "finished already" in told
    assert (run.checkpoints / "best.ckpt").stat().st_mtime_ns == before
    metrics = run.metrics
    told = tlx("train", *SMALL, *FOLDER, "force=true")
    assert "finished already" not in told
    assert the_run(place).directory == run.directory
    assert (run.checkpoints / "best.ckpt").stat().st_mtime_ns > before
    # The same seed, the same figures: a run is a function of its configuration.
    again = run.metrics
    assert {k: v for k, v in again.items() if k != "train/seconds"} == pytest.approx(
        {k: v for k, v in metrics.items() if k != "train/seconds"}, rel=1e-5
    )


def test_a_run_is_tested_where_it_was_moved_to_with_images_that_moved_too(place, tlx, tmp_path):
    """Guards against run directories that hold absolute paths or need what they were made with."""
    run = the_run(place)
    shutil.copytree(run.directory, tmp_path / "moved")
    shutil.copytree(place / "pictures", tmp_path / "images")
    (place / "pictures").rename(place / "away")
    try:
        told = tlx("test", "moved", code=2)  # the images are not where they were
        assert "dataset.root: expected a folder of images" in told
        told = process("test", "moved", "dataset.root=images", cwd=tmp_path)
    finally:
        (place / "away").rename(place / "pictures")
    figures = dict(line.split()[:2] for line in told.splitlines() if line.startswith("test/"))
    assert float(figures["test/accuracy"]) == pytest.approx(run.metrics["test/accuracy"], abs=6e-5)
    assert float(figures["test/loss"]) == pytest.approx(run.metrics["test/loss"], abs=6e-5)
    assert {line.split()[0] for line in told.splitlines()[-3:]} == {*CLASSES}  # a row for each class
    told = tlx("test", "moved", "dataset.rot=images", code=2)
    assert "did you mean 'root'?" in told


def test_files_folders_and_globs_are_predicted_from_the_run_directory_alone(place, tlx, tmp_path):
    """Guards against predict that needs the training images, takes one kind of argument, or mixes up rows."""
    run = the_run(place)
    shutil.copytree(run.directory, tmp_path / "moved")
    for kind in CLASSES:
        shutil.copytree(place / "pictures" / kind, tmp_path / kind)
    asked = ["dot/0.png", "cross", "stripe/1?.png", "-o", "p.csv", "--batch-size", "7"]
    told = tlx("predict", "moved", *asked)
    assert "31 predictions in p.csv" in told
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["image"] for r in rows] == [
        "dot/0.png", *sorted(f"cross/{i}.png" for i in range(20)), *(f"stripe/{i}.png" for i in range(10, 20))
    ]  # fmt: skip
    for row in rows:
        probabilities = {name: float(row[name]) for name in CLASSES}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert row["predicted"] == max(probabilities, key=probabilities.get)
        assert float(row["confidence"]) == max(probabilities.values())
    # A row is its image's: the same image alone has the same probabilities.
    alone = run.predict([tmp_path / "stripe" / "19.png"]).probabilities[0].tolist()
    assert [float(rows[-1][name]) for name in CLASSES] == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch.png"], "expected an image, a folder of images or a pattern that matches some, got 'nosuch.png'"),
        (["*.gif"], "got '*.gif'"),
        (["empty"], "got 'empty'"),
        (["words.txt"], "words.txt"),
        (["broken.png"], "broken.png"),
        (
            ["broken.png", "-o", "words.txt/p.csv"],
            "-o: expected a writable folder, got 'words.txt/p.csv'",
        ),  # first
        (["fine.png", "--batch-size", "0"], "--batch-size: expected at least 1, got 0"),
    ],
)
def test_predict_names_what_it_cannot_read(arguments, words, tiny_run, tlx, tmp_path):
    """Guards against a traceback, and against a CSV that silently leaves an image out."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("words")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    picture("dot", 0).save(tmp_path / "fine.png")
    assert words in tlx("predict", str(tiny_run.directory), *arguments, code=2)
    assert not (tmp_path / "predictions.csv").exists()


def test_predict_leaves_broken_files_out_where_that_is_asked_for(tiny_run, tlx, tmp_path, caplog):
    """Guards against one broken file among thousands that stands in the way of all others."""
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    picture("dot", 0).save(tmp_path / "fine.png")
    told = tlx("predict", str(tiny_run.directory), "broken.png", code=2)
    assert "leave them out: --on-bad skip" in told
    tlx("predict", str(tiny_run.directory), "broken.png", "fine.png", "--on-bad", "skip")
    assert "left out: 1 broken file" in caplog.text
    with (tmp_path / "predictions.csv").open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["fine.png"]
    tlx("predict", str(tiny_run.directory), "broken.png", "--on-bad", "skip", code=2)


def test_a_mistyped_run_is_told_with_the_nearest_one(place, tlx, monkeypatch):
    """Guards against 'No such file' where a letter of a long name is wrong."""
    run = the_run(place)
    monkeypatch.chdir(place)
    told = tlx("test", f"outputs/{run.directory.name[:-1]}", code=2)
    assert f"did you mean 'outputs/{run.directory.name}'?" in told


def test_list_knows_globs_and_the_users_own_options(tlx, tmp_path):
    """Guards against lists that leave out a user's options, or print a name without what it is."""
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "bottom_up.yaml").write_text(
        "# tlx train strategy=bottom_up  two stages of my own\nname: bottom_up\n"
    )

    def lines(*arguments: str) -> list[str]:
        return tlx("list", *arguments).splitlines()

    names = [line.split()[0] for line in lines("backbones", "resnet*")]
    assert names == sorted(["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
    assert any(line.startswith("bottom_up") and "two stages of my own" in line for line in lines(
        "strategies", "--config-dir", str(tmp_path)))  # fmt: skip
    for what in ("datasets", "optimizers", "tasks", "trainers", "loggers", "experiments", "backbone", "strategies"):
        for line in lines(what):
            assert len(line.split()) > 1, line
    assert any(
        line.startswith("backbone=timm backbone.name=convnext_tiny") for line in lines("backbones", "timm/*convnext*")
    )
    overview = {line.split()[0]: line for line in lines("--config-dir", str(tmp_path))}
    assert "bottom_up" in overview["strategies"]
    assert overview["backbones"].endswith(" …")
    for what in overview:
        assert lines(what), what


def test_plan_prints_what_would_train_and_leaves_nothing_behind(tlx, tmp_path):
    """Guards against a plan that trains, downloads or makes a run directory."""
    told = tlx("plan", "backbone=resnet50", "strategy=gradual", "optimizer.lr=3e-4")
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines() if line}
    assert rows["head"] == ["20,490", "3.00e-04", "3.00e-04", "1.50e-04"]
    assert rows["stage4"][1:] == ["frozen", "1.50e-04", "7.50e-05"]
    assert rows["stem"][1:3] == ["frozen", "frozen"]
    assert not list(tmp_path.iterdir())


def test_a_multirun_leaves_one_directory_a_job_and_can_be_started_again(tlx, tmp_path):
    """Guards against jobs that share a directory, that are lost, or that are all trained again."""
    sweep = [
        "train",
        "-m",
        *SMALL,
        "dataset.labels_per_class=8",
        "strategy=full,linear_probe",
        "seed=0,1",
        "logger=none",
    ]
    process(*sweep, cwd=tmp_path)
    outputs = [p for p in (tmp_path / "outputs").iterdir() if p.name != "sweeps"]
    found = {(Run(p).config.strategy.name, Run(p).config.seed) for p in outputs}
    assert found == {(s, seed) for s in ("full", "linear_probe") for seed in (0, 1)}
    assert len(outputs) == 4
    assert all(Run(p).finished for p in outputs)
    assert not (tmp_path / "multirun").exists()
    told = tlx(*sweep)
    assert told.count("finished already") == 4


def test_a_job_that_fails_in_a_multirun_is_told_without_a_traceback(tlx, tmp_path):
    """Guards against a sweep whose failed job hides in a page of traceback, stops the others, or passes for success."""
    told = tlx(
        "train",
        "-m",
        *SMALL,
        "dataset.labels_per_class=500,8",
        "dataset.labels_exact=true",
        "strategy=linear_probe",
        "logger=none",
        code=1,
    )
    assert "Traceback" not in told
    assert "500" in told
    states = {Run(p).status["state"] for p in (tmp_path / "outputs").iterdir() if p.name != "sweeps"}
    assert states == {"failed", "finished"}


def test_debug_runs_two_batches_of_everything(tlx, tmp_path):
    """Guards against a debug preset that takes as long as the run, or leaves a part untried."""
    told = tlx("train", *SMALL, "strategy=gradual", "trainer=debug")
    run = the_run(tmp_path)
    assert run.metrics["train/epochs"] == 3
    assert run.metrics["train/steps"] == 6
    assert "Trainable params" in told  # the model summary


def test_a_users_directory_brings_options_for_every_group(tlx, tmp_path, monkeypatch):
    """Guards against a strategy, network or data set of the user's own that needs more than its YAML and its code."""
    options = {
        "strategy/mine.yaml": "name: mine\nstages:\n  - {name: one, train: head}\n  - {name: two, train: stage2+}\n",
        "backbone/mine.yaml": "_target_: mine.backbone\nname: my_net\nwidth: 4\n",
        "dataset/mine.yaml": "defaults:\n  - base\n  - _self_\n_target_: mine.images\nname: my_images\ncount: 40\n",
        "optimizer/mine.yaml": "_target_: torch.optim.RMSprop\nlr: 1e-3\nmomentum: 0.5\n",
        "trainer/mine.yaml": "stage_epochs: 1\n",
        "experiment/mine.yaml": "# @package _global_\ndefaults:\n"
        + "".join(f"  - override /{g}: mine\n" for g in ("strategy", "backbone", "dataset", "optimizer", "trainer"))
        + "dataset: {image_size: 16, channels: 1}\n",
        "local/default.yaml": "output_dir: elsewhere\n",
    }  # fmt: skip
    for name, text in options.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "from tlx.backbones import small_cnn\n"
        "from tlx.data import digits\n"
        "def backbone(width, in_channels=3, load=True, name='my_net'):\n"
        "    return small_cnn(width=width, in_channels=in_channels, load=load)\n"
        "def images(name, count, val_fraction, split_seed):\n"
        "    return digits(name=name, classes=[1, 2], val_fraction=val_fraction, split_seed=split_seed)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with_own = ["--config-dir", "own", "experiment=mine", "logger=none"]
    told = tlx("train", *with_own, code=2)
    assert "TLX_ALLOW_TARGETS=mine" in told
    monkeypatch.setenv("TLX_ALLOW_TARGETS", "mine")
    told = tlx("train", *with_own)
    assert "stage 2/2 two" in told
    (directory,) = (tmp_path / "elsewhere").iterdir()
    assert directory.name.startswith("my_images-my_net-mine-rmsprop-")
    run = Run(directory)
    assert run.finished
    assert run.config.optimizer.momentum == 0.5
    assert run.config.dataset.count == 40
    # A selector that only the built network can refute is told too, without a traceback.
    told = tlx("train", *with_own, "strategy.stages.1.train=stage9+", code=2)
    assert "strategy.stages[1].train: expected one of the layer groups stem" in told
    assert "Traceback" not in told


def test_trials_clipping_and_accumulation_without_a_logger(tlx, tmp_path):
    """Guards against switches of the trainer that do nothing or end in a traceback."""
    told = tlx(
        "train", *SMALL, "strategy=full", "trainer.precision=auto", "trainer.channels_last=auto", "logger=none",
        "trainer.gradient_clip_val=0.5", "trainer.accumulate_grad_batches=4", "trainer.log_every_n_steps=1",
        "dataset.batch_size=16",
    )  # fmt: skip
    assert told.count("ms a step") == 4
    run = the_run(tmp_path)
    assert run.config.trainer.precision in ("32-true", "bf16-mixed")
    assert run.config.trainer.channels_last in (True, False)
    assert run.metrics["train/steps"] == -(-(1079 // 16) // 4)
    assert not list(run.directory.rglob("events.out.tfevents.*"))
    assert (run.directory / "metrics.csv").is_file()


def test_python_dash_m_and_the_script_are_the_same(tmp_path):
    """Guards against `python -m tlx` and `tlx` that drift apart."""
    script = Path(sys.executable).with_name("tlx")
    if not script.exists():
        pytest.skip("tlx is not installed as a script here")
    both = [
        subprocess.run([*start, "list", "strategies"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for start in ([script], [sys.executable, "-m", "tlx"])
    ]
    assert both[0] == both[1]
    assert "gradual" in both[0]
    asked = subprocess.run([sys.executable, "-m", "tlx", "test", "-h"], cwd=tmp_path, capture_output=True, text=True)
    assert "usage: tlx test" in asked.stdout


@pytest.mark.nightly
def test_a_compiled_run_is_a_run_like_any_other(tlx, tmp_path):
    """Guards against checkpoints of a compiled network (`_orig_mod.`) that nothing can read."""
    if not (shutil.which("c++") or shutil.which("g++")):
        pytest.skip("torch.compile needs a C++ compiler on the CPU")
    tlx("train", *SMALL, "trainer=debug", "strategy=linear_probe", "trainer.compile=true", "logger=none")
    run = the_run(tmp_path)
    assert json.loads((run.directory / "status.json").read_text())["state"] == "finished"
    assert not any("_orig_mod" in key for key in run.model.state_dict())
    assert run.test()["test/loss"] > 0
    assert OmegaConf.select(run.config, "trainer.compile") is True
