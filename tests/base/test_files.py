"""Files are whole at any moment, and nothing is written through a link."""

from __future__ import annotations

import errno
import os

import pytest

from tlx.base.errors import CannotWrite, TlxError
from tlx.base.files import create, is_locked, locked, open_to_append, temporary_of, temporary_path, write_text, writing
from tlx.base.printable import one_line, printable


@pytest.fixture
def outside(tmp_path):
    """A file of somebody's, at which links point; it has to stay as it is."""
    path = tmp_path / "outside.txt"
    path.write_text("mine")
    yield path
    assert path.read_text() == "mine"


def test_a_text_takes_the_place_of_a_link(tmp_path, outside):
    """Guards against a file outside that is overwritten through `status.json -> ~/.bashrc`."""
    link = tmp_path / "status.json"
    link.symlink_to(outside)
    write_text(link, "new")
    assert link.read_text() == "new"
    assert not link.is_symlink()


def test_temporary_names_cannot_be_foreseen(tmp_path, outside):
    """Guards against `NAME.PID.tmp` as a link: no name comes twice, and one that is there is refused."""
    path = tmp_path / "a.txt"
    first, second = temporary_path(path), temporary_path(path)
    assert first != second
    assert temporary_of(first.name) == "a.txt"
    assert temporary_of("a.txt.123.tmp") == "a.txt"
    assert temporary_of("a.txt") is None
    first.symlink_to(outside)
    with pytest.raises(FileExistsError):
        create(first)
    assert len(os.fsencode(temporary_path(tmp_path / ("é" * 127)).name)) <= 255


@pytest.mark.parametrize("kind", ["link", "hard link", "folder", "pipe"])
def test_what_is_added_to_a_log_stays_in_it(tmp_path, outside, kind):
    """Guards against `tlx.log` as a link to a file outside, and against a pipe that is waited for."""
    log = tmp_path / "tlx.log"
    make = {"link": lambda: log.symlink_to(outside), "hard link": lambda: log.hardlink_to(outside)}
    make |= {"folder": log.mkdir, "pipe": lambda: os.mkfifo(log)}
    make[kind]()
    if kind == "hard link":
        os.write(handle := open_to_append(log), b" and more")
        os.close(handle)
        assert log.read_text() == "mine and more"
        return
    with pytest.raises(CannotWrite, match="cannot write"):
        open_to_append(log)


def test_a_lock_is_no_link(tmp_path, outside):
    """Guards against a `.lock` that holds a file outside."""
    (tmp_path / ".lock").symlink_to(outside)
    with pytest.raises(CannotWrite), locked(tmp_path / ".lock", lambda: None):
        pass
    assert not is_locked(tmp_path / ".lock")


def test_an_error_leaves_what_was_there(tmp_path, monkeypatch):
    """Guards against half a file, a temporary one that stays, and a traceback for a full disk."""
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TlxError, match=r"cannot write .*a\.txt: No space left on device; make room"):
        write_text(path, "new")
    with pytest.raises(ValueError, match="of the caller"), writing(path):
        raise ValueError("of the caller")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_what_controls_a_terminal_is_shown():
    """Guards against names that put a line of their own into a log, or hide one on a terminal."""
    assert one_line("pets\ncurl x | sh\t\x1b[2J") == r"pets\ncurl x | sh\t\x1b[2J"
    assert printable("two\n  lines\x1b[2J\r\u202e") == "two\n  lines\\x1b[2J\\r\\u202e"
    assert printable("thé 🐜 日本") == "thé 🐜 日本"
