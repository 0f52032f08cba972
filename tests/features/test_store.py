"""The folder of entries: what goes first, what stays, what is listed."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tlx.base.errors import TlxError
from tlx.base.files import locked, temporary_path
from tlx.cli import main
from tlx.features.store import MARK, Store, gigabytes, table


def fill(store, key, size, age=0.0):
    entry = store.entry(key)
    (entry.folder / "x.rows").write_bytes(bytes(size))
    entry.note({"backbone": "net", "boundary": "top", "size": 8, "precision": "32-true"}, f"runs/{key}", "pets")
    os.utime(entry.folder / "about.json", (time.time() - age, time.time() - age))
    return entry


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    """Guards against a cache that grows beyond its limit, or removes what was just used."""
    store = Store(tmp_path, max_gb=10e-6)  # 10 kB
    for key, age in (("old", 300), ("older", 400), ("new", 10)):
        fill(store, key, 3000, age)
    store.make_room(3000, keep=set())
    assert [e.key for e in store.entries()] == ["new", "old"]
    store.make_room(6000, keep={"old"})
    assert [e.key for e in store.entries()] == ["old"]
    store.make_room(10**6, keep={"old"})
    assert [e.key for e in store.entries()] == ["old"]


def test_an_entry_that_somebody_adds_to_stays(tmp_path):
    """Guards against rows that vanish under the process that computes them."""
    store = Store(tmp_path, max_gb=1e-6)
    busy = fill(store, "busy", 3000, 500)
    with locked(busy.folder / ".lock", waiting=lambda: None):
        store.make_room(3000, keep=set())
        assert [e.key for e in store.entries()] == ["busy"]
    store.make_room(3000, keep=set())
    assert store.entries() == []


def test_room_is_the_limit_or_the_disk(tmp_path, monkeypatch):
    """Guards against filling the disk."""
    store = Store(tmp_path, max_gb=2)
    assert store.room() == 2e9
    usage = type("Usage", (), {"free": 1_500_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert store.room() == 500_000_000  # a gigabyte is left to others


def test_owners_are_remembered_latest_last(tmp_path):
    """Guards against an entry of which nobody knows whose it is."""
    store = Store(tmp_path)
    entry = store.entry("k")
    for i in range(25):
        entry.note({"backbone": "net"}, f"run{i}", "pets")
    entry.note({"backbone": "net"}, "run7", "pets")
    owners = list(store.entries()[0].about["owners"])
    assert len(owners) == 20
    assert owners[-2:] == ["run24", "run7"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    """Guards against half files that fill the disk for ever."""
    entry = Store(tmp_path).entry("k")
    half = ["0123456789ab-0123456789ab.77.tmp", "about.json.77.tmp", temporary_path(entry.folder / "x.rows").name]
    for name in [*half, "mine.tmp", "mine.7.tmp"]:
        (entry.folder / name).write_bytes(b"half")
    with entry.alone():
        assert sorted(path.name for path in entry.folder.glob("*.tmp")) == ["mine.7.tmp", "mine.tmp"]


def test_only_entries_are_counted_and_removed(tmp_path, capsys):
    """Guards against `tlx cache clear --dir PROJECT`, and `cache.max_gb`, which took every folder in it."""
    store = Store(tmp_path, max_gb=1e-6)
    key, other = "0123456789abcdef" * 2, "fedcba9876543210" * 2
    fill(store, key, 3000, 500)
    fill(store, other, 3000, 400)
    (tmp_path / "features" / key / MARK).unlink()  # one of tlx 0.1
    theirs = ["extract/model.py", "data.rows", f"{'a' * 32}/notes.md", "run7/x.rows", f"{other}/mine.txt"]
    for name in theirs:
        (store.folder / name).parent.mkdir(exist_ok=True)
        (store.folder / name).write_text("mine")
    (store.folder / ("b" * 32)).symlink_to(store.folder / "extract")
    assert [entry.key for entry in store.entries()] == [other, key]
    assert [entry.bytes > 3000 for entry in store.entries()] == [True, True]
    store.make_room(10**6, keep={other})
    assert [entry.key for entry in store.entries()] == [other]
    named = "left in place, not part of the cache: "
    main(["cache", "--dir", str(tmp_path)])
    assert f"{named}{'a' * 32}, {'b' * 32}, data.rows, extract, run7\n" in capsys.readouterr().out
    main(["cache", "clear", "--dir", str(tmp_path)])
    assert "1 entry removed" in (told := capsys.readouterr().out)
    assert f"{named}{'a' * 32}, {'b' * 32}, data.rows, extract, {other}, run7\n" in told
    there = {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()}
    assert there == set(theirs)
    with pytest.raises(TlxError, match=r"cache\.dir: expected a folder of tlx's own, got"):
        store.entry("extract")


def test_an_empty_entry_of_another_tlx_is_taken(tmp_path):
    """Guards against a cache that cannot be used any more, because another process has just made the folder."""
    store = Store(tmp_path)
    (store.folder / ("c" * 32)).mkdir()
    assert store.entry("c" * 32).exists


def test_a_folder_that_cannot_be_made_is_a_message(tmp_path):
    """Guards against a traceback for a mistyped cache.dir."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(TlxError, match=r"cache\.dir: expected a folder that can be made, got"):
        Store(tmp_path / "file")


