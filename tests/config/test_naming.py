"""A run is named by what decides its result: not by where files lie or on what it is computed."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from tlx import Run, TlxError, compose, train
from tlx.config.naming import identity_hash


@pytest.fixture
def pets(tmp_path):
    for i, name in enumerate(("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png")):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8 + i, 8), (i, i, i)).save(path)
    return tmp_path / "pets"


def name(*overrides: str) -> str:
    return compose(["backbone=small_cnn", *overrides]).run_name


def of_folder(root) -> str:
    return name("dataset=folder", f"dataset.root={root}")


def test_the_same_images_in_another_folder_are_the_same_run(pets, tmp_path):
    """Guards against a sweep that trains everything again because the data moved."""
    first = of_folder(pets)
    assert first.startswith("pets-small_cnn-full-s0-")
    assert of_folder(f"{pets}/../pets") == first
    copied = of_folder(shutil.copytree(pets, tmp_path / "copy"))
    assert copied == first.replace("pets", "copy")  # the hash is the same, by which a run is found


def test_other_images_behind_the_same_path_are_another_run(pets):
    """Guards against the finished run of yesterday's images that is returned for today's."""
    names = [of_folder(pets)]
    Image.new("RGB", (9, 9)).save(pets / "cats" / "3.png")
    names.append(of_folder(pets))
    (pets / "cats" / "3.png").rename(pets / "dogs" / "3.png")
    names.append(of_folder(pets))
    Image.new("RGB", (90, 90), "red").save(pets / "dogs" / "3.png")
    names.append(of_folder(pets))
    assert len(set(names)) == 4


def test_a_run_is_found_under_an_older_name(pets, tmp_path):
    """Guards against runs that are trained again because tlx names them otherwise, or because their images moved."""
    typed = ["backbone=small_cnn", "dataset=folder", f"dataset.root={pets}", f"output_dir={tmp_path / 'runs'}"]
    own = compose(typed)
    older = tmp_path / "runs" / f"folder-small_cnn-full-s0-{own.run_name[-8:]}"
    Run(older).begin(own)
    assert compose(typed).run_dir == str(older)
    assert compose([*typed, "seed=1"]).run_name == compose([*typed, "seed=1", "output_dir=elsewhere"]).run_name
    pets.rename(tmp_path / "cats")
    moved = [*typed, f"dataset.root={tmp_path / 'cats'}"]
    assert compose(moved).run_dir == str(older)
    assert compose([*moved, "run_name=mine"]).run_name == "mine"
    assert compose([*moved, "run_name='x-${run_name:}'"]).run_name.startswith("x-cats-")
    status = json.loads((older / "status.json").read_text())
    (older / "status.json").write_text(json.dumps({**status, "identity": "0" * 64}))  # the same hash by accident
    assert compose(moved).run_name == own.run_name.replace("pets", "cats")


def test_a_finished_run_under_an_older_name_is_not_trained_again(tiny_run, tmp_path):
    """Guards against hours of training for a change of names."""
    name = f"digits-small_cnn-gradual-s0-{identity_hash(tiny_run.config)[:8]}"
    older = shutil.copytree(tiny_run.directory, tmp_path / name)
    before = (older / "status.json").stat().st_mtime_ns
    typed = [
        "backbone=small_cnn", "backbone.width=8", "dataset=digits", "dataset.classes=[0,1,2,3,4]",
        "dataset.channels=1", "dataset.image_size=16", "strategy=gradual", "trainer.stage_epochs=1",
        "trainer.log_every_n_steps=1", "optimizer.lr=1e-2", f"output_dir={tmp_path}",
    ]  # fmt: skip
    assert train(compose(typed)).directory == older
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (older / "status.json").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        "trainer.devices=1", "trainer.accelerator=cpu", "dataset.num_workers=3", "trainer.progress_bar=false",
        "dataset.check=false", "dataset.on_bad=skip", "output_dir=elsewhere", "logger=none", "force=true",
    ],
)  # fmt: skip
def test_what_changes_no_result_changes_no_name(override):
    """Guards against a finished run that is not found again on another machine."""
    assert name(override) == name()


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        *("seed=1", "optimizer.lr=2e-3", "dataset.batch_size=16", "dataset.augment=strong", "dataset.decode=full"),
        *("trainer.precision=bf16-mixed", "dataset.similar=together"),
    ],
)
def test_what_changes_the_result_changes_the_name(override):
    """Guards against a run of other settings that is returned for this one."""
    assert name(override) != name()


def test_a_source_run_counts_by_what_it_is(tiny_run, tmp_path):
    """Guards against a target run that begins anew because its source was moved, or stays when the source was retrained
    with other settings."""

    def of_run(directory) -> str:
        return compose(["backbone=run", f"backbone.run={directory}"]).run_name

    first = of_run(tiny_run.directory)
    moved = shutil.copytree(tiny_run.directory, tmp_path / "moved")
    assert of_run(moved) == first
    told = json.loads((moved / "model.json").read_text())
    (moved / "model.json").write_text(json.dumps({**told, "identity": "0" * 64}))
    assert of_run(moved) != first


def test_a_weight_file_counts_by_its_content(tmp_path):
    """Guards against new weights under an old name."""
    path = tmp_path / "weights.pth"

    def of_file(at) -> str:
        return compose(["backbone=file", f"backbone.path={at}", "backbone.architecture=resnet18"]).run_name

    path.write_bytes((4).to_bytes(8, "little") + b"{} 1")  # as safetensors begin
    first = of_file(path)
    assert of_file(shutil.copy(path, tmp_path / "other.pth")) == first
    path.write_bytes((4).to_bytes(8, "little") + b"{} 2")
    assert of_file(path) != first


def test_a_run_whose_images_have_changed_is_told_so(pets, tmp_path):
    """Guards against a refusal that names no key, as none differs."""
    typed = ["backbone=small_cnn", "dataset=folder", f"dataset.root={pets}", f"run_dir={tmp_path / 'run'}"]
    run = Run(tmp_path / "run")
    run.begin(compose(typed))
    assert run.state_for(compose(typed)) == "nothing"
    Image.new("RGB", (9, 9)).save(pets / "cats" / "3.png")
    with pytest.raises(TlxError, match=r"got others behind the same paths; force=true trains it again from scratch"):
        run.state_for(compose(typed))
