from __future__ import annotations

import multiprocessing
import os

import pytest
import torch

from tlx.data.batches.names import PIXELS, SLOTS
from tlx.data.batches.pixel_file import Damaged, PixelFile, Place, remove

KEYS = [bytes([k]) * 16 for k in range(4)]
WANTED = [(key, 12) for key in KEYS]


def all_of(held: int, needed: int) -> int:
    return needed


def image(value: int) -> torch.Tensor:
    return torch.full((2, 2, 3), value, dtype=torch.uint8)


def test_what_is_put_is_got_by_all(tmp_path):
    """Guards against an image at another's place, in another shape, and against one that a later run does not find."""
    first = PixelFile(tmp_path)
    places = first.reserve([*WANTED[:3], WANTED[0]], all_of)
    assert places[0] == places[3]
    shapes = [(2, 2, 3), (4, 3), (12,)]
    for place, shape in zip(places, shapes, strict=False):
        assert first.get(place) is None
        first.put(place, torch.arange(12, dtype=torch.uint8).view(shape))
    first.put(places[1], image(0)[..., 0])  # another number of bytes: of another image, or decoded otherwise
    later = PixelFile(tmp_path)
    found = later.reserve(WANTED, all_of)
    assert found[:3] == places[:3]
    for file in (first, later):
        got = [file.get(place) for place in found]
        assert [None if one is None else tuple(one.shape) for one in got] == [*shapes, None]
        assert all(one.flatten().tolist() == list(range(12)) for one in got[:3])
    assert (first.counts(), later.counts()) == ((3, 3), (3, 0))


def test_room_is_what_was_granted(tmp_path):
    """Guards against a file that outgrows its bound, and against nothing being kept where not all has room."""
    asked = []

    def room(held: int, needed: int) -> int:
        asked.append((held, needed))
        return 30

    file = PixelFile(tmp_path)
    assert [place is not None for place in file.reserve(WANTED, room)] == [True, True, False, False]
    assert [place is not None for place in file.reserve(WANTED[2:], room)] == [True, True]
    assert asked == [(0, 48), (24, 24)]
    assert file.stale(WANTED[:1]) == 36


@pytest.mark.parametrize("fault", ["key", "shape", "pixels", "short"])
def test_damage_is_not_shown(tmp_path, fault):
    """Guards against pixels of a crash, of a file cut short, or of a record that only half arrived."""
    file = PixelFile(tmp_path)
    places = file.reserve(WANTED[:2], all_of)
    for place in places:
        file.put(place, image(7))
    name, at = {"key": (SLOTS, 0), "shape": (SLOTS, 36), "pixels": (PIXELS, 5), "short": (PIXELS, 0)}[fault]
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content[:10] if fault == "short" else content)
    later = PixelFile(tmp_path)
    if fault == "key":
        with pytest.raises(Damaged):
            later.reserve(WANTED[:2], all_of)
        remove(tmp_path)
        later = PixelFile(tmp_path)
    places = later.reserve(WANTED[:2], all_of)
    assert later.get(places[0]) is None
    later.put(places[0], image(8))
    assert torch.equal(later.get(places[0]), image(8))


def test_a_process_that_was_killed_while_it_added_places(tmp_path):
    """Guards against a record of which a part was written: it would shift all that follow."""
    PixelFile(tmp_path).reserve(WANTED[:1], all_of)
    with (tmp_path / SLOTS).open("ab") as file:
        file.write(b"half of a record")
    later = PixelFile(tmp_path)
    place = later.reserve(WANTED[:2], all_of)[1]
    later.put(place, image(3))
    assert torch.equal(PixelFile(tmp_path).get(place), image(3))


def test_two_that_add_places_at_once_do_not_share_one(tmp_path):
    """Guards against pixels of another image where a file system has no locks."""
    one, two = PixelFile(tmp_path), PixelFile(tmp_path)

    def interrupted(held: int, needed: int) -> int:
        two.reserve(WANTED[2:], all_of)
        return needed

    with pytest.raises(Damaged):
        one.reserve(WANTED[:2], interrupted)


def test_a_replaced_file_is_not_written_into(tmp_path):
    """Guards against pixels under another image's key, after `tlx cache clear` and a new run."""
    old = PixelFile(tmp_path)
    place = old.reserve(WANTED[:1], all_of)[0]
    old.put(place, image(1))
    remove(tmp_path)
    new = PixelFile(tmp_path)
    other = new.reserve([WANTED[1]], all_of)[0]
    old.put(place, image(2))  # goes on with its own, which has no name any more
    assert new.get(other) is None
    assert new.get(place) is None
    assert torch.equal(old.get(place), image(2))


def test_nothing_is_written_through_a_link(tmp_path):
    """Guards against a cache folder that makes tlx write into a file of somebody's."""
    own = tmp_path / "own"
    own.write_text("mine")
    for name, link in ((SLOTS, os.symlink), (PIXELS, os.link)):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        link(own, folder / name)
        with pytest.raises(OSError, match=r"further names|symbolic links"):
            PixelFile(folder)
    assert own.read_text() == "mine"


def put(file: PixelFile, place: Place) -> None:
    file.put(place, image(9))


def share(file: PixelFile, method: str) -> None:
    """Put an image in another process, and find it in this one."""
    place = file.reserve(WANTED[:1], all_of)[0]
    process = multiprocessing.get_context(method).Process(target=put, args=(file, place))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert torch.equal(file.get(place), image(9))


def test_forked_processes_share_it(tmp_path):
    """Guards against each reading process keeping images for itself alone, in the cache or in memory."""
    for folder in (None, tmp_path):
        file = PixelFile(folder)
        share(file, "fork")
        assert file.counts() == (1, 1)


@pytest.mark.nightly
def test_processes_that_share_nothing_else_share_the_folder(tmp_path):
    """Guards against a system on which processes are not forked."""
    share(PixelFile(tmp_path), "spawn")
