"""A finished run's review: everything is read back from its events and files, and computed again in another way."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

import tlx
from tlx import Run
from tlx.config.hyperparameters import hyperparameters
from tlx.data.augmentation.transforms import eval_transform
from tlx.data.batches.dataset import SplitDataset
from tlx.data.datamodule import ImageDataModule
from tlx.measures.names import interval_of, is_of_a_class

pytestmark = pytest.mark.run
GROUPS = ["stem", "stage1", "stage2", "stage3", "head"]


def events_of(directory: Path) -> EventAccumulator:
    sizes = {"scalars": 0, "images": 0, "tensors": 0}
    return EventAccumulator(str(directory), size_guidance=sizes).Reload()


@pytest.fixture(scope="module")
def events(tiny_run) -> EventAccumulator:
    return events_of(tiny_run.directory)


@pytest.fixture(scope="module")
def data(tiny_run) -> ImageDataModule:
    return ImageDataModule(tiny_run.config.dataset, tiny_run.model.backbone.preprocessing, seed=0)


@pytest.fixture(scope="module")
def again(tiny_run, data) -> dict[str, torch.Tensor]:
    """The test split run through the network once more, by hand."""
    dataset = SplitDataset(data.splits["test"], eval_transform(data.preprocessing), data.channels)
    batch = dataset.__getitems__([(0, i) for i in range(len(dataset))])
    with torch.no_grad():
        features = tiny_run.model.features(batch["image"])
        return {**batch, "features": features, "probabilities": tiny_run.model.head(features).softmax(dim=1)}


def rows(run: Run) -> list[dict[str, str]]:
    with (run.directory / "test_predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_predictions_are_those_of_a_fresh_forward_pass(tiny_run, data, again):
    """Guards against rows under another image's name, and probabilities in the columns of other classes."""
    table = rows(tiny_run)
    samples = data.splits["test"].samples
    assert [row["image"] for row in table] == [sample.name for sample in samples]
    assert [row["true"] for row in table] == [data.class_names[sample.target] for sample in samples]
    probabilities = [[float(row[name]) for name in data.class_names] for row in table]
    torch.testing.assert_close(torch.tensor(probabilities), again["probabilities"], rtol=0, atol=1e-4)
    confidence, predicted = again["probabilities"].max(dim=1)
    assert [row["predicted"] for row in table] == [data.class_names[i] for i in predicted.tolist()]
    assert [float(row["confidence"]) for row in table] == pytest.approx(confidence.tolist(), abs=1e-4)


def calibration_error(run: Run) -> float:
    """By numpy, from the table alone."""
    table = rows(run)
    confidence = np.array([float(row["confidence"]) for row in table])
    right = np.array([row["true"] == row["predicted"] for row in table])
    inside = [(confidence > m / 15) & (confidence <= (m + 1) / 15) for m in range(15)]
    return sum(abs(right[bin_].mean() - confidence[bin_].mean()) * bin_.mean() for bin_ in inside if bin_.any())


def test_the_final_figures_are_scalars_at_the_last_step(tiny_run, events):
    """Guards against test figures that only metrics.json has, and an error of calibration of another formula."""
    metrics = tiny_run.metrics
    assert metrics["test/ece"] == pytest.approx(calibration_error(tiny_run), abs=1e-5)
    names = {name: name for name in metrics if name.startswith("test/") and not is_of_a_class(name)}
    assert {"test/auroc", "test/auroc_low", "test/accuracy_high"} < set(names)
    assert not any(is_of_a_class(tag) for tag in events.Tags()["scalars"] if tag.startswith("test/"))
    names |= {f"Best/{n.replace('/', '_')}": n for n in metrics if n in ("val/accuracy", "val/loss", "test/ece")}
    for tag, name in names.items():
        (point,) = events.Scalars(tag)
        assert point.value == pytest.approx(metrics[name], rel=1e-6)
        assert point.step == metrics["train/steps"]
    right = np.mean([row["true"] == row["predicted"] for row in rows(tiny_run)])
    assert metrics["test/accuracy"] == pytest.approx(right)


