"""The environment in which a run was started: versions, machine, commit, command line."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tlx.records.commit import commit_of

PACKAGES = ("tlx", "torch", "torchvision", "pytorch-lightning", "timm", "torchmetrics", "hydra-core", "numpy", "pillow")


def environment() -> dict[str, Any]:
    """Return plain values about this process; devices are listed only if torch is already imported."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(sys.orig_argv),
        "directory": os.getcwd(),
        "git": commit_of(os.getcwd()),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "cores": os.cpu_count(),
        "devices": _devices(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [f"cpu, {torch.get_num_threads()} threads"]
