"""Plant each fault in a copy of the tree and run the tests that should notice: python -m tests.faults [NAME…].

First the same tests run on the tree as it is: a test that fails anyway notices nothing. The exit code is 1 where a
fault slipped through, was misplanted, or kept its tests from running at all.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.planting import Fault, Misplanted, plant, read_all

ROOT = Path(__file__).resolve().parents[2]
LEFT = shutil.ignore_patterns(".git", ".venv", "outputs", "__pycache__", ".*_cache", "*.egg-info", "build", "dist")
CAUGHT, SLIPPED = 1, 0  # the exit codes of pytest: some tests failed; all passed


def environment(tree: Path) -> dict[str, str]:
    """Return an environment in which `tlx` and `tests` are those of a copy of the tree."""
    real = os.environ.get("TLX_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    path = os.pathsep.join([str(tree), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "TLX_TEST_DATA": real,
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(tests: list[str], tree: Path, *options: str) -> tuple[int, str]:
    """Run tests in a copy of the tree; return pytest's exit code and what it printed."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options, *tests]
    done = subprocess.run(words, cwd=tree, env=environment(tree), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def try_one(fault: Fault, tree: Path) -> tuple[bool, str]:
    """Plant a fault in a tree, run its tests and take it out again; return whether it was caught, and by what."""
    path, text = plant(fault, tree)
    before = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        code, said = run(list(fault.tests), tree, *(["-m", "nightly"] if fault.nightly else []))
    finally:
        path.write_text(before, encoding="utf-8")
    if code == CAUGHT:
        noticed = re.findall(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
        return True, ", ".join(noticed)
    if code == SLIPPED:
        return False, "slipped through"
    return False, f"the tests did not run (exit code {code}): {said[-600:]}"


def main() -> None:
    """Read the command line and try the faults."""
    faults = read_all()
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="faults to plant; all where none is named")
    parser.add_argument("--jobs", type=int, default=2, help="faults tried at the same time")
    asked = parser.parse_args()
    known = {fault.name: fault for fault in faults}
    if strange := [name for name in asked.names if name not in known]:
        parser.error(f"no fault named {', '.join(strange)}; expected some of {', '.join(known)}")
    faults = [known[name] for name in asked.names] or faults

    with tempfile.TemporaryDirectory(prefix="faults-") as place, ThreadPoolExecutor(asked.jobs) as pool:
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(asked.jobs):
            trees.put(Path(shutil.copytree(ROOT, Path(place, str(number), "tlx"), ignore=LEFT)))
        for nightly in (False, True):
            if tests := sorted({test for fault in faults if bool(fault.nightly) == nightly for test in fault.tests}):
                options = ["-n", str(asked.jobs), *(["-m", "nightly"] if nightly else [])]
                code, said = run(tests, tree := trees.get(), *options)
                trees.put(tree)
                if code != SLIPPED:
                    sys.exit(f"{said[-3000:]}\nthese tests fail without any fault: nothing can be said")
        begun = time.monotonic()
        print(f"{len(faults)} faults; their tests pass without them", flush=True)

        def attempt(fault: Fault) -> bool:
            tree, start = trees.get(), time.monotonic()
            try:
                caught, by = try_one(fault, tree)
            except Misplanted as error:
                caught, by = False, str(error)
            finally:
                trees.put(tree)
            verdict = "caught " if caught else "MISSED "
            print(f"{verdict} {fault.name} ({fault.breaks}) {time.monotonic() - start:.0f} s: {by}", flush=True)
            return caught

        caught = list(pool.map(attempt, faults))
    print(f"{sum(caught)} of {len(caught)} faults caught in {time.monotonic() - begun:.0f} seconds")
    sys.exit(not all(caught))


if __name__ == "__main__":
    main()