def test_the_first_charts_are_those_of_training_and_validation(tiny_run, events):
    """Guards against a first screen of figures that are a single point: TensorBoard opens the first two groups, and
    sorts `/`, `_` and digits before all else; and against points that are not those of the epochs."""

    def place(tag: str) -> list[str]:
        return ["" if c in "/_0123456789" else c for c in tag]

    groups = list(dict.fromkeys(tag.partition("/")[0] for tag in sorted(events.Tags()["scalars"], key=place)))
    assert groups[:2] == ["_accuracy", "_loss"]
    with (tiny_run.directory / "metrics.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for metric in ("accuracy", "loss"):
        for split in ("train", "val"):
            points = events.Scalars(f"_{metric}/{split}")
            assert [point.step for point in points] == [int(row["epoch"]) for row in table]
            assert [p.value for p in points] == pytest.approx([float(row[f"{split}/{metric}"]) for row in table])


def test_every_picture_is_there_as_event_and_as_file(tiny_run, events):
    """Guards against pictures that are lost on one of the two ways, or that are another run's."""
    assert {t for t in events.Tags()["images"] if t.startswith("review/")} == {
        f"review/{name}" for name in ("confusion_matrix", "precision_recall", "reliability", "training_images", "wrong")
    }
    for tag in events.Tags()["images"]:
        (picture,) = events.Images(tag)
        shown = np.array(Image.open(io.BytesIO(picture.encoded_image_string)))
        kept = np.array(Image.open(tiny_run.directory / f"{tag}.png"))
        assert np.array_equal(shown, kept)
        assert picture.step == tiny_run.metrics["train/steps"]
        assert len(np.unique(shown)) > 10  # something is drawn


def text(events: EventAccumulator, name: str) -> str:
    (event,) = events.Tensors(f"review/{name}/text_summary")
    return event.tensor_proto.string_val[0].decode()


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if "|" in line]


def test_the_table_of_classes_is_that_of_the_predictions(tiny_run, events):
    """Guards against precision under the heading of recall, in the text that is read most."""
    table, names = rows(tiny_run), tiny_run.description["class_names"]
    counts = sklearn_confusion([r["true"] for r in table], [r["predicted"] for r in table], labels=names)
    shown = cells(text(events, "per_class"))
    assert text(events, "per_class").startswith("| class | precision | recall | F1 | images |")
    for i, name in enumerate(names):
        precision, recall = counts[i, i] / max(counts[:, i].sum(), 1), counts[i, i] / counts[i].sum()
        assert shown[i][0] == name
        assert float(shown[i][1].replace("–", "0")) == pytest.approx(precision, abs=6e-4)
        assert float(shown[i][2]) == pytest.approx(recall, abs=6e-4)
        assert int(shown[i][4]) == counts[i].sum()


def test_each_class_against_the_others_is_that_of_the_predictions(tiny_run, events):
    """Guards against areas, sensitivities or intervals of another class, in the text or in metrics.json."""
    table, names, metrics = rows(tiny_run), tiny_run.description["class_names"], tiny_run.metrics
    true, called = np.array([r["true"] for r in table]), np.array([r["predicted"] for r in table])
    told = text(events, "sensitivity_and_specificity")
    assert told.startswith("| class | sensitivity | specificity | PPV | AUROC | images |")
    note = (
        f"In brackets: 95 % intervals, from 2,000 resamples of {len(table)} test images. Where all images are right or"
    )
    assert told.endswith(f"{note} all wrong, the interval is that of Clopper and Pearson.")
    areas = []
    for shown, name in zip(cells(told), names, strict=True):
        own = true == name
        areas.append(roc_auc_score(own, [float(r[name]) for r in table]))
        expected = {
            "sensitivity": (called[own] == name).mean(), "specificity": (called[~own] != name).mean(),
            "ppv": own[called == name].mean(), "auroc": areas[-1],
        }  # fmt: skip
        assert (shown[0], int(shown[5])) == (name, own.sum())
        for cell, (figure, value) in zip(shown[1:5], expected.items(), strict=True):
            key = f"test/{figure}/{name}"
            assert metrics[key] == pytest.approx(value, abs=1e-4)
            ends = interval_of(metrics, key)  # none where the area is 1 in all resamples
            assert cell == f"{metrics[key]:.3f}" + (" ({:.3f} to {:.3f})".format(*ends) if ends else "")
    assert metrics["test/auroc"] == pytest.approx(np.mean(areas), abs=1e-4)
    page = (tiny_run.directory / "review" / "review.md").read_text(encoding="utf-8")
    assert told in page
    low, high = interval_of(metrics, "test/accuracy")
    assert f"| `test/accuracy` | {metrics['test/accuracy']:.4f} | {low:.4f} to {high:.4f} |" in page
    assert "`test/accuracy_low`" not in page
    assert f"`test/auroc/{names[0]}`" not in page


