"""What tlx uses of Python's own modules beyond their documentation is still there."""

from __future__ import annotations

import atexit
import pickle
import subprocess
import sys
from multiprocessing import util

import skops.io._utils

from tests.conftest import ROOT
from tlx.base.compat.python import SEARCHES, name_in_python3, process_settings, registered_at_exit


def test_functions_that_run_at_exit_are_counted():
    """Guards against a process that exits before the functions of others have run, such as those of coverage."""
    before = registered_at_exit()
    atexit.register(test_functions_that_run_at_exit_are_counted)
    assert registered_at_exit() == before + 1
    atexit.unregister(test_functions_that_run_at_exit_are_counted)


def test_multiprocessing_takes_its_folder_from_the_settings(tmp_path, monkeypatch):
    """Guards against sockets in a folder whose path is too long, for which a reader waits for ever."""
    monkeypatch.setitem(process_settings(), "tempdir", str(tmp_path))
    assert util.get_temp_dir() == str(tmp_path)


def test_an_item_that_cannot_be_sent_is_told():
    """Guards against a batch that is lost in a thread of a queue while its reader waits for it."""
    code = """
import multiprocessing, os
from tlx.base.compat.python import on_unsent
on_unsent(lambda error, item: os._exit(7 if callable(item) else 1))
queue = multiprocessing.Queue()
queue.put(lambda: 0)  # no pickle of it can be made
queue.close()
queue.join_thread()
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 7


def test_names_of_python_2_are_known_in_python_3():
    """Guards against an old file of weights that names a module which is called otherwise today."""
    assert name_in_python3("__builtin__", "xrange") == "builtins.range"
    assert name_in_python3("copy_reg", "_reconstructor") == "copyreg._reconstructor"
    assert name_in_python3("torch._utils", "x") == "torch._utils.x"


def test_pickle_and_skops_search_modules_by_these_functions():
    """Guards against a search for a name that imports all of torchmetrics."""
    for name in SEARCHES:
        assert callable(getattr(pickle, name))
        assert callable(getattr(skops.io._utils, name))
