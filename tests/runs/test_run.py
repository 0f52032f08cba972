"""What a run directory holds, and what can be made of it."""

from __future__ import annotations

import csv
import json
import math
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

import tlx
from tlx import Run, TlxError
from tlx.cli import main
from tlx.measures.names import ends, interval_of
from tlx.measures.percentiles import middle
from tlx.records.resamples import read_resamples
from tlx.training.experiment import build

GROUPS = ["stem", "stage1", "stage2", "stage3", "head"]


@pytest.fixture
def copied(tiny_run, tmp_path):
    return Run(shutil.copytree(tiny_run.directory, tmp_path / "copy"))


def test_a_run_directory_holds_what_the_readme_says(tiny_run):
    """Guards against files that go missing, and against leftovers (temporary files, Hydra's, Lightning's)."""
    found = sorted(str(p.relative_to(tiny_run.directory)) for p in tiny_run.directory.rglob("*") if p.is_file())
    events = [name for name in found if name.startswith("events.out.tfevents.")]
    assert len(events) == 1  # of training and of the review after it
    assert [name for name in found if name not in events] == [
        ".lock", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "environment.json", "files.json",
        "hparams.yaml", "known_images.pt", "metrics.csv", "metrics.json", "model.json", "projector/features.tsv",
        "projector/metadata.tsv",
        "projector/sprite.jpg", "projector_config.pbtxt", "review/confused_most.csv", "review/confusion_matrix.png",
        "review/figures.csv", "review/most_confidently_wrong.csv", "review/per_class.csv",
        "review/precision_recall.png", "review/reliability.png", "review/review.md",
        "review/sensitivity_and_specificity.csv", "review/training_images.png", "review/wrong.png", "settings.json",
        "status.json", "test_predictions.csv", "test_resamples.json", "tlx.log",
    ]  # fmt: skip
    assert tiny_run.finished
    assert "stage 3/3 full" in (tiny_run.directory / "tlx.log").read_text()


def test_layers_that_stay_random_are_told(tiny_run):
    """Guards against a poor figure of a head on random features, and not a word why."""
    told = "warning: frozen with random weights: stem, stage1, stage2, stage3; to train them: strategy=scratch"
    assert told in (tiny_run.directory / "tlx.log").read_text()