def test_the_most_confidently_wrong_images_are_named(tiny_run, events):
    """Guards against names of right images, or of those of which the network was least sure."""
    wrong = [row for row in rows(tiny_run) if row["true"] != row["predicted"]]
    wrong.sort(key=lambda row: -float(row["confidence"]))
    shown = cells(text(events, "most_confidently_wrong"))
    assert [row[:3] for row in shown] == [[r["image"], r["true"], r["predicted"]] for r in wrong[: len(shown)]]
    assert len(shown) == min(20, len(wrong)) > 0
    for row, expected in zip(shown, wrong, strict=False):
        assert float(row[3]) == pytest.approx(float(expected["confidence"]), abs=6e-5)
        assert float(row[4]) == pytest.approx(float(expected[expected["true"]]), abs=6e-5)
    page = (tiny_run.directory / "review" / "review.md").read_text(encoding="utf-8")
    assert text(events, "most_confidently_wrong") in page
    assert "](wrong.png)" in page


def test_the_projector_has_the_features_of_the_images_beside_their_names(tiny_run, again):
    """Guards against points that stand under another image's name."""
    folder = tiny_run.directory / "projector"
    points = np.loadtxt(folder / "features.tsv", delimiter="\t")
    told = [line.split("\t") for line in (folder / "metadata.tsv").read_text().splitlines()]
    assert told[0] == ["image", "true", "predicted", "verdict"]
    table = rows(tiny_run)
    verdict = ["right" if row["true"] == row["predicted"] else "wrong" for row in table]
    assert told[1:] == [[r["image"], r["true"], r["predicted"], v] for r, v in zip(table, verdict, strict=True)]
    np.testing.assert_allclose(points, again["features"].numpy(), rtol=1e-3, atol=1e-4)


def test_the_row_of_the_run_holds_its_configuration_and_is_named_after_it(tiny_run, events):
    """Guards against rows that TensorBoard averages because they have one name, or that lack a key."""
    told = {
        tag: events.SummaryMetadata(tag).plugin_data.content
        for tag in (metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG)
    }
    start = metadata.parse_session_start_info_plugin_data(told[metadata.SESSION_START_INFO_TAG])
    assert start.group_name == tiny_run.directory.name
    found = {key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()}
    assert found == hyperparameters(tiny_run.config)
    assert found["optimizer.lr"] == pytest.approx(1e-2)
    assert metadata.parse_session_end_info_plugin_data(told[metadata.SESSION_END_INFO_TAG]).status == 1
    assert metadata.EXPERIMENT_TAG not in events.Tags()["tensors"]  # or the columns would be this run's alone


def test_every_layer_group_has_a_curve_of_its_movement(tiny_run, events):
    """Guards against frozen groups that seem to move, and movement from another start than the run's."""
    curves = {group: [point.value for point in events.Scalars(f"movement/{group}")] for group in GROUPS}
    assert all(len(curve) == 3 for curve in curves.values())
    for group, first in {"head": 0, "stage3": 1, "stage2": 1, "stage1": 2, "stem": 2}.items():
        assert curves[group][:first] == [0] * first
        assert all(value > 1e-3 for value in curves[group][first:])
    from tlx.training.experiment import build

    _, task = build(tiny_run.config)
    last = torch.load(tiny_run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    names = {id(p): name for name, p in task.named_parameters()}
    for group in GROUPS:
        start = torch.cat([p.detach().flatten() for p in task.group_parameters(group)])
        end = torch.cat([last[names[id(p)]].flatten() for p in task.group_parameters(group)])
        assert curves[group][-1] == pytest.approx(float((end - start).norm() / start.norm()), rel=1e-4)
    assert (
        len({point.step for point in events.Scalars("movement/head")} & {p.step for p in events.Scalars("val/loss")})
        == 3
    )


def test_what_trains_changes_at_the_first_step_of_a_stage(tiny_run, events):
    """Guards against a curve that shows a stage late, or not at all."""
    task, steps = tiny_run.model, int(tiny_run.metrics["train/steps"]) // 3
    size = {group: sum(p.numel() for p in task.group_parameters(group)) for group in GROUPS}
    stages = [size["head"], size["head"] + size["stage3"] + size["stage2"], sum(size.values())]
    curve = {point.step: point.value for point in events.Scalars("trainable_parameters")}
    for stage, expected in enumerate(stages):
        assert curve[stage * steps] == curve[(stage + 1) * steps - 1] == expected


def test_without_a_logger_there_is_the_table_and_no_picture(tmp_path):
    """Guards against a second of drawing in every run of a sweep that asked for none."""
    config = tlx.compose(
        [
            "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "trainer=debug",
            "strategy=linear_probe", "logger=none", f"run_dir={tmp_path / 'run'}",
        ]
    )  # fmt: skip
    run = tlx.train(config)
    assert len(rows(run)) == 64  # two batches
    assert run.metrics["test/ece"] == pytest.approx(calibration_error(run), abs=1e-5)
    assert not (run.directory / "review").exists()
    assert not (run.directory / "projector_config.pbtxt").exists()
    assert not list(run.directory.glob("events*"))
