"""A configuration that a run directory brings: what it may build, what it cannot read, what it does not decide."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from skops import io as skops

import tlx
from tests.hostile.test_code import Payload
from tlx import Run, TlxError
from tlx.base.allowed import VARIABLE
from tlx.building.listed import CLASSIFIERS, LISTED, OPTIMIZERS
from tlx.building.nodes import build_node
from tlx.building.safety import locate
from tlx.cli import main
from tlx.config import check_command_line
from tlx.config.receiver import received
from tlx.config.stored import as_config, settled, stored_config
from tlx.features.classifiers import PARTS, from_bytes, to_bytes
from tlx.records.escapes import Reference, escaped, unescaped
from tlx.runs.resume import resumed

SECRET = "s3cr3t-of-the-receiver"


@pytest.fixture(autouse=True)
def nothing_allowed(tmp_path, monkeypatch):
    """No leave that an earlier test typed; a secret in the environment."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("TLX_TEST_SECRET", SECRET)


@pytest.fixture
def stolen(tiny_run, tmp_path):
    return Run(shutil.copytree(tiny_run.directory, tmp_path / "stolen"))


def changed(run: Run, **keys) -> None:
    """Set dotted keys (`__` for the dot) of config.yaml, as plain YAML."""
    path = run.directory / "config.yaml"
    held = yaml.safe_load(path.read_text())
    for dotted, value in keys.items():
        *outer, last = dotted.split("__")
        node = held
        for key in outer:
            node = node[key]
        node[last] = value
    path.write_text(yaml.safe_dump(held))


def unfinished(run: Run) -> Run:
    run.write_status("interrupted", identity=run.status["identity"])
    (run.directory / "metrics.json").unlink()
    return run


def test_a_listed_package_is_no_permission_for_what_lies_in_it(stolen, tmp_path, capsys):
    """Guards against a node inside the task that unpickles a file: `tlx predict RUN` ran it, for it is timm's own."""
    mark = tmp_path / "mark"
    torch.save({"x": Payload(mark)}, tmp_path / "evil.pth")
    evil = {"checkpoint_path": str(tmp_path / "evil.pth"), "weights_only": False}
    changed(stolen, task__class_weights={"_target_": "timm.models.load_state_dict", **evil})
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(stolen.directory), str(tmp_path / "one.png"), "-o", str(tmp_path / "p.csv")])
    assert ended.value.code == 2
    assert "expected no _target_: nothing is built here" in capsys.readouterr().err
    assert not mark.exists()
    with pytest.raises(TlxError, match=r"task\.class_weights\._target_"):
        resumed(stolen.directory)


@pytest.mark.parametrize("key", ["_partial_", "_args_", "_convert_", "_recursive_"])
def test_keys_of_hydra_are_refused(stolen, key):
    """Guards against `_partial_`, which hands over a function in the place of what it makes, and its siblings."""
    changed(stolen, **{f"task__{key}": True})
    with pytest.raises(TlxError, match=rf"config\.yaml.*no Hydra key except.*{key}"):
        _ = stolen.config


def test_the_architecture_has_a_list_of_its_own(stolen):
    """Guards against model.json that builds what config.yaml may, such as a backbone from a file on this machine."""
    told = stolen.description
    told["architecture"] = {"_target_": "tlx.backbones.file_backbone", "path": "x", "architecture": "resnet18"}
    (stolen.directory / "model.json").write_text(json.dumps(told))
    with pytest.raises(TlxError, match=r"model\.json: expected a _target_ of tlx\.backbones\.torchvision_backbone"):
        _ = stolen.model
    config = tlx.compose(["backbone=run", f"backbone.run={stolen.directory}", "dataset.channels=1"])
    with pytest.raises(TlxError, match=r"model\.json: expected a _target_ of"):
        build_node(config.backbone, "backbone", in_channels=1)


def test_every_listed_name_exists_and_is_what_its_node_needs():
    """Guards against a name on a list that is no class, or leads to something else in a newer version."""
    for place, names in LISTED.items():
        if not place.startswith("hydra"):
            assert all(callable(locate(name, place)) for name in names), place
    kinds = {"torch.optim.Optimizer": OPTIMIZERS, "sklearn.base.ClassifierMixin": CLASSIFIERS}
    for base, names in kinds.items():
        module, _, name = base.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        assert all(issubclass(locate(listed), kind) for listed in names)


