"""Files from elsewhere run no code: each of these would leave a mark if it did."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import pytest
import torch
from omegaconf import OmegaConf

import tlx
from tlx import Run, TlxError
from tlx.base.allowed import VARIABLE
from tlx.building.safety import refuse_foreign_targets
from tlx.config import check_command_line
from tlx.runs.resume import resumed
from tlx.training.experiment import build


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """What must not be there afterwards; and no leave that an earlier test typed."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    yield tmp_path / "mark"
    assert not (tmp_path / "mark").exists()


@pytest.fixture
def stolen(tiny_run, tmp_path):
    return Run(shutil.copytree(tiny_run.directory, tmp_path / "stolen"))


def test_the_payload_works(tmp_path):
    """Guards against a payload that would leave no mark if it ran, and so proves nothing."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "mark")))
    assert (tmp_path / "mark").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["model", "test", "backbone", "resume"])
def test_a_checkpoint_runs_no_code(stolen, mark, verb):
    """Guards against a checkpoint that is unpickled with all that stands in it."""
    for path in stolen.checkpoints.iterdir():
        held = torch.load(path, weights_only=True)
        torch.save({**held, "extra": Payload(mark)}, path)
    if verb == "resume":
        stolen.write_status("interrupted")
        (stolen.directory / "metrics.json").unlink()
    use = {
        "model": lambda: stolen.model,
        "test": stolen.test,
        "backbone": lambda: build(tlx.compose(["backbone=run", f"backbone.run={stolen.directory}"])),
        "resume": lambda: tlx.train(resumed(stolen.directory)),
    }
    with pytest.raises(TlxError, match=r"\.ckpt"):
        use[verb]()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["pth", "pt", "ckpt", "bin", "safetensors"])
def test_a_weight_file_runs_no_code(tmp_path, mark, ending):
    """Guards against `backbone=file` on downloaded weights."""
    path = tmp_path / f"weights.{ending}"
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}, "extra": Payload(mark)}, path)
    config = tlx.compose(["backbone=file", f"backbone.path={path}", "backbone.architecture=resnet18"])
    with pytest.raises(TlxError):
        build(config)


@pytest.mark.parametrize("node", ["dataset", "task", "backbone", "optimizer"])
def test_a_runs_configuration_runs_no_code(stolen, mark, node):
    """Guards against a target, in any node, that resume builds."""
    stolen.write_status("interrupted")
    config = stolen.config
    config[node] = {"_target_": "os.mkdir", "path": str(mark), "name": "x", "lr": 1.0}
    OmegaConf.save(config, stolen.directory / "config.yaml")
    with pytest.raises(TlxError, match=r"config\.yaml: expected a _target_ .*got 'os\.mkdir'"):
        resumed(stolen.directory)


def test_a_description_runs_no_code(stolen, mark):
    """Guards against model.json as the way in."""
    told = {**stolen.description, "architecture": {"_target_": "os.mkdir", "path": str(mark)}}
    (stolen.directory / "model.json").write_text(json.dumps(told))
    with pytest.raises(TlxError, match=r"os\.mkdir"):
        _ = stolen.model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "typed"),
    [
        ("dataset/evil.yaml", "_target_: os.mkdir\npath: MARK\nname: evil\ndefaults: [base]\n", "dataset=evil"),
        ("optimizer/evil.yaml", "_target_: os.mkdir\npath: MARK\nlr: 1\n", "optimizer=evil"),
        ("optimizer/evil.yaml", "_target_: torch.hub.load\nrepo_or_dir: MARK\nlr: 1\n", "optimizer=evil"),
        ("logger/evil.yaml", "_target_: os.mkdir\npath: MARK\n", "logger=evil"),
        ("experiment/evil.yaml", "# @package _global_\nlogger: {_target_: os.mkdir, path: MARK}\n", "experiment=evil"),
        (
            "experiment/evil.yaml",
            "# @package _global_\nhydra: {callbacks: {evil: {_target_: os.mkdir, path: MARK}}}\n",
            "experiment=evil",
        ),
        (
            "experiment/evil.yaml",
            "# @package _global_\nseed: !!python/object/apply:os.mkdir [MARK]\n",
            "experiment=evil",
        ),
    ],
)  # fmt: skip
def test_options_from_elsewhere_run_no_code(tmp_path, mark, file, text, typed):
    """Guards against a --config-dir that somebody sent."""
    path = tmp_path / "options" / file
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("MARK", str(mark)))
    found = check_command_line([typed], str(tmp_path / "options"), multirun=False)
    assert found
    assert all(word in str(found) for word in (["python/object"] if "!!" in text else ["TLX_ALLOW_TARGETS="]))


def test_a_path_inside_a_library_that_leads_out_of_it_is_refused(mark):
    """Guards against torch.nn.init.warnings, which begins like one of ours."""
    with pytest.raises(TlxError, match=r"torch\.nn\.init\.warnings\.warn"):
        refuse_foreign_targets({"a": [{"_target_": "torch.nn.init.warnings.warn"}]}, "x.yaml")


def test_a_user_allows_more_by_a_setting(tmp_path, mark, monkeypatch):
    """Guards against a rule that locks out the user's own code, and against one that a file can lift."""
    node = {"_target_": "collections.Counter"}
    with pytest.raises(TlxError, match=r"if you trust it: .*TLX_ALLOW_TARGETS=collections tlx"):
        refuse_foreign_targets({**node, "allow_targets": ["collections"]}, "x.yaml")
    monkeypatch.setenv(VARIABLE, "nothing, collections")
    refuse_foreign_targets(node, "x.yaml")
    monkeypatch.setenv(VARIABLE, "coll")
    with pytest.raises(TlxError):
        refuse_foreign_targets(node, "x.yaml")
    settings = tmp_path / "settings" / "tlx" / "settings.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("allow_targets: [collections]\n")
    refuse_foreign_targets(node, "x.yaml")
    settings.write_text("allow_targets: collections\n")
    with pytest.raises(TlxError, match=r"settings\.yaml: expected `allow_targets: \[package, …\]`"):
        refuse_foreign_targets(node, "x.yaml")


def test_what_a_user_types_is_allowed(mark, monkeypatch):
    """Guards against having to allow twice what was typed just now."""
    monkeypatch.setenv(VARIABLE, "")
    node = {"_target_": "collections.Counter"}
    with pytest.raises(TlxError):
        refuse_foreign_targets(node, "x.yaml")
    tlx.compose(["optimizer._target_=collections.Counter"])
    refuse_foreign_targets(node, "x.yaml")