@pytest.mark.parametrize("verb", [["test"], ["predict", "one.png", "--overwrite"]], ids=" ".join)
def test_an_unfinished_run_says_so(copied, verb, capsys, tmp_path, monkeypatch):
    """Guards against figures of a third of the training that pass for those of all of it."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("one.png")
    copied.write_status("interrupted", reason="SIGINT")
    main([verb[0], str(copied.directory), *verb[1:]])
    assert "copy is not finished (interrupted): using its best weights so far" in capsys.readouterr().err
    copied.write_status("finished")
    main([verb[0], str(copied.directory), *verb[1:]])
    assert capsys.readouterr().err == ""


def test_a_run_without_weights_says_only_how_to_go_on(copied, capsys):
    """Guards against 'using its best weights so far' for a run that has none."""
    copied.write_status("failed", error="")
    (copied.checkpoints / "best.ckpt").unlink()
    with pytest.raises(SystemExit):
        main(["test", str(copied.directory)])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"(failed); to finish it: tlx train resume={copied.directory}")


def test_images_before_the_run_are_told(tiny_run, capsys):
    """Guards against 'no run' of the images, where both were given and only their order is wrong."""
    with pytest.raises(SystemExit):
        main(["predict", "one.png", str(tiny_run.directory)])
    assert f"type: tlx predict {tiny_run.directory} one.png" in capsys.readouterr().err


def test_the_configuration_is_resolved_and_complete(tiny_run):
    """Guards against a config.yaml that means something else on another machine or in another directory."""
    text = (tiny_run.directory / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    config = OmegaConf.create(text)
    assert config.dataset.classes == [0, 1, 2, 3, 4]
    assert config.strategy.name == "gradual"
    assert config.run_dir == str(tiny_run.directory)


def test_metrics_are_flat_numbers(tiny_run):
    """Guards against figures that a table of runs cannot be made of, or that are missing."""
    metrics = json.loads((tiny_run.directory / "metrics.json").read_text())
    figures = {
        f"{split}/{name}" for split in ("val", "test") for name in ("accuracy", "balanced_accuracy", "f1", "loss")
    }
    whole = {"accuracy", "balanced_accuracy", "auroc"}
    of_class = {f"{measure}/{name}" for measure in ("sensitivity", "specificity", "ppv", "auroc") for name in "01234"}
    judged = {f"test/{name}" for name in of_class} | {"test/auroc", "test/ece"}
    bounds = {end for name in whole | of_class for end in ends(f"test/{name}")}
    undefined = {end for name in of_class if "auroc" in name for end in ends(f"test/{name}")} - set(metrics)
    assert all(metrics[name.replace("_low", "").replace("_high", "")] == 1 for name in undefined)  # in all resamples
    bounds -= undefined
    assert set(metrics) == figures | judged | bounds | {"train/seconds", "train/epochs", "train/steps"}
    assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())
    assert all(0 <= metrics[name] <= 1 for name in figures | judged | bounds if not name.endswith("loss"))
    for name in whole | of_class:
        if not undefined.isdisjoint(ends(f"test/{name}")):
            continue
        low, high = interval_of(metrics, f"test/{name}")
        assert low <= metrics[f"test/{name}"] <= high
    assert metrics["train/epochs"] == 3
    assert metrics["test/accuracy"] > 0.5  # it learnt: chance is 0.2


def rows(run: Run) -> list[dict[str, str]]:
    with (run.directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_an_epoch_with_stage_figures_and_rates(tiny_run):
    """Guards against rows that are lost at a stage's change, or whose rates are not the groups' own."""
    table = rows(tiny_run)
    assert [row["stage"] for row in table] == ["dense", "conv", "full"]
    assert [int(row["epoch"]) for row in table] == [0, 1, 2]
    for name in ("train/loss", "val/accuracy", "val/loss", *(f"lr/{g}" for g in GROUPS)):
        assert all(row[name] != "" for row in table), name
    trained = [[g for g in GROUPS if float(row[f"lr/{g}"]) > 0] for row in table]
    assert trained == [["head"], ["stage2", "stage3", "head"], GROUPS]
    # The figures of the best checkpoint are those of its epoch.
    best = max(float(row["val/accuracy"]) for row in table)
    assert tiny_run.metrics["val/accuracy"] == pytest.approx(best, abs=1e-6)


def test_tensorboard_has_one_learning_rate_curve_a_layer_group(tiny_run):
    """Guards against curves under the wrong name, that end at a stage's change, or whose values are not the rates."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tiny_run.directory), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    assert sorted(t for t in tags if t.startswith("lr/")) == sorted(f"lr/{g}" for g in GROUPS)
    steps = int(tiny_run.metrics["train/steps"])
    a_stage = steps // 3
    for group, first in {"head": 0, "stage3": 1, "stage2": 1, "stage1": 2, "stem": 2}.items():
        curve = [point.value for point in events.Scalars(f"lr/{group}")]
        assert len(curve) == steps
        assert all(value == 0 for value in curve[: first * a_stage])
        assert all(value > 0 for value in curve[first * a_stage :])
    head = [point.value for point in events.Scalars("lr/head")]
    assert max(head[:a_stage]) == pytest.approx(1e-2)
    assert max(head[2 * a_stage :]) == pytest.approx(0.5e-2, rel=0.02)  # lr_scale 0.5
    assert {"val/accuracy", "train/loss", "trainable_parameters"} <= set(tags)


def test_every_checkpoint_holds_tensors_and_plain_values_and_says_what_it_is(tiny_run):
    """Guards against pickled classes in a checkpoint, which `weights_only=True` refuses and a new version breaks."""
    for path in tiny_run.checkpoints.iterdir():
        held = torch.load(path, map_location="cpu", weights_only=True)
        carried = held["tlx"]
        assert carried["config"] == OmegaConf.to_container(tiny_run.config)
        assert carried["model"] == tiny_run.description
        groups = {key.split(".")[2] for key in held["state_dict"] if key.startswith("backbone.groups.")}
        assert groups == set(GROUPS) - {"head"}
        assert held["state_dict"]["head.1.weight"].shape[0] == 5
    assert {p.name for p in tiny_run.checkpoints.iterdir()} == {"best.ckpt", "last.ckpt"}


