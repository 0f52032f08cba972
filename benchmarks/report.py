"""Write measured tables to a page, docs/results.md by default, each between its own markers."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results.md"


def write_section(name: str, text: str, page: Path = RESULTS) -> None:
    """Replace the text between `<!-- NAME -->` and `<!-- /NAME -->` in a page."""
    before = page.read_text(encoding="utf-8")
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(before):
        raise SystemExit(f"expected markers <!-- {name} --> in {page}, got none")
    page.write_text(pattern.sub(lambda m: f"{m[1]}{text}\n{m[2]}", before), encoding="utf-8")


def machine(device: str = "cpu") -> str:
    """Return a description of the machine, of the GPU if `device` is `cuda`, and of the versions."""
    import torch

    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, {os.cpu_count()} CPU cores, {versions}"
    return f"{platform.machine()} CPU with {os.cpu_count()} cores, {versions}"
