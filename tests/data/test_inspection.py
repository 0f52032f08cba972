"""Files are looked at once: in processes that may die, with what was found kept between runs."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest

from tlx.base.errors import TlxError
from tlx.data.reading import facts_store, inspection, workers
from tlx.data.reading.facts import Facts, examine, file_hash
from tlx.data.reading.facts_store import FactsStore, cache_folder
from tlx.data.reading.inspection import decoding, file_facts


@pytest.fixture
def files(make_tree) -> list[Path]:
    root = make_tree({"a": 40})
    (root / "a" / "7.png").write_bytes(b"no image")
    return sorted((root / "a").iterdir())


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The files that are opened, in turn."""
    seen: list[str] = []
    examine_all = workers.examine_all

    def spy(paths, **rest):
        seen.extend(paths)
        return examine_all(paths, **rest)

    monkeypatch.setattr(inspection, "examine_all", spy)
    return seen


def look(files: list[Path]) -> list[Facts]:
    with decoding(True):
        return file_facts(files)


def test_the_second_time_no_file_is_opened(files, opened):
    """Guards against a check that is paid for by every run; a file that has changed is opened again, alone."""
    first = look(files)
    assert opened == [str(path) for path in files]
    assert [f.reason is None for f in first] == [path.name != "7.png" for path in files]
    assert {(f.width, f.height, f.short_side) for f in first if not f.reason} == {(12, 8, 8)}
    assert all(f.key == file_hash(path) for f, path in zip(first, files, strict=True))
    opened.clear()
    assert look(files) == first
    assert opened == []
    shutil.copy(files[0], files[9])
    os.utime(files[1], (1, 1))
    again = look(files)
    assert sorted(opened) == sorted(str(files[i]) for i in (1, 9))
    assert again[9].key == again[0].key
    assert again[1] == first[1]


def test_a_second_time_opens_no_file_at_all(files, monkeypatch):
    """Guards against files that are opened by another way than the one that is watched."""
    look(files)
    watched: list[str] = []
    sys.addaudithook(lambda event, args: watched.append(str(args[0])) if event == "open" and watched else None)
    watched.append("start")
    look(files)
    assert not [path for path in watched if path.endswith(".png")]
    files[0].read_bytes()
    assert watched[-1] == str(files[0])
    watched.clear()  # a hook stays for good: it watches no more


def test_hashes_alone_are_not_taken_for_a_check(files, opened):
    """Guards against a file that was only read, to split a set, passing for one that was decoded."""
    hashed = file_facts(files)
    assert opened == []
    assert not any(f.decoded for f in hashed)
    assert all(f.decoded for f in look(files))
    assert len(opened) == len(files)
    assert all(f.decoded for f in file_facts(files))


def test_verdicts_of_other_rules_are_not_believed(files, opened, monkeypatch):
    """Guards against a file that stays broken after the limit was raised, or whole after it was lowered."""
    look(files)
    monkeypatch.setenv("TLX_MAX_PIXELS", "50")
    assert all("more than 50" in f.reason for f in look(files) if f.height)
    assert len(opened) == 2 * len(files)