def test_the_model_of_a_run_is_the_one_that_was_tested(tiny_run):
    """Guards against a network that is built again in another way, in train mode, or with the last weights."""
    model = tiny_run.model
    assert not model.training
    assert model.class_names == ["0", "1", "2", "3", "4"]
    tested = tiny_run.test()
    for name, value in tested.items():
        assert value == pytest.approx(tiny_run.metrics[name], rel=1e-4, abs=1e-6)
    probabilities = model.predict_step({"image": torch.zeros(2, 1, 16, 16, dtype=torch.uint8)})
    assert probabilities.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_a_run_is_used_with_its_best_weights_and_its_own_preprocessing(copied):
    """Guards against the last weights, which in a short run are the best, and against images of the network's own size
    where the run has taken over another one."""
    held = torch.load(copied.checkpoints / "best.ckpt", weights_only=True)
    held["state_dict"]["head.1.bias"] += 1
    torch.save(held, copied.checkpoints / "best.ckpt")
    told = copied.description
    told["preprocessing"] |= {"size": 20, "crop": 0.5}
    (copied.directory / "model.json").write_text(json.dumps(told))
    model = copied.model
    assert torch.equal(model.head[-1].bias, held["state_dict"]["head.1.bias"])
    assert model.backbone.preprocessing.to_dict() == told["preprocessing"]


# torch.hub.load and tlx.train.train are inside the right packages and still no network, data set or task; the others
# lead from inside to outside.
FOREIGN = [
    "os.system",
    "torch.os.system",
    "torch.nn.init.warnings.warn",
    "torch.hub.load",
    "tlx.train.train",
    "tlx.backbones.nosuch",
]


@pytest.mark.parametrize("target", FOREIGN)
def test_a_foreign_target_in_the_model_is_refused(copied, target):
    """Guards against a run directory from elsewhere that runs what its author likes."""
    told = copied.description
    told["architecture"]["_target_"] = target
    (copied.directory / "model.json").write_text(json.dumps(told))
    with pytest.raises(TlxError, match=rf"model\.json.*'{target}'"):
        _ = copied.model


@pytest.mark.parametrize("key", ["task._target_", "task.extra._target_", "task.several"])
def test_a_foreign_target_in_the_configuration_is_refused(copied, key):
    """Guards against the same in config.yaml, nested too."""
    config = copied.config
    value = [{"_target_": "builtins.exec"}] if key == "task.several" else "builtins.exec"
    OmegaConf.update(config, key, value, force_add=True)
    OmegaConf.save(config, copied.directory / "config.yaml")
    with pytest.raises(TlxError, match=r"config\.yaml.*'builtins\.exec'"):
        _ = copied.model


def test_a_foreign_target_in_a_runs_model_is_refused_as_backbone_too(copied):
    """Guards against backbone=run as the way around."""
    told = copied.description
    told["architecture"]["_target_"] = "os.getcwd"
    (copied.directory / "model.json").write_text(json.dumps(told))
    config = tlx.compose(["backbone=run", f"backbone.run={copied.directory}", "dataset.image_size=16"])
    with pytest.raises(TlxError, match=r"os\.getcwd"):
        build(config)


def transfer(run: Run, *overrides: str):
    return tlx.compose(
        ["backbone=run", f"backbone.run={run.directory}", "dataset=digits", "dataset.channels=1", *overrides]
    )


def test_heads_are_matched_by_class_name(tiny_run):
    """Guards against rows that are taken over by position: class 3 of five is row 0 of the next network."""
    _, task = build(transfer(tiny_run, "dataset.classes=[3,4,5,6]", "dataset.image_size=16"))
    old, new = tiny_run.model.head[-1], task.head[-1]
    assert task.class_names == ["3", "4", "5", "6"]
    torch.testing.assert_close(new.weight[:2], old.weight[3:])
    torch.testing.assert_close(new.bias[:2], old.bias[3:])
    for row in new.weight[2:]:
        assert all(not torch.allclose(row, before) for before in old.weight)
    assert "2 of 4 classes carried over by name; new: 5, 6" in task.head_report


