"""Images are opened in the process of the test."""

from __future__ import annotations

import pytest

from tests.data.mask_trees import examined_here
from tlx.data.reading import inspection


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no processes, which would take most of the time."""
    monkeypatch.setattr(inspection, "examine_all", examined_here)
