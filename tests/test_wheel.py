"""The wheel and the source distribution, away from the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tlx import Run

pytestmark = pytest.mark.slow
CONF = {p.relative_to(ROOT / "conf").as_posix() for p in (ROOT / "conf").rglob("*.yaml") if p.parent.name != "local"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist alone."""
    pytest.importorskip("build", reason="building needs the package `build`")
    pytest.importorskip("hatchling", reason="building offline needs the package `hatchling`")
    out = tmp_path_factory.mktemp("dist")
    # A copy: the tree may hold what others write at this moment.
    source = tmp_path_factory.mktemp("source") / "tlx"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "outputs")
    shutil.copytree(ROOT, source, ignore=ignored)
    (source / "conf" / "local").mkdir(exist_ok=True)
    (source / "conf" / "local" / "default.yaml").write_text("output_dir: /somebody/elses\n")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel as pip would unpack it; libraries come from this environment."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def elsewhere(installed: Path, cwd: Path, *arguments: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_distributions_hold_conf_and_nothing_of_this_machine(built):
    """Guards against a wheel without conf/, and against one with a machine's own paths or tests in it."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {n.removeprefix("tlx/conf/") for n in names if n.startswith("tlx/conf/")} == CONF
    assert {n.split("/")[0] for n in names} == {"tlx", *(n.split("/")[0] for n in names if ".dist-info/" in n)}
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert "tlx/py.typed" in names  # or type checkers would take all of tlx for Any
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        inside = {n.partition("/")[2] for n in sdist.getnames()}
    assert {f"conf/{name}" for name in CONF} | {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "tests/test_wheel.py",
    } <= inside
    assert not [n for n in (*names, *inside) if "local/default" in n or "outputs/" in n]


def test_an_editable_install_finds_the_checkout(tmp_path):
    """Guards against a layout of the wheel that `pip install -e` refuses."""
    code = f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        (pointer,) = [n for n in wheel.namelist() if n.endswith(".pth")]
        assert wheel.read(pointer).decode().strip() == str(ROOT)


def test_the_wheel_works_in_an_empty_directory(installed, tmp_path):
    """Guards against a package that works only beside its repository."""
    where = elsewhere(
        installed, tmp_path, "-c",
        "import tlx; from tlx.config.compose import conf_dir; print(tlx.__file__); print(conf_dir())",
    )  # fmt: skip
    assert where.splitlines() == [str(installed / "tlx" / "__init__.py"), str(installed / "tlx" / "conf")]
    assert elsewhere(installed, tmp_path, "-m", "tlx", "--help").startswith("tlx: transfer a deep vision network")
    assert "gradual" in elsewhere(installed, tmp_path, "-m", "tlx", "list", "strategies")
    small = ["backbone=small_cnn", "backbone.width=4", "dataset.image_size=16", "trainer=debug"]
    assert "layer group" in elsewhere(installed, tmp_path, "-m", "tlx", "plan", *small)
    assert list(tmp_path.iterdir()) == []
    told = elsewhere(installed, tmp_path, "-m", "tlx", "train", *small)
    assert "test/accuracy" in told
    (outputs,) = tmp_path.iterdir()
    (run,) = outputs.iterdir()
    assert Run(run).finished


def test_the_entry_point_is_the_command_line(installed):
    """Guards against a `tlx` script that names a function that moved."""
    entry = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "tlx = tlx.cli:main" in entry
