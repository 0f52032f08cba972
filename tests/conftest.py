"""What tests share: where real data is, and a small finished run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def test_data() -> Callable[[str], Path]:
    """Return a function from the name of a real data set to its folder; it skips where that is absent."""
    base = Path(os.environ.get("TLX_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = base / name
        if not path.exists():
            pytest.skip(f"no real data '{name}' under {base}; set TLX_TEST_DATA")
        return path

    return find
