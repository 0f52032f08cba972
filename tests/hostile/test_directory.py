"""The directory in which tlx is called, or which it is given, brings along modules, programs and settings: none runs.

The directory is a run of somebody else with pictures and traps in it. A trap that is sprung leaves its name in a file.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tlx.runs.run import Run

# Looked for by libraries, and installed hardly anywhere.
OPTIONAL = ("apex", "habana_frameworks", "lightning_habana", "torch_xla", "transformer_engine", "tensorboardX", "wandb")
SPECIAL = ("sitecustomize", "usercustomize", "mysource", "hydra_plugins")
PROGRAMS = ("git", "nvidia-smi", "uname", "ldconfig", "gcc", "g++", "cc", "c++", "ld", "file", "objdump", "latex")
PICTURES = ["dataset=folder", "dataset.root=pictures"]
SMALL = [
    "dataset.channels=1", "dataset.image_size=16", "dataset.batch_size=4", "strategy=full", "trainer.stage_epochs=1",
    "trainer.accelerator=cpu",
]  # fmt: skip
NETWORK = ["backbone=small_cnn", "backbone.width=4"]
# In one process, which imports torch once: what follows `tlx`, as the installed command would do it.
COMMANDS = """
import json, sys
from tlx.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["tlx", *command]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"exit code {stop.code}: {command}")
"""


@pytest.fixture(scope="module")
def hostile(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted, with traps in it."""
    directory = Path(shutil.copytree(tiny_run.directory, tmp_path_factory.mktemp("hostile") / "run"))
    Run(directory).write_status("interrupted")
    (directory / "metrics.json").unlink()
    for number in range(24):
        path = directory / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 10 * number).save(path)
    names = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), *OPTIONAL, *SPECIAL}
    for name in {name for name in names if name.isidentifier()} - {"tlx"}:
        text = f"with open({str(marks(directory))!r}, 'a') as file: file.write('module {name}\\n')\n"
        (directory / f"{name}.py").write_text(text)
    (directory / "hydra_plugins.py").unlink()
    plugin = directory / "hydra_plugins" / "trap" / "__init__.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(f"with open({str(marks(directory))!r}, 'a') as file: file.write('plugin\\n')\n")
    for name in (*PROGRAMS, "monitor"):
        program(directory, name)
    for folder in ("conf", ".hydra"):
        (directory / folder).mkdir()
        for name in ("train.yaml", "config.yaml"):
            (directory / folder / name).write_text("seed: foreign\n")
    (directory / "matplotlibrc").write_text("backend: module://mysource\ntext.usetex: True\n")
    repository(directory)
    return directory


def marks(directory: Path) -> Path:
    return directory.parent / "marks"


