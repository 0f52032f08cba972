from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from PIL import Image

from tlx.data.batches import kept
from tlx.data.batches.kept import KeptImages, Storing, decoded_bytes, images_to_keep
from tlx.data.batches.names import PIXELS
from tlx.data.batches.pixel_file import PixelFile
from tlx.data.reading.facts import Facts, examine
from tlx.data.reading.pixels import read_pixels
from tlx.data.splits.samples import Sample, Split

SPLIT = Split([Sample(Path("a.jpg"), 0, "a"), Sample(Path("b.png"), 1, "b")])
KNOWN = {
    Path("a.jpg"): Facts("0", None, 800, 400, decoded=True),
    Path("b.png"): Facts("1", None, 80, 40, decoded=True),
}


class Folders:
    """A cache of one folder for each entry."""

    def __init__(self, root: Path) -> None:
        self.root, self.limit, self.used = root, 2**40, []

    def folder(self, key, about):
        self.used.append((key, about))
        (self.root / key).mkdir(exist_ok=True)
        return self.root / key

    def alone(self, folder):
        return nullcontext()

    def room(self, folder, held, needed):
        return min(needed, self.limit - held)


def storing(shelf: Folders, keys=None, **how) -> Storing:
    return Storing(shelf, how, how, lambda: keys)


@pytest.fixture
def files(tmp_path):
    """Two photographs, and their facts."""
    (tmp_path / "files").mkdir()
    found = {}
    for number in range(2):
        path = tmp_path / "files" / f"{number}.png"
        Image.new("RGB", (8, 6), (number, 20, 30)).save(path)
        found[path] = examine(str(path))
    return Split([Sample(path, 0, path.name) for path in found]), found


def test_what_is_put_is_got():
    """Guards against an image at another's place, in another shape, or of another size than expected."""
    images = KeptImages([12, 6, 24, 0], transformed=False)
    pixels = [torch.arange(k, k + 12, dtype=torch.uint8).view(2, 2, 3) for k in range(3)]
    images.put(0, pixels[0])
    assert images.get(0) is None  # it was not opened
    images.open()
    for k in range(3):
        assert images.get(k) is None
        images.put(k, pixels[k])
    assert torch.equal(images.get(0), pixels[0])
    assert images.get(1) is None
    assert images.get(2) is None
    assert images.get(3) is None
    assert images.count == images.added == 1
    images.put(1, pixels[0][..., 0].repeat(2, 1)[:3])
    assert torch.equal(images.get(1), pixels[0][..., 0].repeat(2, 1)[:3])
    images.open()  # again: nothing is lost
    assert torch.equal(images.get(0), pixels[0])


def test_layout_in_memory_does_not_matter():
    """Guards against pixels mixed up where a transform returns them in another order in memory."""
    images = KeptImages([24], transformed=True)
    images.open()
    image = torch.arange(24, dtype=torch.uint8).view(2, 4, 3).permute(2, 0, 1)
    images.put(0, image)
    assert torch.equal(images.get(0), image)


def test_what_is_kept_in_memory_is_bounded(monkeypatch, caplog):
    """Guards against memory filled by a large set, by as many processes as run, or by the jobs of a sweep."""

    def size(**keys):
        found = images_to_keep(
            **{"split": SPLIT, "facts": KNOWN, "channels": 3, "min_side": None, "size": None, **keys}
        )
        return found and found.size

    full = 3 * (800 * 400 + 80 * 40)
    assert size() == full
    assert size(min_side=100) == 3 * (200 * 100 + 80 * 40)  # a PNG is never reduced
    assert size(channels=1) == full // 3
    assert size(channels=7) == full  # red, green, blue are repeated afterwards
    assert size(size=(10, 10)) == 2 * 3 * 10 * 10
    assert size(facts={}) is None
    assert size(facts={}, size=(10, 10)) == 600
    assert size(facts=KNOWN | {Path("b.png"): Facts("1", None)}) == 3 * 800 * 400
    assert size(split=Split([Sample(0, 0, "0")], torch.zeros(1, 3, 8, 8, dtype=torch.uint8))) is None

    caplog.set_level(logging.INFO, "tlx")
    for variable, at_once in (("LOCAL_WORLD_SIZE", 1), ("LOCAL_WORLD_SIZE", 3), ("TLX_JOBS_AT_ONCE", 3)):
        with monkeypatch.context() as inside:
            inside.setenv(variable, str(at_once))
            inside.setattr(kept, "memory_available", lambda: 4 * 24)
            images = KeptImages([12, 12], transformed=True)
            images.open()
            for k in range(2):
                images.put(k, torch.ones(1, 3, 4, dtype=torch.uint8))
            assert images.count == (2 if at_once == 1 else 0)
    assert caplog.messages[-1].startswith("images: 0 of 2 are kept decoded (")


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


