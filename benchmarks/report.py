"""Write measured tables into docs/results.md, each between its own markers."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results.md"


def write_section(name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->` in docs/results.md."""
    page = RESULTS.read_text(encoding="utf-8")
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"expected markers <!-- {name} --> in {RESULTS}, got none")
    RESULTS.write_text(pattern.sub(lambda m: f"{m[1]}{text}\n{m[2]}", page), encoding="utf-8")


def machine() -> str:
    """Return what the figures were measured on, in words."""
    import torch

    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{platform.machine()} CPU with {os.cpu_count()} cores, {versions}"
