"""Each kind of mistake in a configuration, and what the user reads."""
# ruff: noqa: E501  (tables, a row a mistake)

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tlx.base.errors import ConfigError, TlxError
from tlx.cli import main
from tlx.config import check_command_line, compose, for_hydra

GROUPS_OF_LITE0 = "stem, stage1, stage2, stage3, stage4, head"


def mistakes(*overrides: str, config_dir: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose(overrides, config_dir)
    return [str(m) for m in caught.value.mistakes]


# One override each: (what is typed, the path of the key, what was expected, what was got, what to type instead).
ONE_MISTAKE = [
    ("strategy=ful", "strategy", "an option of the group strategy", "'ful'", "did you mean 'full'?"),
    ("backbone=resnet15", "backbone", "an option of the group backbone", "'resnet15'", "did you mean 'resnet152'?"),
    ("backbone=timm/resnet50", "backbone", "an option of", "'timm/resnet50'", "backbone=timm backbone.name=resnet50"),
    ("backbone=null", "backbone", "an option of the group backbone", "null", ""),
    ("logger=null", "logger", "an option of the group logger", "null", "did you mean 'none'?"),
    ("experiment=null", "experiment", "an option of the group experiment", "null", "leave it out"),
    ("experiment=digits", "experiment", "an option of the group experiment", "'digits'", "did you mean 'digits_"),
    ("hydra/launcher=job", "hydra/launcher", "an option of the group hydra/launcher", "'job'", "joblib"),
    ("~backbone", "backbone", "a value", "nothing", ""),
    ("forse=true", "forse", "a known key", "'forse'", "did you mean 'force'?"),
    ("+forse=true", "forse", "a known key", "'forse'", "did you mean 'force'?"),
    ("++forse=true", "forse", "a known key", "'forse'", "did you mean 'force'?"),
    ("+dataset.augmnt=none", "dataset.augmnt", "a known key", "'augmnt'", "did you mean 'augment'?"),
    ("trainer.device=2", "trainer.device", "a known key", "'device'", "type: trainer.devices=2"),
    ("backbone.pretrain=false", "backbone.pretrain", "a known key", "'pretrain'", "did you mean 'pretrained'?"),
    ("task.smoothing=0.1", "task.smoothing", "a known key", "'smoothing'", "type: task.label_smoothing=0.1"),
    ("strategy.stages.0.epoch=3", "strategy.stages[0].epoch", "a known key", "'epoch'", "did you mean 'epochs'?"),
    ("optimizer.beta=1", "optimizer.beta", "a key that tlx or torch.optim.AdamW takes", "'beta'", "mean 'betas'?"),
    ("logger.savedir=x", "logger.savedir", "a known key", "'savedir'", "did you mean 'save_dir'?"),
    ("trainer.num_nodes=x", "trainer.num_nodes", "a whole number", "'x'", ""),
    ("optimizer.lr=fast", "optimizer.lr", "a number", "'fast'", ""),
    ("force=maybe", "force", "true or false", "'maybe'", ""),
    ("strategy=[full,gradual]", "strategy", "one option of the group strategy", "['full', 'gradual']", "-m"),
    ("strategy.stages=null", "strategy.stages", "a list of mappings", "null", ""),
    ("strategy.stages=[]", "strategy.stages", "at least one stage", "none", ""),
    ("dataset.augment=lite", "dataset.augment", "none, light, strong, affine, characters, trivial or mosaic", "'lite'", "did you mean 'light'?"),
    ("trainer.precision=bf16", "trainer.precision", "32-true", "'bf16'", "type: trainer.precision=bf16-mixed"),
    ("dataset.classes=5", "dataset.classes", "a list of whole numbers or null", "5", ""),
    ("output_dir=3", "output_dir", "a text", "3", ""),
    ("output_dir=", "output_dir", "a text", "an empty one", ""),
    ("run_dir=", "run_dir", "a text", "an empty one", ""),
    ("run_dir=null", "run_dir", "a text", "null", ""),
    ("run_name=", "run_name", "a text", "an empty one", ""),
    ("optimizer.lr=0", "optimizer.lr", "a number above 0", "0", ""),
    ("optimizer.lr=nan", "optimizer.lr", "a number above 0", "nan", ""),
    ("optimizer.lr=inf", "optimizer.lr", "a number above 0", "inf", ""),
    ("seed=-1", "seed", "a number at least 0", "-1", ""),
    ("dataset.batch_size=0", "dataset.batch_size", "a number at least 1", "0", ""),
    ("dataset.val_fraction=1.5", "dataset.val_fraction", "a number at least 0 and at most 0.9", "1.5", ""),
    ("trainer.max_minutes=0", "trainer.max_minutes", "a number above 0", "0", ""),
    ("trainer.length=2", "trainer.length", "above 0 and at most 1", "2", ""),
    ("trainer.validate_every=0", "trainer.validate_every", "a number at least 1", "0", ""),
    ("trainer.average_weights=0.7", "trainer.average_weights", "above 0 and at most 0.5", "0.7", ""),
    ("trainer.average_weights=0", "trainer.average_weights", "above 0 and at most 0.5", "0", ""),
    ("trainer.average_weights=emma", "trainer.average_weights", "a number, ema or null", "'emma'", "did you mean 'ema'"),
    ("trainer.devices=0", "trainer.devices", "at least 1", "0", ""),
    ("trainer.devices=[]", "trainer.devices", "at least 1", "[]", ""),
    ("strategy.stages.0.epochs=0", "strategy.stages[0].epochs", "a number at least 1", "0", ""),
    ("strategy.stages=[{name: a, train: hed}]", "strategy.stages[0].train", GROUPS_OF_LITE0, "'hed'", "mean 'head'?"),
    ("strategy.stages=[{name: a, train: stage9+}]", "strategy.stages[0].train", GROUPS_OF_LITE0, "'stage9+'", "'stage"),
    ("strategy.stages=[{name: a, train: 'last:9'}]", "strategy.stages[0].train", "last:N with N from 1 to 6", "'last:9'", ""),
    ("strategy.stages=[{name: a, train: []}]", "strategy.stages", "trains at least one layer group", "no layer group", ""),
    ("optimizer.group_lr={stge1: 1}", "optimizer.group_lr", GROUPS_OF_LITE0, "'stge1'", "did you mean 'stage1'?"),
    ("task.num_classes=5", "task.num_classes", "10, the number of classes of dataset 'digits'", "5", "num_classes=null"),
    ("task.monitor=val/f1", "task.mode", "max for task.monitor=val/f1", "'min'", "type: task.mode=max"),
    ("dataset.classes=[1,12]", "dataset.classes", "different digits from 0 to 9", "[1, 12]", "such as"),
    ("optimizer._target_=torch.optim.Adamw", "optimizer._target_", "an optimizer class", "'torch.optim.Adamw'", "optim.AdamW'?"),
    ("optimizer._target_=AdamW", "optimizer._target_", "dotted path of an optimizer class", "'AdamW'", "torch.optim.AdamW"),
    ("optimizer._target_=torch.nn.Linear", "optimizer._target_", "an optimizer class", "'torch.nn.Linear'", ""),
    ("optimizer._target_=torch.optim.RMSprop", "optimizer.betas", "torch.optim.RMSprop takes", "'betas'", "~optimizer.betas"),
    ("logger._target_=pytorch_lightning.loggers.CSVLoger", "logger._target_", "a logger", "CSVLoger'", "mean 'CSVLogger'?"),
    ("task._target_=tlx.tasks.Clasification", "task._target_", "a class or function of tlx", "Clasification'", "tlx.tasks.Classification"),
    ("backbone=timm", "backbone.name", "a value (a text)", "nothing", "set it: backbone.name="),
    ("dataset=folder", "dataset.root", "a value (a text)", "nothing", "set it: dataset.root="),
    ("foo", "foo", "key=value", "no '='", ""),
    ("dataset", "dataset", "key=value", "no '='", "type: dataset=…"),
    ("lr=0.1", "lr", "a known key", "'lr'", "type: optimizer.lr=0.1"),
    ("epochs=3", "epochs", "a known key", "'epochs'", "type: trainer.stage_epochs=3"),
    ("task.monitor=val/acc", "task.monitor", "", "'val/acc'", "did you mean 'val/accuracy'?"),
    ("=3", "=3", "key=value", "no key", ""),
    ("seed=[1", "seed=[1", "key=value", "'[1'", "quote it"),
    ("dataset.name=equals=in=name", "dataset.name", "in quotes", "'equals=in=name'", "type: 'dataset.name=\"equals=in=name\"'"),
    ("dataset.name=a b=c", "dataset.name", "in quotes", "'a b=c'", "type: 'dataset.name=\"a b=c\"'"),
    ("backbone=a=b", "backbone", "an option of the group", "'a=b'", ""),
    ("dataset.name=${oc.env:TLX_NOSUCH}", "dataset.name", "an environment variable TLX_NOSUCH", "which is not set", "export TLX_NOSUCH=…"),
    ("seed=${oc.env:TLX_NOSUCH}", "seed", "an environment variable TLX_NOSUCH", "which is not set", "'seed=${oc.env:TLX_NOSUCH,DEFAULT}'"),
    ("seed=${nosuch}", "seed", "a reference that resolves", "'${nosuch}': Interpolation key 'nosuch' not found", ""),
    ("strategy.stages[0].epochs=2", "strategy.stages[0].epochs=2", "key=value", "'['", "type: strategy.stages.0.epochs=2"),
    ("strategy=full,gradual", "strategy", "one value", "several: full,gradual", "add -m"),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "path", "expected", "got", "hint"), ONE_MISTAKE, ids=[m[0] for m in ONE_MISTAKE])
