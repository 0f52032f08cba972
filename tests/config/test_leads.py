"""Where words of the field lead: what each hint says to type is typed here, and composes."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tlx.base.errors import TlxError
from tlx.cli import main
from tlx.config import check_command_line, options
from tlx.config.leads import flag_hint, key_hint, option_hint, verb_hint
from tlx.config.words import HYDRA, KEYS, LISTED, OPTIONS, VALUES, VERBS, Lead
from tlx.runs.run_list import listed_runs

VERBS_THERE = (
    "train", "plan", "check", "atlas", "audit", "test", "predict", "runs", "compare", "lineage", "list", "cache",
    "demo",
)  # fmt: skip
# What somebody may type for a key.
SAMPLES: dict[str, Any] = {
    "trainer.stage_epochs": 3, "optimizer.lr": 0.1, "optimizer.weight_decay": 0.1, "optimizer.momentum": 0.9,
    "optimizer": "sgd", "dataset.batch_size": 16, "dataset.micro_batch": 4, "dataset.image_size": 64,
    "dataset.num_workers": 2, "trainer.validate_every": 5, "trainer.checkpoint_seconds": 30, "trainer.max_minutes": 10,
    "dataset.channels": 1, "trainer.devices": 2, "trainer.accelerator": "cpu", "trainer.num_nodes": 2,
    "trainer.precision": "16-mixed", "trainer.compile": True, "trainer.gradient_clip_val": 1.0,
    "trainer.accumulate_grad_batches": 4, "trainer.patience": 5, "trainer.limit_batches": 10,
    "trainer.log_every_n_steps": 5, "backbone": "resnet50", "dataset.classes": [0, 1], "dataset.val_fraction": 0.1,
    "dataset.test_fraction": 0.1, "dataset.labels_per_class": 5, "dataset.fraction": 0.5, "dataset.augment": "strong",
    "dataset.horizontal_flip": False, "task.dropout": 0.2, "task.label_smoothing": 0.1,
    "strategy.stages.0.schedule": "linear", "output_dir": "here", "run_name": "first", "seed": 7,
}  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the user's own words in capitals stand for; VALUE of a path is one of these, too."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(tmp_path / "images" / name / f"{i}.png")
    rows = [f"images/{name}/{i}.png,{name}" for name in ("cat", "dog") for i in range(3)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *rows]))
    np.savez(tmp_path / "set.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 0, 1]))
    (tmp_path / "weights.pth").write_bytes(b"\x02" + bytes(7) + b"{}")  # an empty safetensors file
    for name in ("images", "masks"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("L", (8, 8), i % 2).save(tmp_path / "cells" / name / f"{i}.png")
    files = {"DIR": "images", "FOLDER": "cells", "TABLE": "table.csv", "ARRAYS": "set.npz", "WEIGHTS": "weights.pth"}
    return {**files, "NETWORK": "resnet18", "N": "3"}


def rows(table: dict[str, Lead]) -> Iterator[tuple[str, Lead]]:
    for words, lead in table.items():
        yield words.split()[0], lead


def typed(hint: str, own: dict[str, str]) -> list[str]:
    """Return the overrides that a hint tells to type, with what is the user's own filled in."""
    words = hint.partition("type: ")[2].partition(" (")[0] or hint.rpartition(": ")[2]
    filled = [f"{key}={own.get(value, value)}" for key, _, value in (w.partition("=") for w in shlex.split(words))]
    return [one.removesuffix("=") for one in filled]


def refused(overrides: list[str]) -> str:
    """Return what is wrong with overrides; many words lead to the same ones."""
    return _refused(tuple(overrides))


@functools.cache
def _refused(overrides: tuple[str, ...]) -> str:
    found = check_command_line([o for o in overrides if o != "-m"], None, multirun="-m" in overrides)
    return "\n".join(map(str, found))


