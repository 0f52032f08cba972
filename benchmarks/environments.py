"""An environment of its own for each peer, made when it is missing: with uv where that is on PATH, else with pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = {"fastai": "fastai==2.8.12", "finetuning-scheduler": "finetuning-scheduler==2.14.1"}
SHARED = ("torch", "torchvision", "timm", "pillow")  # in the versions that tlx runs on here
IMPORTS = {
    "here": "import torchvision, timm, pytorch_lightning, tlx.train",
    "fastai": "import torchvision, timm, fastai.vision.all",
    "finetuning-scheduler": "import torchvision, timm, lightning, finetuning_scheduler",
}


class NotInstallable(Exception):
    """Why a peer cannot be measured, in a line."""


def python_of(name: str, folder: Path) -> str:
    """Return the interpreter of an environment, installed and warm: what is imported first is on disk as bytecode.

    Args:
        name: `here`, the one that runs the benchmark, or a peer of `PACKAGES`.
        folder: Where environments are kept.

    Raises:
        NotInstallable: pip or uv failed, or what was installed cannot be imported.
    """
    python = sys.executable if name == "here" else str(folder / name / "bin" / "python")
    if name != "here" and not (folder / name / "installed").is_file():
        _install(name, folder / name)
    _run([python, "-c", IMPORTS[name]])
    return python


def _install(name: str, folder: Path) -> None:
    print(f"installing {PACKAGES[name]} into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    packages = [PACKAGES[name], *(f"{shared}=={version(shared)}" for shared in SHARED)]
    if uv := shutil.which("uv"):
        _run([uv, "venv", "-q", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "-q", "--python", str(folder / "bin" / "python"), *packages])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *packages])
    (folder / "installed").write_text("\n".join(packages))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotInstallable((done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1])
