"""docs/security.md: a promise a line, and a test for each."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "security.md"


def test_every_promise_has_a_test_that_exists():
    """Guards against a promise without a test, or whose test was renamed or removed."""
    rows = re.findall(r"^\| (?!promise|---)(.+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 20
    for promise, named in rows:
        found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", named)
        assert found, f"{promise}: no test, got {named}"
        file = ROOT / found[1]
        assert file.is_file(), f"{promise}: {found[1]}"
        defined = {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if hasattr(node, "name")}
        assert found[2] in defined, f"{promise}: {named}"