def test_a_package_that_a_user_allows_is_no_way_out_of_it(monkeypatch, tmp_path):
    """Guards against `mine.os.mkdir` where somebody has allowed `mine` for good."""
    (tmp_path / "hostile_mine.py").write_text("import os\ndef net(width=1):\n    return width\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(VARIABLE, "hostile_mine")
    assert build_node({"_target_": "hostile_mine.net", "width": {"_target_": "hostile_mine.net"}}, "backbone") == 1
    with pytest.raises(TlxError, match="defined in a package that you allow"):
        build_node({"_target_": "hostile_mine.os.mkdir", "path": str(tmp_path / "mark")}, "backbone")
    with pytest.raises(TlxError, match="nothing is built here"):
        build_node({"_target_": "hostile_mine.net", "width": {"_target_": "os.getcwd"}}, "backbone")


@pytest.mark.slow
def test_options_from_elsewhere_set_no_variables_and_build_nothing_in_a_launcher(tmp_path):
    """Guards against a --config-dir whose `env_set` loads a library into every child, or whose pruner is a function;
    and against its settings of the log, from which `logging.config` built whatever they named."""
    mark = tmp_path / "mark"
    handler = f"{{version: 1, handlers: {{x: {{(): os.mkdir, path: {mark}}}}}, root: {{handlers: [x]}}}}"
    for name, text in {
        "one": "hydra: {job: {env_set: {LD_PRELOAD: /tmp/x.so}}}",
        "two": "hydra: {sweeper: {_target_: hydra_plugins.tlx.OptunaSweeper, pruner: {_target_: os.getcwd}}}",
        "three": "task: {class_weights: {_target_: timm.models.load_state_dict}}",
        "four": "optimizer: {_target_: torch.optim.swa_utils.AveragedModel}",
        "five": f"hydra: {{job_logging: {handler}}}",
        "six": f"hydra: {{hydra_logging: {handler}}}",
        "seven": "hydra: {job: {env_copy: [TLX_TEST_SECRET]}}",
        "eight": "hydra: {job: {env_copy: [TLX_TEST_NO_SUCH_VARIABLE]}}",
    }.items():
        path = tmp_path / "options" / "experiment" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# @package _global_\n{text}\n")
        assert check_command_line([f"experiment={name}"], str(tmp_path / "options"), multirun=False), name


def test_a_classifier_is_made_of_listed_parts():
    """Guards against a .skops in a checkpoint with a function of NumPy's or scikit-learn's that runs a text as code."""
    fitted = Pipeline([("classifier", LogisticRegression().fit(np.eye(3), [0, 1, 2]))])
    assert from_bytes(to_bytes(fitted)).classes_.tolist() == [0, 1, 2]
    step = FunctionTransformer(np.testing.measure)
    evil = skops.dumps(Pipeline([("scaling", step), *fitted.steps]))
    assert all(name.startswith("numpy.") for name in skops.get_untrusted_types(data=evil))
    with pytest.raises(TlxError, match=r"parts of scikit-learn's classifiers only, got numpy\.testing"):
        from_bytes(evil)
    with pytest.raises(TlxError, match="a fitted classifier"):
        from_bytes(skops.dumps({"a": 1}))
    assert not any("func" in name.lower() for name in PARTS)


REFERENCES = ["${oc.env:TLX_TEST_SECRET}", "${seed}", "x ${oc.env:TLX_TEST_SECRET}", r"\\${oc.env:TLX_TEST_SECRET}"]


@pytest.mark.parametrize("text", REFERENCES)
def test_a_reference_is_refused_and_never_resolved(stolen, tmp_path, capsys, text):
    """Guards against a secret of the receiver's that is written into tlx.log, config.yaml and the events."""
    run = unfinished(stolen)
    changed(run, output_dir=text)
    (tmp_path / "one.png").write_bytes(b"")
    verbs = [
        ["test", str(run.directory)],
        ["train", f"resume={run.directory}"],
        ["predict", str(run.directory), str(tmp_path / "one.png")],
        ["lineage", str(run.directory)],
    ]
    for verb in verbs:
        with pytest.raises(SystemExit) as ended:
            main(verb)
        assert ended.value.code == 2
    told = run.description
    changed(run, output_dir="outputs")
    (run.directory / "model.json").write_text(json.dumps({**told, "class_names": [text, *told["class_names"][1:]]}))
    with pytest.raises(TlxError, match=r"model\.json: expected values, got a reference"):
        _ = run.model
    said = capsys.readouterr()
    assert "a reference" in said.err
    assert SECRET not in said.err + said.out
    assert not [p for p in run.directory.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


@pytest.mark.slow
def test_a_dollar_in_a_name_comes_back_as_it_was(tmp_path):
    """Guards against an own run that cannot be read because a name holds `$`, and against a name that resolves."""
    names = ["a$b", "${oc.env:TLX_TEST_SECRET}", r"c\${x}"]
    root = tmp_path / "data"
    for k, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (16, 16), 80 * k + i).save(root / name / f"{i}.png")
    typed = [
        "dataset=folder", f"dataset.root={root}", r"dataset.name='\${oc.env:TLX_TEST_SECRET} $5'", "dataset.channels=1",
        "dataset.image_size=16", "backbone=small_cnn", "backbone.width=4", "trainer.stage_epochs=1",
        "strategy=linear_probe", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    run = tlx.train(tlx.compose(typed))
    assert run.config.dataset.name == "${oc.env:TLX_TEST_SECRET} $5"
    assert sorted(run.description["class_names"]) == sorted(names)
    assert sorted(run.model.class_names) == sorted(names)
    assert run.test()["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    held = torch.load(run.checkpoints / "best.ckpt", weights_only=True)["tlx"]
    assert unescaped(held["config"]) == OmegaConf.to_container(run.config, resolve=True)
    assert tlx.train(tlx.compose(typed)).finished  # found again under its own name
    tlx.train(resumed(unfinished(run).directory))
    assert run.finished
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


def test_escaping_is_undone_by_omegaconf_and_by_us():
    """Guards against a text that is another one after it was written and read."""
    rng = np.random.default_rng(0)
    parts = ["\\", "$", "{", "}", "x", "${", ":", "'", " ", "a.b", "${oc.env:TLX_TEST_SECRET}"]
    texts = ["".join(rng.choice(parts, size=rng.integers(1, 8))) for _ in range(300)]
    assert unescaped(escaped(texts)) == texts
    config = as_config({"texts": texts})
    assert OmegaConf.to_container(settled(settled(config)), resolve=True) == {"texts": texts}
    with pytest.raises(Reference):
        unescaped({"a": [r"\\${x}"]})


@pytest.mark.slow
def test_where_anything_is_written_comes_from_the_receiver(stolen, tmp_path, caplog):
    """Guards against a config.yaml that empties the receiver's folder by `cache.max_gb`, or logs into another."""
    run = unfinished(stolen)
    elsewhere = str(tmp_path / "elsewhere")
    changed(
        run, cache__dir=elsewhere, cache__max_gb=1e-9, logger__save_dir=elsewhere, output_dir=elsewhere,
        run_dir=elsewhere, dataset__num_workers=64, trainer__progress_bar=True,
    )  # fmt: skip
    config = resumed(run.directory)
    assert (config.cache.dir, config.cache.max_gb, config.dataset.num_workers) == (None, 20.0, "auto")
    assert (config.run_dir, config.logger.save_dir) == (str(run.directory), str(run.directory))
    assert f"not taken from config.yaml: cache.dir={elsewhere}, cache.max_gb=1e-09" in caplog.text
    assert elsewhere not in str(config)
    tlx.train(config)
    assert run.finished
    assert not Path(elsewhere).exists()
    typed = resumed(run.directory, [f"cache.dir={elsewhere}", "dataset.num_workers=1"])
    assert (typed.cache.dir, typed.dataset.num_workers) == (elsewhere, 1)


def test_the_logger_is_never_the_runs_own(stolen):
    """Guards against a tracking_uri that sends the receiver's figures away, and against a logger that is no logger."""
    run = unfinished(stolen)
    away = {"_target_": "pytorch_lightning.loggers.MLFlowLogger", "tracking_uri": "http://198.51.100.1"}
    for logger in (away, {"_target_": "os.mkdir", "path": "x"}):
        changed(run, logger=logger)
        ours = resumed(run.directory).logger
        assert ours == tlx.compose([f"run_dir={run.directory}"]).logger
    changed(run, logger={"_target_": None})
    assert resumed(run.directory).logger == {"_target_": None}


def test_a_stored_path_is_only_read_and_nothing_is_downloaded_into_it(stolen, tmp_path):
    """Guards against `dataset.root` of a foreign run into which torchvision unpacks an archive."""
    node = {**OmegaConf.to_container(tlx.compose(["dataset=mnist"]).dataset, resolve=True), "root": str(tmp_path / "x")}
    assert node["download"]
    changed(stolen, dataset=node)
    with pytest.raises(TlxError, match=r"dataset\.download"):
        stolen.test()
    assert not (tmp_path / "x").exists()
    config = {**OmegaConf.to_container(stolen.config, resolve=True), "target": node}
    assert [received(config, "x")[part]["download"] for part in ("dataset", "target")] == [False, False]


def test_more_processes_than_the_machine_has_cores_have_to_be_typed(stolen):
    """Guards against a config.yaml that starts a thousand processes, or waits for another machine for ever."""
    run = unfinished(stolen)
    changed(run, trainer__devices=[*range(max(8, os.cpu_count() or 1) + 1)], dataset__batch_size=len(range(36)))
    with pytest.raises(TlxError, match=r"trainer\.devices"):
        resumed(run.directory)
    changed(run, trainer__devices=1, trainer__num_nodes=2)
    with pytest.raises(TlxError, match=r"trainer\.num_nodes=2.*type trainer\.num_nodes=1"):
        resumed(run.directory)
    assert resumed(run.directory, ["trainer.num_nodes=1"]).trainer.num_nodes == 1


def test_the_form_of_a_stored_configuration_is_checked(stolen):
    """Guards against values of other types that end in a traceback of whoever uses them."""
    for keys in ({"seed": "x"}, {"task": []}, {"strategy": {"name": 1}}, {"optimizer__lr": -1}, {"nosuch": 1}):
        before = (stolen.directory / "config.yaml").read_text()
        changed(stolen, **keys)
        with pytest.raises(TlxError, match=r"config\.yaml: expected a configuration of tlx, got"):
            stored_config(stolen.directory)
        (stolen.directory / "config.yaml").write_text(before)
