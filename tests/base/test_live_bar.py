"""The bar on the last line of a terminal."""

from __future__ import annotations

import io
import logging
import os
import pty
import sys

import pytest

from tlx.base.console import logging_to
from tlx.base.live_bar import LiveBar


def show(bar: LiveBar) -> None:
    bar.begin("epoch 1 of 2", 2)
    bar.advance()
    logging.getLogger("tlx").info("a row")
    bar.begin("epoch 2 of 2", 2)
    bar.end()
    bar.end()
    logging.getLogger("tlx").info("the end")


def in_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path) -> str:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        with logging_to(tmp_path):
            show(LiveBar())
        monkeypatch.undo()
        print("END", end="", file=terminal, flush=True)  # nothing at all could not be read
        shown = b""
        while not shown.endswith(b"END"):
            shown += os.read(ours, 100_000)
    os.close(ours)
    return shown.decode().removesuffix("END")


def test_lines_appear_above_the_bar_and_the_bar_goes(monkeypatch, tmp_path) -> None:
    """Guards against rows that the bar overwrites, a bar that stays, and a cursor that stays hidden."""
    monkeypatch.setenv("TERM", "xterm")
    text = in_a_terminal(monkeypatch, tmp_path)
    assert "epoch 1 of 2" in text
    assert "\x1b[2Ka row\r\n" in text
    assert text.endswith("\x1b[2Kthe end\r\n")
    assert text.count("\x1b[?25h") >= text.count("\x1b[?25l")
    assert (tmp_path / "tlx.log").read_text().count("epoch") == 0


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": "xterm", "RANK": "1"}])
def test_a_terminal_that_cannot_and_other_processes_draw_none(monkeypatch, tmp_path, variables) -> None:
    """Guards against control characters on a dumb terminal, and against a bar of each process."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert "\x1b" not in in_a_terminal(monkeypatch, tmp_path)


def test_no_colours_if_they_are_unwanted(monkeypatch, tmp_path) -> None:
    """Guards against NO_COLOR without effect."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in in_a_terminal(monkeypatch, tmp_path)


def test_a_file_gets_plain_lines(monkeypatch, tmp_path) -> None:
    """Guards against control characters in a file or a pipe, even if colours are forced."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with logging_to(tmp_path):
        show(LiveBar())
    assert out.getvalue() == "a row\nthe end\n"
