from __future__ import annotations

import pytest

from tlx.base.errors import TlxError
from tlx.data.batches.reading_processes import Reading, choose_workers, describe_reading, seconds_an_image

UNKNOWN = None


@pytest.mark.parametrize(
    ("read", "step", "cores", "processes", "on_gpu", "expected"),
    [
        # on a CPU: as many as keep pace, within the cores
        *((0.16, 0.9, 2, 1, False, 1), (1.6, 0.9, 2, 1, False, 2), (9.0, 0.9, 2, 1, False, 2)),
        *((0.3, 0.1, 8, 1, False, 3), (0.31, 0.1, 8, 1, False, 4), (9.0, 0.1, 64, 1, False, 16)),
        # reading that hardly takes time waits for no process
        *((0.02, 0.9, 8, 1, False, 0), (0.02, 0.9, 8, 1, True, 0), (0.0, 0.0, 8, 1, False, 0)),
        # on a GPU: a quarter more, and a core is left to the training process where there are several
        *((0.2, 0.1, 16, 1, True, 3), (0.01, 0.1, 16, 1, True, 1), (0.16, 0.01, 12, 1, True, 11)),
        *((0.16, 0.01, 1, 1, True, 1), (0.16, 0.01, 16, 8, True, 1)),
        # processes share the cores
        *((0.8, 0.1, 8, 4, False, 2), (0.8, 0.1, 8, 8, False, 1), (0.8, 0.1, 8, 16, False, 0)),
        # the step is not known, or reading is not either
        *((0.16, UNKNOWN, 2, 1, False, 2), (0.16, UNKNOWN, 16, 1, False, 4), (0.16, UNKNOWN, 16, 1, True, 8)),
        *((0.001, UNKNOWN, 16, 1, False, 0), (UNKNOWN, 0.1, 16, 1, False, 4), (UNKNOWN, UNKNOWN, 4, 4, True, 1)),
        *((UNKNOWN, UNKNOWN, 4, 8, False, 0), (UNKNOWN, UNKNOWN, 1, 1, False, 1)),
    ],
)  # fmt: skip
def test_choose_workers(read, step, cores, processes, on_gpu, expected):
    """Guards against training that waits for images, idle processes, and more processes than cores."""
    chosen = choose_workers(Reading(read, step, cores, processes, on_gpu))
    assert chosen == expected
    assert chosen * processes <= cores


def test_the_trial_is_short(monkeypatch):
    """Guards against a trial that reads a whole set, or large pictures for minutes, before anything is trained."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Images:
        def __init__(self, count, seconds):
            self.count, self.seconds, self.read = count, seconds, []

        def __len__(self):
            return self.count

        def __getitem__(self, key):
            self.read.append(key[1])
            clock[0] += self.seconds if len(self.read) > 1 else 5.0  # the first one loads libraries
            return {}

    large, small, few = Images(1000, 0.3), Images(6400, 0.001), Images(3, 0.001)
    assert seconds_an_image(large) == pytest.approx(0.3)
    assert len(large.read) == 3
    assert seconds_an_image(small) == pytest.approx(0.001)
    assert small.read[1:] == list(range(0, 6400, 100))
    assert seconds_an_image(few) == pytest.approx(0.001)
    assert few.read == [0, 0, 1, 2]


def test_a_broken_file_is_left_to_the_training():
    """Guards against a trial that ends a run at a file which the run would name itself, or never reach."""

    class Broken:
        def __len__(self):
            return 3

        def __getitem__(self, key):
            raise TlxError("cannot read image")

    assert seconds_an_image(Broken()) is None


def test_the_choice_is_told():
    """Guards against a line that leaves out what was not measured, or says it was."""
    assert describe_reading(2, Reading(0.16, 0.9, 2, 1, False)) == (
        "reading processes: 2 (reading a batch takes 160 ms in one process, a step takes 900 ms; 2 cores)"
    )
    assert describe_reading(1, Reading(None, None, 1, 4, False)) == (
        "reading processes: 1 (how long reading takes is not known; 1 core for 4 processes)"
    )