def test_no_word_leads_to_two_places_and_none_hides_what_exists() -> None:
    """Guards against a row that is never reached, and one that is not as words are compared."""
    tables = [KEYS, VERBS, LISTED, *OPTIONS.values(), *VALUES.values()]
    for table in tables:
        words = [word for words in table for word in words.split()]
        assert len(words) == len(set(words)), sorted(word for word in set(words) if words.count(word) > 1)
        assert all(word == word.lower().replace("-", "_") for word in words)
    for group, table in OPTIONS.items():
        assert not set(options(group)) & {word for words in table for word in words.split()}
    assert not set(VERBS_THERE) & {word for words in VERBS for word in words.split()}


@pytest.mark.nightly
def test_what_a_hint_says_of_a_key_composes(own: dict[str, str], loggers_installed: None) -> None:
    """Guards against `epochs=3` that leads to `epochs`, and against leads to what has been renamed since."""
    for word, lead in rows(KEYS):
        key = next((w.removesuffix("=VALUE") for w in lead.typed.split() if w.endswith("=VALUE")), "")
        path = {"dataset.root": "images", "dataset.path": "table.csv", "backbone.path": "weights.pth"}.get(key)
        hint = key_hint(word, path or SAMPLES.get(key))
        assert hint, word
        if lead.typed in ("", "resume=RUN"):
            continue
        assert "…" not in hint, (word, hint)
        assert not refused(typed(hint, own)), (word, hint)


@pytest.mark.nightly
def test_what_a_hint_says_of_an_option_or_a_value_composes(own: dict[str, str], loggers_installed: None) -> None:
    """Guards against `strategy=lora` that leads to `coral`, and `backbone=dinov2` that leads to Swin."""
    names = {group: options(group) for group in OPTIONS}
    for group, table in OPTIONS.items():
        for word, lead in rows(table):
            hint = option_hint(group, word, names[group])
            if lead.typed:
                asked = [*typed(hint, own), *(["-m"] if "hydra/" in lead.typed else [])]
                on_maps = any(task in asked for task in ("task=segmentation", "task=detection"))
                if on_maps and not any(one.startswith("dataset=") for one in asked):
                    asked.append("dataset=scenes")  # the default has neither masks nor boxes
                assert not refused(asked), (group, word, hint)
    for key, table in VALUES.items():
        for word, lead in rows(table):
            place = key.replace("stages.", "stages.0.")
            (found,) = check_command_line([f"{place}={word}"], None, multirun=False)
            assert lead.typed in found.hint
            assert not refused(typed(found.hint, own)), found