def program(directory: Path, name: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho 'program {name}' >> '{marks(directory)}'\n")
    path.chmod(0o755)


def repository(directory: Path) -> None:
    for folder in ("objects", "refs/heads"):
        (directory / ".git" / folder).mkdir(parents=True)
    (directory / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (directory / ".git" / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    (directory / ".git" / "config").write_text(f"[core]\n\tfsmonitor = {directory / 'monitor'}\n")


def sprung(directory: Path) -> list[str]:
    """The traps that were sprung since this was asked last."""
    path = marks(directory)
    found = path.read_text().split("\n")[:-1] if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def call(directory: Path, *arguments: str, first: str = "") -> str:
    """Call Python in the directory, with a PATH that looks there first; return what it says."""
    path = os.pathsep.join(["", ".", os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, [first, str(ROOT)]))}
    for name in ("PYTHONSAFEPATH", "TLX_ALLOW_TARGETS"):
        env.pop(name, None)
    done = subprocess.run([sys.executable, *arguments], cwd=directory, env=env, capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}\nexit code {done.returncode}"


def test_the_traps_work(hostile: Path, tmp_path: Path) -> None:
    """Guards against traps that would not be sprung anyway, which would prove nothing."""
    sprung(hostile)
    for spring, trap in {
        "import omegaconf": "module omegaconf",
        "import multiprocessing": "module multiprocessing",
        "import sys; sys.path.pop(0); import subprocess; subprocess.run(['nvidia-smi'])": "program nvidia-smi",
        "import sys; sys.path.pop(0); import platform; platform.uname().processor": "program uname",
    }.items():
        told = call(hostile, "-c", spring)
        assert trap in sprung(hostile), told
    shutil.copy(hostile / "sitecustomize.py", tmp_path)
    told = call(hostile, "-c", "pass", first=str(tmp_path))
    assert "module sitecustomize" in sprung(hostile), told
    scan = "import sys; from hydra.core.plugins import Plugins; sys.path.append('.'); Plugins.instance()"
    told = call(hostile, "-P", "-c", scan)
    assert "plugin" in sprung(hostile), told
    asked = subprocess.run(["git", "status"], cwd=hostile, capture_output=True, text=True, check=False)
    assert "program monitor" in sprung(hostile), asked


@pytest.mark.nightly
def test_nothing_of_a_directory_is_run(hostile: Path) -> None:
    """Guards against modules of the working directory in a process that tlx starts (workers of torchrun, the server of
    a sweep, readers of images), programs of it by a PATH with `.`, and settings of it."""
    sprung(hostile)
    new, sweep = [*PICTURES, *SMALL, *NETWORK], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    commands = [
        ["check", *PICTURES],
        ["lineage", "."],
        ["predict", ".", "pictures", "-o", "../predictions.csv"],
        ["test", "."],
        ["train", "-m", *new, "seed=0,1", *sweep, "logger=none", "output_dir=../sweep"],
        ["train", *new, "dataset.num_workers=1", "trainer.devices=2", "logger=none", "run_dir=../two"],
        ["train", *PICTURES, *SMALL, "backbone=run", "backbone.run=.", "dataset.num_workers=1", "run_dir=../again"],
        ["train", "resume=."],
    ]
    told = call(hostile, "-P", "-c", COMMANDS, json.dumps(commands))
    assert sprung(hostile) == [], told
    assert told.endswith("exit code 0"), told
    assert Run(hostile).finished
    assert (hostile.parent / "again" / "review" / "confusion_matrix.png").is_file()  # drawn without TeX
    assert Run(hostile).environment[-1]["git"] == "a" * 40


def test_a_named_module_brings_no_other_before_pythons_own(tmp_path: Path) -> None:
    """Guards against a module of the user's own whose folder then hides the standard library from all that follows."""
    (tmp_path / "mysource.py").write_text("import neighbour, sched\n")
    (tmp_path / "neighbour.py").write_text("")
    (tmp_path / "sched.py").write_text("raise SystemExit('foreign')\n")
    code = "import os, sys\nos.environ['TLX_ALLOW_TARGETS'] = 'mysource'\nfrom tlx.base import own_modules\n"
    code += f"own_modules.find_named_modules_in({str(tmp_path)!r})\nimport mysource\nprint(mysource.sched.__name__)"
    assert call(tmp_path, "-P", "-c", code).splitlines() == ["sched", "", "exit code 0"]


@pytest.mark.nightly
def test_python_m_takes_only_what_is_named_from_the_working_directory(hostile: Path, tmp_path: Path) -> None:
    """Guards against `python -m tlx`, for which Python puts the working directory first: a module of the user's own is
    found there, in children too, and no other."""
    (tmp_path / "omegaconf.py").write_text("raise SystemExit('foreign')\n")
    (tmp_path / "habana_frameworks.py").write_text("raise SystemExit('foreign')\n")
    told = call(tmp_path, "-m", "tlx", "lineage", str(hostile))
    assert told.endswith("exit code 0"), told
    source = f"{ROOT.joinpath('docs', 'datasets.md').read_text().partition('# mysource.py')[2].partition('```')[0]}"
    (tmp_path / "mysource.py").write_text(f"import neighbour\n{source}")
    (tmp_path / "neighbour.py").write_text("")
    (tmp_path / "flat").mkdir()
    for number in range(12):
        Image.new("L", (16, 16), 20 * number).save(tmp_path / "flat" / f"{'ab'[number % 2]}_{number}.jpg")
    option = "defaults:\n  - base\n  - _self_\n_target_: mysource.flat\nname: flat\nroot: ???\n"
    (tmp_path / "mine" / "dataset").mkdir(parents=True)
    (tmp_path / "mine" / "dataset" / "flat.yaml").write_text(option)
    typed = ["dataset=flat", "dataset.root=flat", "dataset._target_=mysource.flat"]
    more = ["logger=none", "seed=0,1", "output_dir=out"]
    told = call(tmp_path, "-m", "tlx", "train", "-m", "--config-dir", "mine", *typed, *SMALL, *NETWORK, *more)
    assert told.endswith("exit code 0"), told


def test_tlx_takes_only_what_is_typed_for_a_training_from_the_working_directory(tmp_path: Path) -> None:
    """Guards against a typed network that is not found, and against a module from somebody else's folder that only a
    setting allows, or that is typed for a run."""
    for name in ("mynet", "allowed"):
        (tmp_path / f"{name}.py").write_text("def build():\n    return None\n")
    code = "import importlib.util, os, sys\nos.environ['TLX_ALLOW_TARGETS'] = 'allowed'\nfrom tlx.cli import main\n"
    code += "sys.argv = ['tlx', *sys.argv[1:]]\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    code += "print([name for name in ('allowed', 'mynet') if importlib.util.find_spec(name)])"
    typed = ["dataset=nosuch", "backbone=own", "backbone.target=mynet.build"]
    for verb, found in {"train": ["mynet"], "plan": ["mynet"], "test": [], "predict": []}.items():
        arguments = typed if verb in ("train", "plan") else ["RUN", "backbone.target=mynet.build"]
        assert call(tmp_path, "-P", "-c", code, verb, *arguments).count(str(found)) == 1
    again = call(tmp_path, "-P", "-c", code, "train", "resume=RUN", "backbone.target=mynet.build")
    assert "\n[]\n" in f"\n{again}"