def test_a_mistake_is_told_with_its_key_and_what_to_type(typed, path, expected, got, hint):
    """Guards against a mistake that passes, that ends in a traceback, or whose message leaves the user looking."""
    found = mistakes(typed)
    assert len(found) == 1, found
    head, _, rest = found[0].partition(": expected ")
    words, _, tail = rest.rpartition(", got ") if "\n" not in rest else rest.partition(", got ")
    assert head == path
    assert expected in words
    assert got in tail
    assert hint in tail


def test_a_stage_whose_only_rate_is_0_is_a_mistake():
    """Guards against epochs that change nothing."""
    (found,) = mistakes("strategy=linear_probe", "optimizer.group_lr={head: 0}")
    assert found.startswith(
        "strategy.stages: expected a stage 'head' that trains at least one layer group, got learning rates of 0"
    )


def test_a_batch_is_shared_by_the_processes_of_all_machines():
    """Guards against a batch that only the processes of one machine can share, refused after the job has waited."""
    (found,) = mistakes("trainer.devices=2", "trainer.num_nodes=3", "dataset.batch_size=32")
    assert "dataset.batch_size: expected a multiple of 6, the number of processes, got 32" in found
    assert "dataset.batch_size=30" in found
    assert compose(["trainer.devices=3"]).dataset.batch_size == "auto"  # it becomes a multiple