def test_what_a_hint_says_of_a_verb_is_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against `tlx fit` that leads to `list`."""
    for word, lead in rows(VERBS):
        told = verb_hint(word, dict.fromkeys(VERBS_THERE))
        assert lead.typed in told
        if lead.typed.startswith("tlx "):
            assert lead.typed.split()[1] in (*VERBS_THERE, "--version")
    with pytest.raises(SystemExit):
        main(["fit", "dataset=digits"])
    assert "type: tlx train" in capsys.readouterr().err


@pytest.mark.slow
def test_keys_of_hydra_that_would_be_passed_over_lead_to_those_of_tlx(own: dict[str, str]) -> None:
    """Guards against hydra.run.dir=X, which made an empty folder and was ignored."""
    for key, lead in HYDRA.items():
        (found,) = check_command_line([f"{key}=x"], None, multirun=False)
        assert lead.typed.replace("VALUE", "x") in found.hint
        if "=" in lead.typed:
            assert not refused(typed(found.hint, own))
    for key in ("hydra.job.chdir=true", "hydra/job_logging=default", "hydra.nosuch=1", "~hydra.run", "hydra=x"):
        (found,) = check_command_line([key], None, multirun=False)
        assert found.got == "a Hydra key, which tlx sets"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (["dataset.root=mri"], "type: dataset=folder dataset.root=mri"),
        (["dataset.root=mri.csv"], "type: dataset=table dataset.path=mri.csv"),
        (["dataset=digits", "dataset.path=a.npz"], "type: dataset=arrays dataset.path=a.npz"),
        (["dataset=cifar10", "dataset.characters=letters"], "type: dataset=plates dataset.characters=letters"),
        (["dataset=./mri"], "type: dataset=folder dataset.root=./mri"),
        (["backbone.width=8"], "type: backbone=small_cnn backbone.width=8"),
        (["backbone.weights=null"], "type: backbone.pretrained=false"),
        (["backbone=resnet18", "backbone.pretrained=false"], "type: backbone.weights=null"),
        (["backbone.name=resnet50"], "type: backbone=resnet50"),
        (["backbone.name=vit_small_patch16_224"], "type: backbone=vit_small_patch16_224"),
        (["dataset.name=cifar10"], "type: dataset=cifar10"),
        (["strategy.name=gradual"], "type: strategy=gradual"),
        (["backbone=eva02_enormous"], "type: backbone=eva02_enormous_patch14_clip_224"),
        (["model=vit_small"], "type: backbone=vit_small_patch16_224"),
        (["model.name=resnet18"], "type: backbone=resnet18"),
        (["data=cifar10"], "type: dataset=cifar10"),
        (["optim=adam"], "type: optimizer._target_=torch.optim.Adam"),
        (["trainer.max_epochs=3"], "type: trainer.stage_epochs=3"),
        (["epochs=50"], "type: strategy.stages.0.epochs=50"),
        (["epochs=50", "strategy=gradual"], "strategy.stages.2.epochs=50"),
        (["optimizer.learning_rate=0.1"], "type: optimizer.lr=0.1"),
        (["device=cuda:1"], "type: trainer=gpu trainer.devices=[1]"),
        (["trainer.precision=16"], "type: trainer.precision=16-mixed"),
        (["logger=none", "logger.max_queue=3"], "type: logger=tensorboard logger.max_queue=3"),
        (["use_wandb=true"], "type: logger=wandb"),
        (["logger=comet"], "nearest: logger=tensorboard"),
        (["task=regression"], "tlx does not have it yet"),
        (["task=object_detection"], "task=detection"),
        (["task=semantic"], "task=segmentation"),
        (["backbone=unet"], "task=segmentation task.decoder=unet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistake_leads_at_once_to_what_works(asked: list[str], hint: str, tmp_path, monkeypatch) -> None:
    """Guards against a hint that leads to the next mistake, and against a name that is only a label."""
    monkeypatch.chdir(tmp_path)
    (found,) = check_command_line(asked, None, multirun=False)
    assert hint in found.hint


@pytest.mark.parametrize(
    ("asked", "paths"),
    [
        (["classifier.CC=1", "dataset.root=/nowhere"], ["dataset.root", "classifier"]),
        (["classifier.C=1"], ["classifier"]),
        (["strategy.groups=last:1"], ["strategy.groups"]),
        (["strategy.groups=last:2", "strategy.stages=[]"], ["classifier"]),
        (["strategy.groups=last:2", "strategy.stages=[]", "classifier.C=1"], ["classifier"]),
        (["strategy=featurs", "classifier=svm"], ["strategy"]),
        (["strategy=danm", "target=usps"], ["strategy"]),
        (["strategy=dann", "target=usqs"], ["target"]),
        (["backbone=resnet_50", "backbone.weights=null"], ["backbone"]),
        (["dataset=tabel", "dataset.path=x.csv"], ["dataset"]),
        (["dataset=folder", "dataset.root=equals=in=name"], ["dataset.root"]),
        (["dataset=folder", "dataset.root=${oc.env:NOT_SET}"], ["dataset.root"]),
        (["dataset=folder", "dataset.root=${oc.env:NO}", "dataset.augmnt=none"], ["dataset.root", "dataset.augmnt"]),
        (["optimizer.lr=${oc.env:NOT_SET}"], ["optimizer.lr"]),
        (["seed=${oc.env:NOT_SET}"], ["seed"]),
        (["run_dir=${oc.env:NOT_SET}"], ["run_dir"]),
        (["output_dir=${oc.env:NOT_SET}"], ["output_dir"]),
        (["seed=x"], ["seed"]),
        (["strategy=dann", "target=folder"], ["target.root"]),
    ],
    ids=lambda value: " ".join(value),
)  # fmt: skip
def test_one_mistake_a_cause(asked: list[str], paths: list[str]) -> None:
    """Guards against five messages where two things are wrong: three of them followed from one."""
    assert [m.path for m in check_command_line(asked, None, multirun=False)] == paths


def test_a_value_with_syntax_of_hydras_is_told_in_quotes(own: dict[str, str]) -> None:
    """Guards against `quote it: 'key="value"'`, a placeholder; and a variable that is not set is told by its name."""
    (found,) = check_command_line(["dataset=folder", "dataset.root=equals=in=name"], None, multirun=False)
    assert found.hint == """type: 'dataset.root="equals=in=name"'"""
    Path("equals=in=name").symlink_to("images")
    assert not refused(["dataset=folder", *shlex.split(found.hint.removeprefix("type: "))])
    (found,) = check_command_line(["run_dir=${oc.env:NOT_SET}"], None, multirun=False)
    assert found.expected == "an environment variable NOT_SET"
    assert "'run_dir=${oc.env:NOT_SET,DEFAULT}'" in found.hint


@pytest.mark.parametrize(
    ("asked", "path", "got"),
    [
        ("seed=range(3,0)", "seed", "none"),
        ("seed=range(0,3,0)", "-m", "infinitely many"),
        ("seed=range(0,1000000000000)", "-m", "1,000,000,000,000"),
        ("dataset=glob(nosuch*)", "dataset", "none"),
        ("seed=glob(*)", "seed", "none"),
        ("hydra.launcher.n_jobs=1,2", "hydra.launcher.n_jobs", "several"),
    ],
)
def test_a_sweep_has_jobs_and_an_end(asked: str, path: str, got: str) -> None:
    """Guards against a sweep over nothing that trains the default, and a check that counts to 10^12."""
    (found,) = check_command_line([asked], None, multirun=True)
    assert found.path == path
    assert got in found.got
    assert not check_command_line(["dataset=glob(usp*)"], None, multirun=True)


def test_a_long_sweep_is_checked_at_its_ends() -> None:
    """Guards against minutes in which every number between two is looked at, here and where jobs are counted."""
    assert not check_command_line(["seed=range(0,100000)"], None, multirun=True)
    (found,) = check_command_line(
        ["seed=range(99999,-1,-1)", "trainer.stage_epochs=range(5,-1,-1)"], None, multirun=True
    )
    assert "-m" in found.path  # 100,000 x 6 jobs
    (found,) = check_command_line(["trainer.stage_epochs=range(5,-1,-1)"], None, multirun=True)
    assert found.got == "0"
    found_both = check_command_line(["seed=range(0,1e12)", "run_name=one"], None, multirun=True)
    assert {mistake.path for mistake in found_both} == {"-m", "run_name"}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("pets", "type: dataset=folder dataset.root=pets"),
        ("my pets", "type: dataset=folder 'dataset.root=my pets'"),
        ("pets.csv", "type: dataset=table dataset.path=pets.csv"),
        ("outputs/run", "type: resume=outputs/run (to resume this run)"),
        ("folder", "type: dataset=folder dataset.root=DIR"),
        ("digits", "type: dataset=digits"),
        ("strategy", "type: strategy=…"),
        ("resume", "type: resume=…"),
        ("seed", "type: seed=…"),
        ("nosuch", ""),
        ("x" * 300, ""),
    ],
    ids=lambda text: text[:20],
)
def test_a_word_without_a_key_leads_to_the_key(word: str, hint: str, tmp_path, monkeypatch) -> None:
    """Guards against `tlx train ~/pets`, the first thing that many type, answered by "got no '='" alone."""
    monkeypatch.chdir(tmp_path)
    for folder in ("pets", "my pets", "outputs/run"):
        Path(folder).mkdir(parents=True)
    Path("pets.csv").touch()
    Path("outputs/run/status.json").touch()
    (found,) = check_command_line([word], None, multirun=False)
    assert found.hint == hint


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (
            "dataset.classes=cats,dogs",
            "add -m to train with each value; for a list type 'dataset.classes=[cats,dogs]'",
        ),
        ("dataset.classes=0,1", "add -m to train with each value; for a list type 'dataset.classes=[0,1]'"),
        ("trainer.devices=0,1", "add -m to train with each value; for a list type 'trainer.devices=[0,1]'"),
        ("optimizer.lr=1e-3,3e-4", "add -m to train with each value"),
        ("backbone=resnet18,resnet50", "add -m to train with each value"),
        ("seed=0,1", "add -m to train with each value"),
    ],
)
def test_values_with_commas_lead_to_a_list_where_the_key_takes_one(typed: str, hint: str) -> None:
    """Guards against `dataset.classes=cats,dogs` that leads to a sweep over single classes, and to the next mistake."""
    (found,) = check_command_line([typed], None, multirun=False)
    assert found.hint == hint


def test_a_path_with_spaces_and_no_quotes_is_one_mistake(tmp_path, monkeypatch) -> None:
    """Guards against three mistakes, none of which is the one that was made."""
    monkeypatch.chdir(tmp_path)
    Path("my old pets").mkdir()
    (found,) = check_command_line(["dataset=folder", "dataset.root=my", "old", "pets", "seed=1"], None, multirun=False)
    assert (found.path, found.hint) == ("dataset.root", "type: 'dataset.root=my old pets'")
    assert len(check_command_line(["dataset=folder", "dataset.root=my", "nosuch"], None, multirun=False)) == 2


@pytest.mark.parametrize("name", ["x" * 300, "~nobody", "a\x00b"])
def test_a_hint_that_looks_for_a_file_survives_any_name(name: str) -> None:
    """Guards against a hint that ends in `File name too long`, and against `tlx runs` of such a name."""
    assert option_hint("dataset", name, []) == ""
    with pytest.raises(TlxError, match="expected a run"):
        listed_runs(name)


def test_a_composed_configuration_is_printed_for_one_job_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against Hydra's traceback of `tlx train -m … --cfg job`."""
    with pytest.raises(SystemExit) as stop:
        main(["train", "-m", "seed=0,1", "--cfg", "job"])
    assert stop.value.code == 2
    assert "expected --cfg without -m, got both" in capsys.readouterr().err


