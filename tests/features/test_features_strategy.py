"""`strategy=features` as a run like any other: figures, cache, prediction, what starts from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import tlx
from tlx.base.errors import ConfigError, Interrupted, TlxError
from tlx.data import ImageDataModule
from tlx.data.batches.loader import EpochLoader
from tlx.features import classical_fit
from tlx.runs.resume import resumed
from tlx.runs.run import Run
from tlx.training.experiment import build

pytestmark = [pytest.mark.run, pytest.mark.usefixtures("forked_commands")]
DIGITS = (
    "backbone=small_cnn", "backbone.width=4", "dataset.channels=1", "dataset.image_size=16", "strategy=features",
    "dataset.labels_per_class=20", "logger=none",
)  # fmt: skip


def train(directory: Path, *overrides: str) -> Run:
    return tlx.train(
        tlx.compose([*DIGITS, f"run_dir={directory}", f"cache.dir={directory.parent / 'cache'}", *overrides])
    )


def features(run: Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    data = ImageDataModule(run.config.dataset, run.model.backbone.preprocessing, 0)
    found, targets = [], []
    for batch in data.images_of(split, range(data.sizes[split])):
        with torch.inference_mode():
            found.append(run.model.features(batch["image"]).double().numpy())
        targets.append(batch["target"].numpy())
    return np.concatenate(found), np.concatenate(targets)


def test_figures_are_those_of_scikit_learn_by_hand(tmp_path):
    """Guards against a classifier on other features, other images or other labels than the figures say."""
    run = train(tmp_path / "run", "classifier.search.C=[0.1]")
    x, y = features(run, "train")
    scaling = StandardScaler().fit(x)
    by_hand = LogisticRegression(C=0.1, max_iter=1000).fit(scaling.transform(x), y)
    for split in ("val", "test"):
        x, y = features(run, split)
        assert run.metrics[f"{split}/accuracy"] == pytest.approx((by_hand.predict(scaling.transform(x)) == y).mean())
    assert run.metrics["test/accuracy"] > 0.5
    assert run.test()["test/loss"] == pytest.approx(run.metrics["test/loss"], rel=1e-4)
    assert run.status["state"] == "finished"


def test_the_network_stays_as_it_was(finished):
    """Guards against BatchNorm statistics or weights that move where nothing trains."""
    run = finished(*DIGITS)
    _, task = build(run.config)
    for name, tensor in task.backbone.state_dict().items():
        assert torch.equal(tensor, run.model.backbone.state_dict()[name]), name


@pytest.mark.parametrize("groups", ["stage3", "[stem,stage2]", "all"])
def test_pooled_outputs_of_any_groups_with_the_cache_and_without(tmp_path, groups):
    """Guards against features in another order, of other groups, or not those that are computed from images."""
    chosen = f"strategy.groups={groups}"
    cached, plain = (train(tmp_path / n, chosen, *more) for n, more in (("a", ()), ("b", ("cache.enabled=false",))))
    for split in ("val", "test"):
        for figure in ("loss", "accuracy"):
            name = f"{split}/{figure}"
            assert cached.metrics[name] == pytest.approx(plain.metrics[name], rel=1e-4)
    assert Run(cached.directory).test()["test/loss"] == pytest.approx(cached.metrics["test/loss"], rel=1e-4)
    widths = {"stage3": 16, "[stem,stage2]": 4 + 16, "all": 4 + 8 + 16 + 16}
    assert features(cached, "test")[0].shape[1] == widths[groups]


def test_a_second_classifier_computes_no_features(tmp_path):
    """Guards against minutes of features for every classifier that is tried."""
    train(tmp_path / "first", "classifier=knn")
    second = train(tmp_path / "second", "classifier=nearest_centroid")
    log = (second.directory / "tlx.log").read_text()
    assert "nearest_centroid on 16 features of 200 images" in log
    assert "cache: train" not in log
    assert "cache: test" not in log


def test_images_are_predicted_as_in_the_test(tmp_path):
    """Guards against prediction that leaves the classifier, or its scaling, out."""
    run = train(tmp_path / "run", "classifier=svm", "strategy.groups=[stage1,stage3]")
    data = ImageDataModule(run.config.dataset, run.model.backbone.preprocessing, 0)
    split = data.splits["test"]
    for i in range(20):
        Image.fromarray(split.pixels[split.samples[i].source][0].numpy()).save(tmp_path / f"{i:02}.png")
    found = Run(run.directory).predict([tmp_path / "*.png"])
    lines = (run.directory / "test_predictions.csv").read_text().splitlines()[1:21]
    assert sum(label in line for label, line in zip(found.labels, lines, strict=True)) == 20
    assert torch.allclose(found.probabilities.sum(1), torch.ones(20))


def test_its_backbone_serves_other_runs(tmp_path, finished):
    """Guards against a head without weights that stands in the way of `backbone=run`."""
    run = finished(*DIGITS)
    other = train(tmp_path / "other", "~backbone.width", "backbone=run", f"backbone.run={run.directory}")
    assert other.metrics["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])


def test_the_same_again_is_returned_and_another_classifier_is_another_run(tmp_path):
    """Guards against names of runs that do not tell classifiers apart."""
    runs = [tlx.compose([*DIGITS, f"classifier={name}"]) for name in ("logreg", "svm")]
    assert len({config.run_name for config in runs}) == 2
    assert "features_svm" in runs[1].run_name
    run = train(tmp_path / "run")
    wrote = (run.directory / "metrics.json").stat().st_mtime_ns
    assert train(tmp_path / "run").finished
    assert (run.directory / "metrics.json").stat().st_mtime_ns == wrote


def test_an_interrupted_run_goes_on_from_its_features(tmp_path, monkeypatch):
    """Guards against features that are computed again, or a run that cannot be taken up without a checkpoint."""

    def stop(*args: object, **kwargs: object) -> None:
        raise Interrupted("stopped by SIGTERM")

    monkeypatch.setattr(classical_fit, "fit", stop)
    with pytest.raises(Interrupted):
        train(tmp_path / "run")
    monkeypatch.undo()
    assert Run(tmp_path / "run").status["state"] == "interrupted"
    run = tlx.train(resumed(tmp_path / "run", [f"cache.dir={tmp_path / 'cache'}"]))
    log = (run.directory / "tlx.log").read_text().splitlines()
    assert sum("cache: train: 200 images" in line for line in log) == 1
    plain = train(tmp_path / "plain", "cache.enabled=false")
    assert run.metrics["test/loss"] == pytest.approx(plain.metrics["test/loss"], rel=1e-4)


def test_best_weights_are_the_same_bytes_after_an_interruption(tmp_path, monkeypatch):
    """Guards against a resumed run whose file cannot be compared with the one that nobody interrupted."""
    run = train(tmp_path / "run", "classifier=svm")
    undisturbed = (run.checkpoints / "best.ckpt").read_bytes()
    shutil.rmtree(run.directory)
    whole = classical_fit.fit

    def stop(*args: object, **kwargs: object) -> None:
        whole(*args, **kwargs)
        raise Interrupted("stopped by SIGTERM")

    monkeypatch.setattr(classical_fit, "fit", stop)
    with pytest.raises(Interrupted):
        train(tmp_path / "run", "classifier=svm")
    monkeypatch.undo()
    assert (train(tmp_path / "run", "classifier=svm").checkpoints / "best.ckpt").read_bytes() == undisturbed


def test_a_limit_of_batches_limits_features(tmp_path):
    """Guards against a trial on two batches that computes the features of a million images first."""
    seen = []
    run = tlx.compose([*DIGITS, f"run_dir={tmp_path}", "trainer.limit_batches=3", "dataset.batch_size=16"])
    with pytest.MonkeyPatch.context() as patch:
        of = ImageDataModule.images_of

        def watched(self: ImageDataModule, split: str, which: list[int]) -> EpochLoader:
            seen.append((split, list(which)))
            return of(self, split, which)

        patch.setattr(ImageDataModule, "images_of", watched)
        trained = tlx.train(run)
    assert {split: len(which) for split, which in seen} == {"train": 48, "val": 48, "test": 48}
    data, _ = build(trained.config)
    data.set_epoch(0)
    order = [i.item() for batch in data.train_dataloader() for i in batch["index"]]
    assert seen[0] == ("train", order[:48])
    assert trained.metrics["test/accuracy"] > 0.2


def test_two_processes_give_what_one_gives(tmp_path):
    """Guards against features that processes share out and put together in another order."""
    one = train(tmp_path / "one", "trainer.devices=1")
    for name, more in (("two", ()), ("plain", ("cache.enabled=false",))):
        two = train(
            tmp_path / name, "trainer.devices=2", "trainer.accelerator=cpu", f"cache.dir={tmp_path / name}", *more
        )
        for figure in ("val/loss", "test/loss", "test/accuracy"):
            assert two.metrics[figure] == pytest.approx(one.metrics[figure], rel=1e-4), (name, figure)


def test_auto_is_settled(tmp_path):
    """Guards against a trial of training steps where nothing trains."""
    run = train(tmp_path / "run", "trainer.precision=auto", "trainer.channels_last=auto", "trainer.compile=auto")
    assert run.config.trainer.precision in ("32-true", "bf16-mixed")
    assert run.config.trainer.compile is False


def test_a_target_domain_is_tested(tmp_path):
    """Guards against a classifier that is tested on the source where a target is named."""
    run = train(
        tmp_path / "run", "dataset.classes=[0,1,2]", "target=plates", "target.characters=[0,1,2]", "target.per_class=20"
    )
    assert {"test/accuracy", "target/infomax"} <= set(run.metrics)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["strategy=linear_probe", "classifier=svm"], "strategy=features"),
        (["classifier.CC=1"], "did you mean 'C'"),
        (["classifier.search.gama=[1]"], "classifier.search.gama"),
        (["task.class_weights=balanced"], "classifier.class_weight=balanced"),
        (["dataset.sampling=balanced"], "classifier.class_weight=balanced"),
        (["strategy.groups=stage9"], "did you mean"),
        (["strategy.groups=head"], "layer groups below the head"),
        (["~classifier"], "tlx list classifiers"),
        (["strategy.stages=[{name: a, train: head}]"], "no stages"),
        (["classifier._target_=sklearn.svm.LinearSCV"], "did you mean 'sklearn.svm.Linear"),
    ],
)
def test_mistakes_are_told_before_anything_is_built(overrides, told):
    """Guards against a typing error that shows after the features are computed, or never."""
    with pytest.raises(ConfigError, match=told.replace("[", r"\[")):
        tlx.compose([*DIGITS, *overrides])


def test_labels_that_are_no_classes_are_refused_before_anything_is_loaded():
    """Guards against a classifier that is fitted to masks, found out when the features of all images are computed."""
    typed = ["dataset=scenes", "backbone=small_cnn", "strategy=features", "classifier=svm"]
    with pytest.raises(
        ConfigError, match=r"classifier: expected labels that are classes of images, got dataset=scenes"
    ):
        tlx.train(tlx.compose(typed))


def test_a_users_own_kind_of_labels_is_refused_by_name():
    """Guards against the same for a source whose labels are not known before it is called."""
    data = SimpleNamespace(label_kind=lambda split: SimpleNamespace(name="tags"))
    with pytest.raises(TlxError, match="whose labels are classes, got labels of the kind 'tags'"):
        classical_fit.ClassicalFit({}, ["stage3"], data, None)