def test_every_mistake_is_in_the_one_message():
    """Guards against mistakes that come to light one run at a time."""
    found = mistakes(
        "strategy=ful",
        "+dataset.augmnt=none",
        "optimizer.lr=-1",
        "seed=x",
        "task.num_classes=2.5",
        "trainer.devices=0",
        "output_dir=",
        "foo",
    )
    paths = [text.split(":")[0] for text in found]
    assert {
        "strategy",
        "dataset.augmnt",
        "optimizer.lr",
        "seed",
        "task.num_classes",
        "trainer.devices",
        "output_dir",
    } < {*paths}
    assert "foo" in paths
    with pytest.raises(ConfigError, match=f"{len(found)} mistakes in the configuration"):
        compose(["strategy=ful", "+dataset.augmnt=none", "optimizer.lr=-1", "seed=x", "task.num_classes=2.5",
                 "trainer.devices=0", "output_dir=", "foo"])  # fmt: skip


def test_nothing_is_concluded_from_an_option_that_does_not_exist():
    """Guards against a second, misleading mistake: a selector checked against the default network's layer groups."""
    assert len(mistakes("backbone=resnet_50", "strategy.stages=[{name: a, train: dense}]")) == 1


def test_a_missing_folder_is_told_with_the_nearest_one(tmp_path):
    """Guards against a missing folder that shows only after torch was imported and weights were loaded."""
    (tmp_path / "pets").mkdir()
    (found,) = mistakes("dataset=folder", f"dataset.root={tmp_path}/pest")
    assert "dataset.root: expected a folder of images" in found
    assert f"did you mean '{tmp_path}/pets'?" in found
    (found,) = mistakes("dataset=folder", f"dataset.root={tmp_path}/pets")
    assert "no folder with images" in found