def test_a_flag_leads_to_its_key_with_every_verb_that_composes(capsys: pytest.CaptureFixture[str]) -> None:
    """Guards against `--epochs 3` that is told to be typed `epochs=3`, which only then is told to be another key."""
    assert flag_hint("--epochs", "3") == "type: trainer.stage_epochs=3 (at most, in each stage)"
    assert flag_hint("--lr", "1e-3") == "type: optimizer.lr=…"
    assert flag_hint("--nosuch", "3") == "type: nosuch=3"
    for verb in ("train", "plan", "check"):
        with pytest.raises(SystemExit):
            main([verb, "dataset=digits", "--batch-size", "3"])
        assert "got the flag '--batch-size'; type: dataset.batch_size=3" in capsys.readouterr().err


def test_lists_take_globs_parts_of_names_and_the_words_of_the_field() -> None:
    """Guards against `tlx list backbones '*dino*'` that finds nothing, as if there were none."""
    from tlx.config.listing import listing

    found = {line.split()[0]: line for line in listing("backbones", "*dino*")}
    assert "256 px" in found["dinov3_vits16"]
    assert "DINOv3 licence" in found["dinov3_vits16"]
    assert "dinov2_vits14" in found
    assert listing("backbones", "*twins_svt_small*")[0] == "backbone=twins_svt_small"
    assert listing("models", "ResNet1") == listing("backbones", "*resnet1*")
    with pytest.raises(TlxError, match="expected a glob"):
        listing("backbones", "nosuch")
