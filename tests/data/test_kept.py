from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch
from PIL import Image

from tlx.data.batches import kept
from tlx.data.batches.kept import KeptImages, decoded_bytes, images_to_keep
from tlx.data.reading.facts import Facts
from tlx.data.reading.pixels import read_pixels
from tlx.data.splits.samples import Sample, Split

SPLIT = Split([Sample(Path("a.jpg"), 0, "a"), Sample(Path("b.png"), 1, "b")])
KNOWN = {
    Path("a.jpg"): Facts("0", None, 800, 400, decoded=True),
    Path("b.png"): Facts("1", None, 80, 40, decoded=True),
}


def test_what_is_put_is_got():
    """Guards against an image at another's place, in another shape, or kept beyond its place."""
    images = KeptImages([12, 6, 24], transformed=False)
    pixels = [torch.arange(k, k + 12, dtype=torch.uint8).view(2, 2, 3) for k in range(3)]
    images.put(0, pixels[0])
    assert images.get(0) is None  # no memory was taken
    images.take_memory(shared=False)
    for k in range(3):
        assert images.get(k) is None
        images.put(k, pixels[k])
    assert torch.equal(images.get(0), pixels[0])
    assert images.get(1) is None  # too large for its place
    assert torch.equal(images.get(2), pixels[2])
    assert images.count == 2
    images.put(1, pixels[0][..., 0])
    assert torch.equal(images.get(1), pixels[0][..., 0])
    for shared in (False, True, False):
        images.take_memory(shared)  # again: nothing is lost
        assert torch.equal(images.get(0), pixels[0])


def test_layout_in_memory_does_not_matter():
    """Guards against pixels mixed up where a transform returns them in another order in memory."""
    images = KeptImages([24], transformed=True)
    images.take_memory(shared=False)
    image = torch.arange(24, dtype=torch.uint8).view(2, 4, 3).permute(2, 0, 1)
    images.put(0, image)
    assert torch.equal(images.get(0), image)


def test_what_is_kept_is_bounded(monkeypatch):
    """Guards against memory filled by a large set, by one whose sizes nobody knows, or by as many processes as run."""

    def size(**keys):
        found = images_to_keep(
            **{"split": SPLIT, "facts": KNOWN, "channels": 3, "min_side": None, "size": None, **keys}
        )
        return found and found.size

    monkeypatch.setattr(kept, "memory_available", lambda: 2**40)
    full = 3 * (800 * 400 + 80 * 40)
    assert size() == full
    assert size(min_side=100) == 3 * (200 * 100 + 80 * 40)  # a PNG is never reduced
    assert size(channels=1) == full // 3
    assert size(channels=7) == full  # red, green, blue are repeated afterwards
    assert size(size=(10, 10)) == 2 * 3 * 10 * 10
    assert size(facts={}) is None
    assert size(facts={}, size=(10, 10)) == 600
    assert size(facts=KNOWN | {Path("b.png"): Facts("1", None)}) is None
    assert size(split=Split([Sample(0, 0, "0")], torch.zeros(1, 3, 8, 8, dtype=torch.uint8))) is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(kept, "KEPT_AT_MOST", 4 * full)
    assert size() == full
    monkeypatch.setattr(kept, "KEPT_AT_MOST", 4 * full - 1)
    assert size() is None
    monkeypatch.setattr(kept, "KEPT_AT_MOST", 2**40)
    monkeypatch.setattr(kept, "memory_available", lambda: 16 * full - 1)
    assert size() is None


def test_a_small_shared_memory_is_not_overrun(monkeypatch, tmp_path):
    """Guards against a bus error in a container, whose shared memory is 64 MiB unless asked for."""

    class Small:
        f_bavail, f_frsize = 10, 100

    monkeypatch.setattr("os.statvfs", lambda _: Small)
    for size, shared, expected in ((250, True, True), (251, True, False), (251, False, True)):
        images = KeptImages([size], transformed=True)
        images.take_memory(shared)
        images.put(0, torch.ones(1, 1, size, dtype=torch.uint8))
        assert (images.get(0) is not None) == expected


@pytest.mark.parametrize("extension", ["jpg", "png"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_decoded_bytes_are_those_of_the_decoded_image(tmp_path, extension, channels):
    """Guards against places that are too small, in which nothing would ever be kept."""
    path = tmp_path / f"a.{extension}"
    for size, turn in (((64, 48), 1), ((48, 64), 6), ((65, 48), 1), ((9, 7), 3)):
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.new("RGB", size).save(path, exif=exif)
        for min_side in (None, 1, 12, 100):
            expected = read_pixels(path, channels, min_side).nbytes
            assert decoded_bytes(path, Facts("0", None, *size), channels, min_side) == expected


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_share_nothing_else_share_it(method):
    """Guards against memory that only forked processes have in common."""
    images = KeptImages([12, 12], transformed=True)
    images.take_memory(shared=True)
    images.put(0, torch.full((3, 2, 2), 7, dtype=torch.uint8))
    process = multiprocessing.get_context(method).Process(target=put_one_more, args=(images,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert images.get(1).tolist() == torch.full((3, 2, 2), 8).tolist()


def put_one_more(images: KeptImages) -> None:
    images.put(1, images.get(0) + 1)
