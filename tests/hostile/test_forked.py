"""The judge of the nightly commands sees what it is there to see."""

from __future__ import annotations

import subprocess

import pytest

from tests.hostile.forked import Ended, wait


@pytest.mark.parametrize(
    ("script", "ended"),
    [("exit 2", (2, False)), ("sleep 60 & exit 0", (0, True)), ("exec sleep 60", (-9, False))],
    ids=["ends", "leaves a process", "hangs"],
)
def test_an_end_is_told(script: str, ended: tuple[int, bool]) -> None:
    """Guards against nightly tests that pass whatever a command does: it hangs, or leaves a process behind."""
    assert wait(subprocess.Popen(["sh", "-c", script], process_group=0).pid, seconds=0.5, patience=0.5) == ended


def test_a_fault_is_told() -> None:
    """Guards against a traceback, a crash and a refusal without a word that pass."""
    assert [Ended(code, "x", stayed=False).fault for code in (0, 2)] == ["", ""]
    assert Ended(0, "", stayed=False).fault == ""
    for wrong in (
        Ended(2, " \n", stayed=False),
        Ended(1, "x", stayed=False),
        Ended(-9, "x", stayed=False),
        Ended(0, "Traceback (most recent call last):", stayed=False),
        Ended(0, "x", stayed=True),
    ):
        assert wrong.fault, wrong
