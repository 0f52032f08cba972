from __future__ import annotations

import pytest

from tlx.base.errors import TlxError
from tlx.data.batches.reading_processes import (
    EpochTimes,
    Reading,
    choose_workers,
    corrected,
    describe_epoch,
    describe_reading,
    fit_memory,
    seconds_an_image,
)

UNKNOWN = None


@pytest.mark.parametrize(
    ("read", "step", "cores", "processes", "on_gpu", "expected"),
    [
        # on a CPU: as many as keep pace, within the cores
        *((0.16, 0.9, 2, 1, False, 1), (1.6, 0.9, 2, 1, False, 2), (9.0, 0.9, 2, 1, False, 2)),
        *((0.3, 0.1, 8, 1, False, 3), (0.31, 0.1, 8, 1, False, 4), (9.0, 0.1, 64, 1, False, 32)),
        # reading that hardly takes time waits for no process
        *((0.02, 0.9, 8, 1, False, 0), (0.02, 0.9, 8, 1, True, 0), (0.0, 0.0, 8, 1, False, 0)),
        # on a GPU: a quarter more
        *((0.2, 0.1, 16, 1, True, 3), (0.01, 0.1, 16, 1, True, 1), (0.16, 0.01, 12, 1, True, 12)),
        *((0.16, 0.01, 1, 1, True, 1), (0.16, 0.01, 16, 8, True, 2)),
        # processes share the cores
        *((0.8, 0.1, 8, 4, False, 2), (0.8, 0.1, 8, 8, False, 1), (0.8, 0.1, 8, 16, False, 0)),
        # the step is not known, or reading is not either
        *((0.16, UNKNOWN, 2, 1, False, 2), (0.16, UNKNOWN, 16, 1, False, 4), (0.16, UNKNOWN, 16, 1, True, 16)),
        *((0.001, UNKNOWN, 16, 1, False, 0), (UNKNOWN, 0.1, 16, 1, False, 4), (UNKNOWN, UNKNOWN, 4, 4, True, 1)),
        *((UNKNOWN, UNKNOWN, 4, 8, False, 0), (UNKNOWN, UNKNOWN, 1, 1, False, 1)),
    ],
)  # fmt: skip
def test_choose_workers(read, step, cores, processes, on_gpu, expected):
    """Guards against training that waits for images, idle processes, and more processes than cores."""
    chosen = choose_workers(Reading(read, step, cores, processes, on_gpu))
    assert chosen == expected
    assert chosen * processes <= cores


def test_processes_fit_into_memory():
    """Guards against readers that fill the memory of a container, or /dev/shm, of which torch then says "bus error"."""
    assert choose_workers(Reading(0.16, 0.01, 16, 1, True, most=3)) == 3
    gib = 2**30
    assert fit_memory(4 * gib, 0) == 6  # 150 MiB each in a quarter of it
    assert fit_memory(4 * gib, gib // 10) == 2
    assert fit_memory(0, gib) == 1


@pytest.mark.parametrize(
    ("workers", "read", "step", "on_gpu", "waiting", "expected"),
    [
        # steps wait: as many as keep pace; never fewer
        *((4, 0.4, 0.04, True, 0.5, 13), (4, 0.4, 0.01, True, 0.9, 16), (4, 0.1, 0.1, True, 0.2, 4)),
        *((1, 0.3, 0.1, False, 0.5, 3), (2, 0.1, 0.1, False, 0.3, 2)),
        # images wait: as they are, unless a GPU's readers are idle for half of the time
        *((4, 0.4, 0.2, True, 0.05, 4), (8, 0.4, 0.2, True, 0.0, 3), (8, 0.4, 0.2, False, 0.0, 8)),
        *((8, 0.001, 0.2, True, 0.0, 0), (0, 0.001, 0.2, True, 0.0, 0)),
    ],
)  # fmt: skip
def test_the_number_is_corrected_by_what_an_epoch_took(workers, read, step, on_gpu, waiting, expected):
    """Guards against a device that waits for images in every epoch because the trial at the start was wrong."""
    assert corrected(workers, Reading(read, step, 16, 1, on_gpu), waiting) == expected


def test_who_waits_for_whom():
    """Guards against the wait of a process for a batch taken for that of a device which still computes."""
    epoch = EpochTimes(images=3200, batches=100, seconds=10.0, waited=6.0, reading=38.0)
    assert epoch.waiting(None) == pytest.approx(0.6)
    assert epoch.waiting(0.07) == pytest.approx(0.3)
    assert epoch.waiting(0.11) == 0
    assert epoch.waiting(0.001) == pytest.approx(0.6)
    assert describe_epoch(4, epoch, 0.6) == (
        "reading: 4 processes can read 337 images a second, steps take 800; steps wait for images 60% of the time"
    )
    assert describe_epoch(0, epoch, 0.0) == (
        "reading: this process can read 84 images a second, steps take 320; images wait for steps, "
        "which wait for them 0% of the time"
    )


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
    assert small.read == list(range(0, 6400, 100))
    assert seconds_an_image(few) == pytest.approx(0.001)
    assert few.read == [0, 1, 2]


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