@pytest.mark.parametrize("damage", [b"no database", b"", b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_cache_is_made_anew(files, opened, cache, damage):
    """Guards against a cache that stops every run until somebody deletes it."""
    first = look(files)
    (cache / "facts.sqlite").write_bytes(damage)
    assert look(files) == first
    opened.clear()
    assert look(files) == first
    assert opened == []
    aside = [path.read_bytes() for path in cache.glob("facts.sqlite.damaged-*")]
    assert aside == ([damage] if damage else [])  # it may be somebody's


def test_a_database_of_somebody_elses_stays_as_it_is(files, opened, cache, tmp_path):
    """Guards against a TLX_CACHE in a project whose own facts.sqlite gets a table, or leads elsewhere."""
    for place in (cache / "facts.sqlite", tmp_path / "elsewhere.sqlite"):
        place.unlink(missing_ok=True)
        with closing(sqlite3.connect(place)) as database, database:
            database.execute("CREATE TABLE mine (x)")
        before = place.read_bytes()
        look(files)
        assert place.read_bytes() == before
        (cache / "facts.sqlite").unlink(missing_ok=True)
        (cache / "facts.sqlite").symlink_to(tmp_path / "elsewhere.sqlite")


def test_a_time_that_no_database_holds(files, cache, monkeypatch):
    """Guards against OverflowError for a file from the year 2300: its facts are not kept, those of the others are."""
    stat, far = os.stat, os.stat(files[3]).st_size

    class Far:
        st_mode, st_size, st_mtime_ns = stat(files[3]).st_mode, far, 2**63

    monkeypatch.setattr(
        inspection.os, "stat", lambda path, **more: Far() if path == str(files[3]) else stat(path, **more)
    )
    assert [f.reason is None for f in look(files)] == [path.name != "7.png" for path in files]
    with closing(sqlite3.connect(cache / "facts.sqlite")) as database:
        kept = {Path(os.fsdecode(name)) for (name,) in database.execute("SELECT path FROM facts_4")}
    assert kept & set(files) == set(files) - {files[3]}


def test_without_a_place_for_the_cache_all_goes_on(files, opened, tmp_path, monkeypatch):
    """Guards against a home that is missing, full or read-only ending the run."""
    first = look(files)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TLX_CACHE", str(tmp_path / "file" / "cache"))
    assert cache_folder() is None
    assert look(files) == first
    monkeypatch.setenv("TLX_CACHE", str(tmp_path / "locked"))
    monkeypatch.setattr(facts_store, "_PATIENCE", 0.01)
    FactsStore(Facts).put([("x", (1, 1), first[0])])
    with sqlite3.connect(tmp_path / "locked" / "facts.sqlite") as database:
        database.execute("BEGIN EXCLUSIVE")
        assert look(files) == first
    assert len(opened) == 3 * len(files)


def test_places_of_the_cache(tmp_path, monkeypatch):
    """Guards against a cache elsewhere than the environment says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TLX_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "tlx"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "tlx"
    monkeypatch.setenv("TLX_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_open_each_file_once(files):
    """Guards against a sweep, or torchrun, in which every process decodes the whole set."""
    code = """
        import sys
        from pathlib import Path
        from tlx.data.reading import inspection, workers
        count = 0
        def spy(paths, **rest):
            global count
            count += len(paths)
            return workers.examine_all(paths, **rest)
        inspection.examine_all = spy
        with inspection.decoding(True):
            facts = inspection.file_facts(sorted(Path(sys.argv[1]).iterdir()))
        print(count, sum(f.reason is None for f in facts))
    """
    processes = [start(code, str(files[0].parent)) for _ in range(3)]
    told = [tuple(map(int, p.communicate(timeout=60)[0].split())) for p in processes]
    assert sum(opened for opened, _ in told) == 40
    assert {good for _, good in told} == {39}


def test_a_killed_check_neither_blocks_nor_damages(files, opened):
    """Guards against a lock, or a cache, that a process killed in the middle leaves behind."""
    code = """
        import sys, time
        from pathlib import Path
        from tlx.data.reading import inspection, workers
        inspection._KEPT_EVERY = 0
        def slow(paths, **rest):
            for n, found in enumerate(workers.examine_all(paths, **rest)):
                if n == 20:
                    print("now", flush=True)
                    time.sleep(60)
                yield found
        inspection.examine_all = slow
        with inspection.decoding(True):
            inspection.file_facts(sorted(Path(sys.argv[1]).iterdir()))
    """
    process = start(code, str(files[0].parent))
    assert process.stdout.readline() == "now\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert [f.reason is None for f in look(files)].count(True) == 39
    assert len(opened) == 20  # the others were kept


@pytest.mark.slow
def test_a_process_that_dies_or_hangs_takes_one_file_with_it(files, monkeypatch, tmp_path):
    """Guards against a decoder that crashes or never ends taking the run, or its neighbours in the list, with it."""
    code = """
        import os, sys, time, tlx.data.reading.facts as facts
        sys.argv = ["facts"]
        check = facts.verify
        def verify(path):
            name = os.path.basename(path)
            if name == "3.png": os.kill(os.getpid(), 11)
            if name == "20.png": time.sleep(60)
            if name == "5.png": print("noise"); os.write(1, b"noise\\n")
            return check(path)
        facts.verify = verify
        facts.main()
    """
    fake = tmp_path / "python"
    (tmp_path / "worker.py").write_text(textwrap.dedent(code))
    fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "worker.py"}"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(workers.sys, "executable", str(fake))
    monkeypatch.setattr(workers, "PATIENCE", 3.0)
    reasons = {path.name: f.reason for path, f in zip(files, look(files), strict=True) if f.reason}
    monkeypatch.undo()
    assert reasons == {
        "3.png": "reading it ended the process (signal 11)",
        "20.png": "reading it took longer than 3 seconds",
        "7.png": "it is in no image format that tlx reads",
    }


def test_what_may_pass_is_not_kept(files):
    """Guards against a file that stays broken because a disk or a lack of memory once failed."""
    FactsStore(Facts).put([(str(files[0]), (1, 1), Facts("k", "reading it took longer", decoded=True, lasting=False))])
    assert FactsStore(Facts).get({str(files[0]): (1, 1)}, decoded=True) == {}


def test_processes_that_cannot_start_are_no_broken_files(files, monkeypatch):
    """Guards against a broken installation declaring every file broken."""
    monkeypatch.setattr(workers.sys, "executable", shutil.which("false"))
    with pytest.raises(TlxError, match="expected a process that reads images, got one that ended"):
        look(files)


def test_no_process_outlives_the_check(files, monkeypatch):
    """Guards against processes that are left behind when the one who waits for them gives up."""
    children: list[subprocess.Popen] = []
    popen = subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", lambda *a, **k: children.append(popen(*a, **k)) or children[-1])
    results = workers.examine_all([str(path) for path in files], processes=2)
    next(results)
    results.close()
    assert len(children) == 2
    assert all(child.poll() == -signal.SIGKILL for child in children)


def test_names_that_are_no_text(make_tree):
    """Guards against file names in another encoding, or with line ends, that the cache or the processes garble."""
    root = make_tree({"a": 1})
    names = [b"\xff\xfe.png", "señal ñ.png".encode(), b"two\nlines.png", b"quo'te\".png"]
    for name in names:
        shutil.copy(root / "a" / "0.png", os.fsdecode(os.fsencode(root / "a") + b"/" + name))
    files = sorted((root / "a").iterdir())
    for _ in range(2):
        assert [f.reason for f in look(files)] == [None] * 5


def test_one_file_a_process(tmp_path):
    """Guards against facts that differ between this process and those that look."""
    paths = [str(tmp_path / name) for name in ("gone.png", "text.png")]
    Path(paths[1]).write_text("text")
    assert dict(workers.examine_all(paths)) == dict(enumerate(map(examine, paths)))


def test_how_many_processes(monkeypatch):
    """Guards against more processes than the memory holds when each meets the largest image allowed."""
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for gigabytes, expected in ((1000, 16), (4, 4), (0.2, 1)):
        monkeypatch.setattr(workers, "memory_available", lambda size=gigabytes: int(size * 2**30))
        assert workers.how_many() == expected


def test_progress_is_shown_on_a_terminal_only(files, monkeypatch, capsys):
    """Guards against a minute of silence, and against a bar in a log file."""
    look(files)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for path in files:
        os.utime(path, (time.time(), 5))
    look(files)
    assert "opening images" in capsys.readouterr().err
