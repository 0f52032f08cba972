"""Create a separate environment for each peer, with uv if it is on PATH, otherwise with pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = {"fastai": "fastai==2.8.12", "finetuning-scheduler": "finetuning-scheduler==2.14.1"}
SHARED = ("torch", "torchvision", "timm", "pillow")  # in the same versions as in tlx's environment
IMPORTS = {
    "here": "import torchvision, timm, pytorch_lightning, tlx.train",
    "fastai": "import torchvision, timm, fastai.vision.all",
    "finetuning-scheduler": "import torchvision, timm, lightning, finetuning_scheduler",
}


class NotInstallable(Exception):
    """A peer cannot be measured; the argument says why, in one line."""


def python_of(name: str, folder: Path) -> str:
    """Return the interpreter of an environment; install it if it is missing, and compile the modules that it imports.

    Args:
        name: `here` for the environment of this process, or a peer of `PACKAGES`.
        folder: Folder of the environments.

    Raises:
        NotInstallable: pip or uv failed, or the installed packages cannot be imported.
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
