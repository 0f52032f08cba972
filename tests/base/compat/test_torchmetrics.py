"""What tlx uses of torchmetrics beyond its documentation is still there; `tests/base/test_imports.py` imports it so."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from types import ModuleType

import torchmetrics

from tlx.base.compat import torchmetrics as compat
from tlx.base.imports import EARLY


def test_the_package_is_asked_for_its_logger_alone():
    """Guards against seconds of every start: a part that asks the package for more has all of it imported."""
    folder = Path(torchmetrics.__file__).parent
    files = [folder / "metric.py", folder / "collections.py", folder / "aggregation.py", *folder.glob("utilities/*.py")]
    asked = {
        name.name
        for file in files
        for node in ast.parse(file.read_text(encoding="utf-8")).body  # what is imported with it, not by a function
        if isinstance(node, ast.ImportFrom) and node.module == "torchmetrics"
        for name in node.names
    }
    assert "_logger" in (folder / "__init__.py").read_text(encoding="utf-8")
    assert asked - set(EARLY["torchmetrics"]) - {path.stem for path in folder.glob("*")} <= {"_logger"}


def test_a_package_is_begun():
    """Guards against a module without the logger that its parts ask for."""
    package = ModuleType("torchmetrics")
    compat.begin(package)
    assert package._logger is logging.getLogger("torchmetrics") is torchmetrics._logger