def test_sizes_in_words():
    """Guards against kilobytes shown as gigabytes."""
    assert [gigabytes(x) for x in (1500, 2_500_000, 3_100_000_000)] == ["2 kB", "2.5 MB", "3.1 GB"]


def test_the_table_tells_size_age_and_owner(tmp_path):
    """Guards against a list that does not say what may be removed."""
    store = Store(tmp_path)
    assert table(store) == [f"{tmp_path / 'features'}: no entry"]
    fill(store, "a" * 32, 5_000_000, age=7300)
    header, row, total = table(store)
    assert header.split() == ["entry", "size", "used", "what", "of"]
    for word in ("aaaaaaaaaaaa", "5.0 MB", "2 h ago", "net up to top, 8 px, 32-true", f"pets: runs/{'a' * 32}"):
        assert word in row
    assert total.startswith("1 entry, 5.0 MB in ")


def test_the_command_lists_and_clears(tmp_path, capsys):
    """Guards against a verb that removes more, or less, than it was told to."""
    store = Store(tmp_path)
    for key in ("aa1", "aa2", "bb1"):
        fill(store, key, 1000)
    main(["cache", "--dir", str(tmp_path)])
    assert "3 entries" in capsys.readouterr().out
    main(["cache", "clear", "aa", "--dir", str(tmp_path)])
    assert [e.key for e in store.entries()] == ["bb1"]
    for words, told in ((["claer"], "expected clear or nothing"), (["clear", "zz"], "expected the key of an entry")):
        with pytest.raises(SystemExit) as stopped:
            main(["cache", *words, "--dir", str(tmp_path)])
        assert stopped.value.code == 2
        assert told in capsys.readouterr().err
    assert [e.key for e in store.entries()] == ["bb1"]
    main(["cache", "clear", "--dir", str(tmp_path)])
    assert store.entries() == []


def test_the_command_makes_no_folder(tmp_path, capsys, monkeypatch):
    """Guards against `tlx cache --dir X`, which made X/features to say that nothing is there; a typed '' made features
    in the working directory; a file in the place of the folder was a traceback."""
    monkeypatch.chdir(tmp_path)
    main(["cache", "--dir", "nosuch"])
    assert (
        capsys.readouterr().out == "nosuch/features: no such folder; tlx creates it when there is something to store\n"
    )
    main(["cache", "clear", "--dir", "nosuch"])
    assert capsys.readouterr().out == "0 entries removed, 0 kB, from nosuch/features\n"
    with pytest.raises(SystemExit):
        main(["cache", "--dir", ""])
    assert "expected a folder, got an empty text" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "features").write_text("x")
    with pytest.raises(SystemExit):
        main(["cache", "--dir", "."])
    assert "cache.dir: expected a folder that can be listed, got 'features'" in capsys.readouterr().err


def test_the_command_does_without_torch(tmp_path):
    """Guards against seconds of imports to list a folder."""
    code = (
        "import sys; from tlx.cli import main\n"
        f"main(['cache', '--dir', {str(tmp_path)!r}])\n"
        "print(sorted({'torch', 'numpy', 'hydra', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