def test_a_head_that_contradicts_the_folders_is_told(tmp_path):
    """Guards against a head size that is checked for built-in sets only."""
    for name in ("cat", "dog", "fish"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    (found,) = mistakes("dataset=folder", f"dataset.root={tmp_path}", "task.num_classes=2")
    assert "task.num_classes: expected 3" in found


def test_run_and_file_paths_are_checked_with_the_nearest_name(tmp_path):
    """Guards against a mistyped run or file that shows only when the network is built."""
    (tmp_path / "digits-1").mkdir()
    network = {"architecture": {}, "preprocessing": {"size": 8, "mean": [0.5], "std": [0.5]}, "num_features": 4}
    described = {**network, "group_names": ["stem", "stage1"], "class_names": ["a", "b"]}
    (tmp_path / "digits-1" / "model.json").write_text(json.dumps(described))
    (tmp_path / "weights.pth").touch()
    (found,) = mistakes("backbone=run", f"backbone.run={tmp_path}/digits-2")
    assert "(no such directory)" in found
    assert f"did you mean '{tmp_path}/digits-1'?" in found
    (found,) = mistakes("backbone=run", f"backbone.run={tmp_path}")
    assert "a directory without model.json" in found
    found = "\n".join(
        mistakes("backbone=file", f"backbone.path={tmp_path}/weight.pth", "backbone.architecture=resnet1")
    )
    assert f"did you mean '{tmp_path}/weights.pth'?" in found
    assert "did you mean 'resnet18'?" in found
    found = "\n".join(
        mistakes("backbone=file", f"backbone.path={tmp_path}/weights.pth", "backbone.architecture=dinov2_vits1")
    )
    assert "did you mean 'dinov2_vits14'?" in found
    # The layer groups of a run are known without building it.
    (found,) = mistakes(
        "backbone=run", f"backbone.run={tmp_path}/digits-1", "strategy.stages=[{name: a, train: stage2}]"
    )
    assert "stem, stage1, head" in found


def own_option(directory: Path, path: str, text: str) -> Path:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return directory


def test_a_yaml_syntax_error_in_a_users_file_names_file_and_line(tmp_path):
    """Guards against the YAML parser's traceback."""
    own_option(tmp_path, "strategy/mine.yaml", "name: mine\nstages:\n  - {name: a, train: head\n")
    (found,) = mistakes("strategy=mine", config_dir=tmp_path)
    assert "valid YAML" in found
    assert "mine.yaml" in found
    assert "line 3" in found or "line 4" in found


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ("name: mine\nstages:\n  - {name: a, tran: head}\n", "strategy.stages[0].tran", "did you mean 'train'?"),
        ("name: mine\nstages:\n  - {name: a, train: heads}\n", "strategy.stages[0].train", "did you mean 'head'?"),
        ("name: mine\nstages:\n  - {name: a, train: head, schedule: cosin}\n", "strategy.stages[0].schedule", "'cosine'?"),
        ("name: mine\nstages:\n  name: a\n", "strategy.stages", "a list of mappings"),
        ("name: mine\nstages: [head]\n", "strategy.stages[0]", "a mapping of keys"),
        ("name: mine\n", "strategy.stages", "a list of mappings"),
        ("name: mine\nstages:\n  - {name: a, train: head, epochs: '${nosuch}'}\n", "strategy.stages[0].epochs", "'nosuch' not"),
        ("defaults:\n  - fll\nname: mine\n", "conf", "fll"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_users_strategy_is_told(tmp_path, text, path, hint):
    """Guards against checks that know only command lines: a user's strategy is YAML alone."""
    own_option(tmp_path, "strategy/mine.yaml", text)
    found = mistakes("strategy=mine", config_dir=tmp_path)
    assert path in [f.split(": expected")[0] for f in found]
    assert hint in "\n".join(found)


def test_a_users_file_with_the_name_of_one_of_ours_is_refused(tmp_path):
    """Guards against a user's strategy/full.yaml that is passed over for ours without a word."""
    own_option(tmp_path, "strategy/full.yaml", "name: full\nstages: []\n")
    own_option(tmp_path, "backbone/resnet18.yaml", "_target_: mine.resnet18\n")
    with pytest.raises(TlxError, match=r"backbone/resnet18\.yaml, strategy/full\.yaml"):
        compose(["strategy=full"], tmp_path)


def test_a_missing_config_dir_is_told(tmp_path):
    """Guards against a mistyped --config-dir that is ignored."""
    (tmp_path / "options").mkdir()
    with pytest.raises(TlxError, match=r"did you mean '.*options'"):
        compose([], tmp_path / "option")


def test_what_a_users_file_leaves_out_has_its_default(tmp_path):
    """Guards against an AttributeError minutes later, for a trainer or optimizer that a user wrote in three lines."""
    own_option(tmp_path, "trainer/mine.yaml", "accelerator: cpu\n")
    own_option(tmp_path, "optimizer/mine.yaml", "_target_: torch.optim.RMSprop\nlr: 0.01\n")
    config = compose(["trainer=mine", "optimizer=mine"], tmp_path)
    assert config.trainer.accelerator == "cpu"
    assert config.trainer.devices == "auto"
    assert config.optimizer.weight_decay == 0.0
    # The same experiment, written out, is the same run.
    spelled = ["trainer.accelerator=cpu", "optimizer=mine", "optimizer.weight_decay=0.0", "optimizer.layer_decay=1.0"]
    assert compose(spelled, tmp_path).run_name == config.run_name


def test_a_sweep_is_checked_whole(tmp_path):
    """Guards against a sweep that stops in the middle of the night at its third value."""
    typed = ["strategy=full,ful,gradual", "seed=0,1,x", "optimizer.lr=choice(1e-3,-1)", "dataset.batch_size=range(0,3)"]
    typed += ["task.label_smoothing=interval(0,2)"]
    found = check_command_line(typed, None, multirun=True)
    told = {(m.path, m.got) for m in found}
    assert {("strategy", "'ful'"), ("seed", "'x'"), ("optimizer.lr", "-1"), ("dataset.batch_size", "0")} <= told
    assert ("task.label_smoothing", "2.0") in told  # the other end of an interval
    assert not check_command_line(["strategy=full,gradual", "seed=range(0,3)"], None, multirun=True)


def test_a_sweep_is_checked_against_the_users_options_too(tmp_path):
    """Guards against a check that composes jobs without --config-dir."""
    own_option(tmp_path, "strategy/mine.yaml", "name: mine\nstages:\n  - {name: a, train: head, epochs: 2}\n")
    assert not check_command_line(["strategy=full,mine"], tmp_path, multirun=True)
    assert check_command_line(["strategy=full,mine"], None, multirun=True)


def test_hydra_is_given_keys_that_the_schema_knows_and_a_file_leaves_out():
    """Guards against Hydra's own refusal ('not in struct') of a known key, and against groups that become keys."""
    typed = ["strategy=full", "+optimizer.eps=1e-6", "strategy.stages.0.patience=3", "hydra.run.dir=x"]
    assert for_hydra(typed, None) == [
        "strategy=full", "++optimizer.eps=1e-6", "++strategy.stages.0.patience=3", "hydra.run.dir=x"
    ]  # fmt: skip
    config = compose(typed[:3])
    assert config.optimizer.eps == 1e-6
    assert config.strategy.stages[0].patience == 3


def test_composing_puts_back_a_hydra_that_was_set_up_before():
    """Guards against a notebook whose own Hydra is gone after tlx.compose."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from tlx.config.compose import conf_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        compose(["strategy=full"])
        assert GlobalHydra.instance().hydra is before


# The command line's answer, in a process of its own.

SPY = """
import sys
from tlx.cli import main
try:
    main(sys.argv[1:])
    code = 0
except SystemExit as stop:
    code = stop.code
heavy = sorted({m.split(".")[0] for m in sys.modules} & {"torch", "torchvision", "pytorch_lightning", "timm", "sklearn", "numpy"})
print("HEAVY", heavy)
sys.exit(code)
"""


def answer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", SPY, *arguments], env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    "typed",
    [["--help"], ["train", "--help"], ["predict", "-h"], ["list", "strategies"], ["list", "backbones", "resnet*"]],
    ids=" ".join,
)
def test_help_and_lists_import_nothing_heavy(typed):
    """Guards against `tlx --help` that takes the seconds that importing torch takes."""
    done = answer(*typed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize("verb", ["train", "plan", "test", "predict", "list", "demo"])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_each_verb_explains_itself(verb, flag, capsys):
    """Guards against a verb whose help is Hydra's, or none."""
    with contextlib.suppress(SystemExit):  # argparse's way
        main([verb, flag])
    told = capsys.readouterr().out
    assert f"tlx {verb}" in told
    assert len(told.splitlines()) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [
        ["train", "strategy=ful", "+foo=1"],
        ["plan", "strategy=ful", "+foo=1"],
        ["train", "-m", "strategy=full,ful", "+foo=1"],
        ["train", "strategy=ful", "+foo=1", "--cfg", "job"],
    ],
    ids=" ".join,
)
def test_a_mistake_costs_no_torch_no_traceback_and_exit_code_2(typed):
    """Guards against a mistake that costs seconds, ends in a traceback, or passes for success in a script."""
    done = answer(*typed)
    assert done.returncode == 2
    assert done.stdout == "HEAVY []\n"
    assert "Traceback" not in done.stderr
    assert "2 mistakes in the configuration" in done.stderr
    assert "did you mean 'full'?" in done.stderr


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["tran"], "did you mean 'train'?"),
        (["list", "backbnes"], "did you mean 'backbones'?"),
        (["list", "backbones", "nosuch*"], "expected a glob that matches"),
        (["test", "nosuch"], "no such directory"),
        (["predict", "nosuch", "x.png"], "no such directory"),
        (["test"], "required: RUN\n"),
        (["test", "."], "to list the runs: tlx runs"),
        (["train", "--config-dir"], "expected a directory"),
        (["train", "--config-dir", "nosuch"], "expected a directory"),
        (["train", "--config-name", "mine"], "without --config-name"),
        (["plan", "--nosuch"], "got the flag '--nosuch'"),
        (["train", "--epochs", "3"], "got the flag '--epochs'; type: trainer.stage_epochs=3"),
        (["train", "--batch-size=3"], "got the flag '--batch-size=3'; type: dataset.batch_size=3"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_mistyped_verb_or_argument_is_told(typed, words, capsys, tmp_path, monkeypatch):
    """Guards against verbs other than train and plan that end in a traceback."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(typed)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_the_traceback_can_be_had():
    """Guards against an error that cannot be looked into."""
    done = answer("train", "strategy=ful", TLX_FULL_ERROR="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "did you mean 'full'?" in done.stderr