def test_a_later_run_finds_the_images(files, tmp_path):
    """Guards against images that are decoded in every run, and against those of other settings taken for them."""
    split, facts = files
    shelf = Folders(tmp_path)
    first = images_to_keep(split, facts, 3, None, None, storing(shelf, window=None))
    first.open()
    for k, sample in enumerate(split.samples):
        first.put(k, torch.from_numpy(read_pixels(sample.source)))
    backwards = Split(split.samples[::-1])
    later = images_to_keep(backwards, facts, 3, 4, None, storing(shelf, window=None))
    later.open()
    for k, sample in enumerate(backwards.samples):
        assert torch.equal(later.get(k), torch.from_numpy(read_pixels(sample.source)))
    assert (later.count, later.added) == (2, 0)
    others = [
        images_to_keep(split, facts, 1, None, None, storing(shelf, window=None)),
        images_to_keep(split, facts, 3, None, None, storing(shelf, window=(0, 1))),
        images_to_keep(split, facts, 3, None, (4, 4), storing(shelf, keys=[b"0" * 16, b"1" * 16], window=None)),
    ]
    for other in others:
        other.open()
        assert other.get(0) is None
    assert len({key for key, _ in shelf.used}) == 4
    assert [about["images"] for _, about in shelf.used[2:]] == ["decoded, grey", "decoded, RGB", "4 x 4 px, RGB"]


def test_a_reduced_image_is_not_taken_for_the_full_one(tmp_path):
    """Guards against a JPEG with the extension of a PNG, whose size is expected to be that of the file."""
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 48)).save(path, format="JPEG")
    split, facts = Split([Sample(path, 0, "a")]), {path: examine(str(path))}
    shelf = Folders(tmp_path)
    images = images_to_keep(split, facts, 3, 12, None, storing(shelf))
    images.open()
    pixels = torch.from_numpy(read_pixels(path, 3, 12))
    assert pixels.shape == (12, 16, 3)
    images.put(0, pixels)
    assert images.get(0) is None


def test_a_file_that_changed_is_not_stored_as_what_it_was(files, tmp_path):
    """Guards against a file that is replaced between the check and its first reading, and put back for the next run."""
    split, facts = files
    shelf = Folders(tmp_path)
    images = images_to_keep(split, facts, 3, None, None, storing(shelf))
    images.open()
    path = split.samples[0].source
    Image.new("RGB", (8, 6), (99, 99, 99)).save(path)
    images.put(0, torch.from_numpy(read_pixels(path)))
    assert images.get(0) is None
    again = {**facts, path: examine(str(path))}
    later = images_to_keep(split, again, 3, None, None, storing(shelf))
    later.open()
    assert later.get(0) is None
    later.put(0, torch.from_numpy(read_pixels(path)))
    assert later.get(0)[0, 0].tolist() == [99, 99, 99]


def test_images_that_are_no_longer_wanted_make_room(files, tmp_path):
    """Guards against a set that changed, whose images would find no room for good."""
    split, facts = files
    shelf = Folders(tmp_path)
    shelf.limit = 8 * 6 * 3
    for k in (0, 1):
        one = Split([split.samples[k]])
        images = images_to_keep(one, facts, 3, None, None, storing(shelf))
        images.open()
        images.put(0, torch.from_numpy(read_pixels(one.samples[0].source)))
        assert images.count == 1
    assert (tmp_path / shelf.used[0][0] / PIXELS).stat().st_size == shelf.limit


def test_a_disk_that_is_full_or_slow_ends_nothing(files, tmp_path, monkeypatch):
    """Guards against a run that ends for want of room, or waits for a slow disk longer than for the decoder."""
    split, facts = files
    pixels = torch.from_numpy(read_pixels(split.samples[0].source))

    def opened() -> KeptImages:
        images = images_to_keep(split, facts, 3, None, None, storing(Folders(tmp_path)))
        images.open()
        return images

    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def slow(self, place, pixels):
        clock[0] += 1.0
        written.append(place)

    written = []
    images = opened()
    monkeypatch.setattr(PixelFile, "put", slow)
    for _ in range(50):
        assert images.get(0) is None
        clock[0] += 0.4  # decoding
        images.put(0, pixels)
    assert len(written) == 32

    def full(self, place, pixels):
        written.append(place)
        raise OSError(28, "No space left on device")

    images = opened()
    monkeypatch.setattr(PixelFile, "put", full)
    for _ in range(3):
        images.put(0, pixels)
    assert len(written) == 33
    assert images.get(0) is None


def test_without_a_folder_images_are_kept_in_memory(files, tmp_path, caplog):
    """Guards against a run that ends, or reads everything again, where the cache cannot be written."""
    split, facts = files

    class Nowhere(Folders):
        def folder(self, key, about):
            raise PermissionError(13, "Permission denied")

    caplog.set_level(logging.INFO, "tlx")
    images = images_to_keep(split, facts, 3, None, None, storing(Nowhere(tmp_path)))
    images.open()
    images.put(0, torch.from_numpy(read_pixels(split.samples[0].source)))
    assert images.count == 1
    assert "kept in memory only" in caplog.text
