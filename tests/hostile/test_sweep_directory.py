"""A sweep goes on in a directory that somebody else has made: nothing that lies there is unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tests.hostile.test_code import Payload
from tlx import TlxError
from tlx.base import children
from tlx.base.allowed import VARIABLE
from tlx.base.children import import_path
from tlx.base.compat.ray import job_config
from tlx.callbacks.study import open_study, refuse_pickles
from tlx.cli import main
from tlx.sweeps.records import Records
from tlx.sweeps.submitit_launcher import LocalLauncher


def test_jobs_load_nothing_that_was_there_before(tmp_path: Path) -> None:
    """Guards against `.submitit/JOB/JOB_submitted.pkl` that lies in the sweep's directory before the job has a number:
    submitit's process would load it."""
    pytest.importorskip("submitit")
    launcher = LocalLauncher(n_jobs=1)
    launcher.records = Records(tmp_path)
    folders = [Path(launcher._executor().folder) for _ in range(2)]
    assert folders[0].parent != folders[1].parent
    assert all(folder.parent.parent == tmp_path / ".submitit" for folder in folders)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".submitit").symlink_to(tmp_path)
    launcher.records = Records(tmp_path / "other")
    with pytest.raises(TlxError, match="expected a folder, got a link"):
        launcher._executor()


def test_workers_of_ray_look_where_the_sweep_does() -> None:
    """Guards against the working directory, which Ray puts first on the path of its workers."""
    pytest.importorskip("ray")
    config = job_config(children.import_path())
    config._py_driver_sys_path.extend(["/the/working/directory"])  # what ray.init does
    sent = list(config._get_proto_job_config().py_driver_sys_path)
    assert list(reversed(sent)) == import_path()


def test_a_search_goes_on_with_no_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards against optuna's CmaEsSampler, which keeps its state in the study as a pickle and loads it from there."""
    pytest.importorskip("optuna")
    monkeypatch.delenv(VARIABLE, raising=False)
    path, sampler = tmp_path / "study.log", "optuna.samplers.CmaEsSampler"
    study = open_study(path, "minimize")
    trial = study.ask()
    refuse_pickles(study, path, sampler)
    state = pickle.dumps(Payload(tmp_path / "mark")).hex()
    study._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", state)
    found = open_study(path)
    with pytest.raises(TlxError, match=rf"study\.log: expected a search without pickled state.*{VARIABLE}="):
        refuse_pickles(found, path, sampler)
    refuse_pickles(found, path, "optuna.samplers.TPESampler")  # which reads no such state
    monkeypatch.setenv(VARIABLE, sampler)
    refuse_pickles(found, path, sampler)
    assert not (tmp_path / "mark").exists()


def test_a_pickled_configuration_of_hydra_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against Hydra's flag that runs a job from a pickle."""
    (tmp_path / "config.pickle").write_bytes(pickle.dumps(Payload(tmp_path / "mark")))
    with pytest.raises(SystemExit) as stop:
        main(["train", f"--experimental-rerun={tmp_path / 'config.pickle'}"])
    assert stop.value.code == 2
    assert "tlx train resume=RUN" in capsys.readouterr().err
    assert not (tmp_path / "mark").exists()
