"""What tests share: where real data is, and a small finished run."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tlx.base.imports import start_lean

if TYPE_CHECKING:
    from tests.finished import FinishedRuns
    from tlx import Run

ROOT = Path(__file__).resolve().parent.parent

with pytest.MonkeyPatch.context() as environment:
    environment.setenv("GOMP_SPINCOUNT", "10000")  # put back: commands that tests start set it themselves
    start_lean()  # as a command: each worker of a test run starts four seconds earlier


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all that the tests import."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """Undo that: at the shutdown of the interpreter nanobind reports frozen objects as leaks."""
    gc.unfreeze()


def digits_file(path: Path, counts: Sequence[int]) -> Path:
    """Write so many of scikit-learn's digits 0, 1, … as dataset=arrays reads them."""
    import numpy as np
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(labels == one)[:count] for one, count in enumerate(counts)])
    np.savez(path, images=(values[rows].reshape(-1, 8, 8) * 15).astype(np.uint8), labels=labels[rows])
    return path


def shared_file(folder: Path, name: str, write: Callable[[Path], object]) -> Path:
    """Return a file that all workers have in common; the first to ask for it writes it."""
    from tests.finished import alone

    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.parent, path.name):
        if not path.exists():
            write(path)
    return path


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


@pytest.fixture(scope="session")
def fork_server() -> Iterator[None]:
    """Run a process that has imported torch and forks commands of tlx."""
    from tests.fork_server import serving

    with serving():
        yield


@pytest.fixture
def forked_commands(fork_server: None) -> Iterator[None]:
    """Make the commands of tlx that a test starts, and their own child processes, forks of the fork server."""
    from tests.fork_server import forking

    with forking():
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what tests find out about files out of the user's cache."""
    os.environ["TLX_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run have in common."""
    from tests.finished import shared_by_workers

    return shared_by_workers(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def all_finished_runs(shared_folder: Path) -> FinishedRuns:
    """The store of finished runs; tests take them through `finished`, which sees to it that they only read."""
    from tests.finished import FinishedRuns

    return FinishedRuns(shared_folder / "runs")


@pytest.fixture
def finished(all_finished_runs: FinishedRuns) -> Iterator[FinishedRuns]:
    """Return a function from overrides to the finished run of them, trained once for all tests, only to be read."""
    all_finished_runs.taken.clear()
    yield all_finished_runs
    assert not (files := all_finished_runs.written()), f"a test writes into a run that tests share: {files}"


@pytest.fixture(scope="session")
def uneven(shared_folder: Path) -> list[str]:
    """Overrides of a small training on digits of which 60 are 0, 20 are 1 and 6 are 2; train has 36, 12 and 4."""
    path = shared_file(shared_folder, "uneven.npz", lambda path: digits_file(path, [60, 20, 6]))
    return [
        "dataset=arrays", f"dataset.path={path}", "dataset.channels=1", "dataset.image_size=16", "dataset.batch_size=8",
        "dataset.horizontal_flip=false", "dataset.augment=none", "backbone=small_cnn", "backbone.width=4",
        "optimizer.lr=1e-2", "trainer.stage_epochs=2", "logger=none",
    ]  # fmt: skip


@pytest.fixture
def loggers_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all loggers compose where their packages are not installed; what a test types is allowed in it alone."""
    monkeypatch.setenv("TLX_ALLOW_TARGETS", "")
    monkeypatch.setattr("tlx.config.classes.lacks_package", lambda target: "")


@pytest.fixture(scope="session")
def tiny_run(all_finished_runs: FinishedRuns) -> Run:
    """A finished run of three stages on the digits 0 to 4 (gray, 16 px), a second or two; not to be written to."""
    return all_finished_runs(
        "backbone=small_cnn", "backbone.width=8", "dataset=digits", "dataset.classes=[0,1,2,3,4]",
        "dataset.channels=1", "dataset.image_size=16", "strategy=gradual", "trainer.stage_epochs=1",
        "trainer.log_every_n_steps=1", "optimizer.lr=1e-2",
    )  # fmt: skip