def test_the_layer_groups_of_a_run_are_taken_over(tiny_run):
    """Guards against a transfer that trains from random weights and says nothing."""
    _, task = build(transfer(tiny_run, "dataset.classes=[7,8]", "dataset.image_size=16"))
    before, after = tiny_run.model.backbone.state_dict(), task.backbone.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert "stage3" in str(task.backbone.report)
    _, scratch = build(transfer(tiny_run, "dataset.classes=[7,8]", "dataset.image_size=16", "strategy=scratch"))
    assert not torch.equal(scratch.backbone.state_dict()["groups.stem.0.weight"], before["groups.stem.0.weight"])


def test_a_failed_run_says_so_and_is_trained_again(tmp_path, monkeypatch):
    """Guards against a half-trained run that passes for a finished one."""
    config = tlx.compose(
        [
            "backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "trainer=debug", "logger=none",
            "trainer.model_summary=false", f"run_dir={tmp_path / 'run'}",
        ]
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("tlx.runs.run.Run.finish", lambda self, metrics: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tlx.train(config)
    run = Run(tmp_path / "run")
    assert run.status["state"] == "failed"
    assert "ZeroDivisionError" in run.status["traceback"]
    assert not run.finished
    with pytest.raises(TlxError, match=r"expected a finished run with metrics\.json, got .* \(failed\)"):
        _ = run.metrics
    assert tlx.train(config).finished


def test_every_broken_image_is_named_before_anything_is_predicted(tiny_run, tmp_path):
    """Guards against minutes of predictions that are lost to one file, and against a message that is a worker's
    traceback."""
    for name in ("good", "bad1", "bad2"):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{name}.png")
    for name in ("bad1", "bad2"):
        path = tmp_path / f"{name}.png"
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(TlxError) as caught:
        tiny_run.predict([tmp_path])
    told = str(caught.value)
    assert told.startswith("2 broken files")
    assert "bad1.png" in told
    assert "bad2.png" in told
    assert "Traceback" not in told
    assert len(tiny_run.predict([tmp_path / "good.png"])) == 1


def test_resamples_of_the_test_are_those_of_its_intervals(tiny_run):
    """Guards against a comparison of runs that resamples otherwise than the interval of each."""
    found = read_resamples(tiny_run.directory)
    assert found is not None
    for name, values in found.figures.items():
        ends = tiny_run.metrics[f"{name}_low"], tiny_run.metrics[f"{name}_high"]
        assert tuple(middle(values)) == pytest.approx(ends, abs=1e-5)
    assert "test/accuracy" in found.figures
    assert found.count == len((tiny_run.directory / "test_predictions.csv").read_text().splitlines()) - 1


def test_images_of_something_else_are_told_from_known_ones(copied, tmp_path):
    """Guards against noise that is a digit with certainty, and against runs without, or with damaged, known images."""
    generator = torch.Generator().manual_seed(0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        pixels = torch.randint(0, 2, (8, 8), generator=generator, dtype=torch.uint8) * 255
        Image.fromarray(pixels.numpy()).save(path)
    found = copied.predict(paths)
    assert found.distances.shape == (3,)
    assert found.unknown == (found.distances > found.limit).tolist()
    assert any(found.unknown)
    known = copied.directory / "known_images.pt"
    torch.save({"features": torch.ones(2, 3).half(), "limit": torch.tensor(0.5)}, known)
    with pytest.raises(TlxError, match="expected known images with"):
        copied.predict(paths)
    for values in ({}, {"features": torch.ones(2, 3), "limit": torch.tensor(0.5)}, {"features": 1, "limit": 2}):
        torch.save(values, known)
        with pytest.raises(TlxError, match=r"known_images\.pt"):
            copied.predict(paths)
    known.unlink()
    again = copied.predict(paths)
    assert again.distances is None
    assert torch.equal(again.probabilities, found.probabilities)
