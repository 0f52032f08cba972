"""What reading a file may cost, and that whatever it holds it is read or named: each file in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data import nasty_files
from tlx.base.errors import TlxError
from tlx.data.reading import pixels
from tlx.data.reading.facts import examine
from tlx.data.reading.images import read_image
from tlx.data.reading.pixels import max_pixels, read_pixels, verify

# Forks a process a file, which checks and reads it and says what it found and how much memory it took at most.
ONE_BY_ONE = """
import json, os, sys
from tlx.data.reading import facts
from tlx.data.reading.pixels import read_pixels
read_pixels(sys.argv[1])  # plugins and numpy are imported once
for path in json.load(sys.stdin):
    child = os.fork()
    if not child:
        facts._limit_memory()
        found = facts.examine(path)
        shape = None if found.reason else list(read_pixels(path, 3).shape)
        peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
        print(json.dumps([path, found.reason, shape, int(peak) // 1024]), flush=True)
        os._exit(0)
    code = os.waitpid(child, 0)[1]
    if code:
        print(json.dumps([path, f"ended with {code}", None, 0]), flush=True)
"""


def one_by_one(paths: Iterable[Path], tmp_path: Path, timeout: float = 120) -> dict[str, tuple[Any, Any, int]]:
    """Name -> (reason, shape, MiB)."""
    Image.new("L", (1, 1)).save(tmp_path / "first.png")
    done = subprocess.run(
        [sys.executable, "-c", ONE_BY_ONE, str(tmp_path / "first.png")],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return {Path(path).name: tuple(rest) for path, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
def test_no_odd_file_crashes_hangs_or_fills_the_memory(test_data, tmp_path):
    """Guards against one file of a folder that takes the machine: real broken, truncated and exploding files."""
    files = [p for p in sorted(test_data("odd_images").rglob("*")) if p.is_file() and p.name not in {"MANIFEST.csv"}]
    files = [p for p in files if p.parent.name in ("pillow", "made") and p.name != "LICENSE"]
    files += sorted(test_data("exif_orientation").glob("*.jpg"))
    found = one_by_one(files, tmp_path)
    assert len(found) == 81 + 18
    broken = {name: reason for name, (reason, _, _) in found.items() if reason}
    assert len(broken) == 24
    assert not [reason for reason in broken.values() if "ended with" in reason]
    assert max(peak for _, _, peak in found.values()) < 954  # MiB: 1 GB


NASTY: dict[str, tuple[Callable[..., None], str | list[int]]] = {
    "png_bomb": (nasty_files.png_bomb, "it has 2,500,000,000 pixels, more than 67,108,864"),
    "giant_tiff": (nasty_files.giant_tiff, "1,000,000,000,000 pixels, more than 67,108,864"),
    "giant_tile": (nasty_files.giant_tile, "it has 60,000 x 60,000 pixels, more than 67,108,864"),
    "many_scans": (nasty_files.many_scans, "a progressive JPEG of 20,005 scans, more than 100"),
    "program": (nasty_files.program, "in no image format that tlx reads"),
    "pipe": (nasty_files.pipe, "it is a pipe, not a file"),
    "folder": (Path.mkdir, "it is a folder, not a file"),
    "link": (lambda path: path.symlink_to(path.parent / "gone"), "No such file"),
    "empty": (Path.touch, "it is empty"),
    "huge_exif": (nasty_files.huge_exif_jpeg, [40, 20, 3]),
    "one_pixel": (nasty_files.one_pixel, [1, 1, 3]),
}


def test_no_nasty_file_crashes_hangs_or_fills_the_memory(tmp_path):
    """Guards against files that are made to: bombs, pipes, programs, a JPEG of 2 MB that decodes for minutes."""
    for name, (write, _) in NASTY.items():
        write(tmp_path / f"{name}.jpg")
    found = one_by_one([tmp_path / f"{name}.jpg" for name in NASTY], tmp_path, timeout=60)
    for name, (_, expected) in NASTY.items():
        reason, shape, peak = found[f"{name}.jpg"]
        assert peak < 200, name
        if isinstance(expected, str):
            assert expected in str(reason), name
        else:
            assert (reason, shape) == (None, expected), name


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("kind", "side", "mode", "options"),
    [
        ("JPEG", 8192, "CMYK", {"progressive": True}),
        ("WEBP", 5792, "RGBA", {"lossless": True, "method": 0}),
        ("JPEG2000", 5792, "RGBA", {}),
    ],
)
def test_the_largest_images_allowed_take_less_than_a_gigabyte(tmp_path, kind, side, mode, options):
    """Guards against a limit on pixels that is no limit on memory: decoders hold an image several times."""
    nasty_files.largest(tmp_path / "large.jpg", kind, side, mode, **options)
    reason, shape, peak = one_by_one([tmp_path / "large.jpg"], tmp_path)["large.jpg"]
    assert (reason, shape) == (None, [side, side, 3])
    assert peak < 954


@pytest.mark.nightly
def test_what_no_limit_on_pixels_catches_is_caught_by_one_on_memory(tmp_path):
    """Guards against memory that is filled by what stands beside the pixels."""
    nasty_files.giant_tag(tmp_path / "nasty.jpg")
    reason, _, peak = one_by_one([tmp_path / "nasty.jpg"], tmp_path)["nasty.jpg"]
    assert "takes more than 896 MiB of memory" in reason
    assert peak < 954


def test_the_limit_can_be_raised(tmp_path, monkeypatch):
    """Guards against large images that are legitimate, of microscopes and satellites, being shut out for good."""
    Image.new("L", (50, 40)).save(tmp_path / "a.png")
    Image.new("L", (50, 40)).save(tmp_path / "a.webp")
    monkeypatch.setenv("TLX_MAX_PIXELS", "1999")
    with pytest.raises(TlxError, match=r"50 x 40 pixels, more than 1,999; TLX_MAX_PIXELS=2000 in the environment"):
        read_image(tmp_path / "a.png")
    monkeypatch.setenv("TLX_MAX_PIXELS", "2000")
    assert verify(tmp_path / "a.png") == (50, 40, 0, "", 1)
    with pytest.raises(TlxError, match="more than 1,000; TLX_MAX_PIXELS=4000"):
        verify(tmp_path / "a.webp")
    for wrong in ("many", "0", "inf"):
        monkeypatch.setenv("TLX_MAX_PIXELS", wrong)
        with pytest.raises(TlxError, match="expected a number of pixels"):
            max_pixels()
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", before)
    monkeypatch.setenv("TLX_MAX_PIXELS", "5e8")
    verify(tmp_path / "a.png")
    assert Image.MAX_IMAGE_PIXELS == 500_000_000


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pieces_make_the_whole(tmp_path, monkeypatch, mode, channels):
    """Guards against seams, and against pieces scaled or turned each by itself."""
    random = np.random.default_rng(0)
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray((random.random((11, 17)) * (1.3 if mode == "F" else 70_000)).astype(kind))
    else:
        image = Image.fromarray(random.integers(0, 256, (11, 17, 4), dtype=np.uint8)).convert(mode)
    for turn in range(1, 9):
        path = tmp_path / f"{turn}.{'jpg' if mode == 'CMYK' else 'tif'}"
        exif = Image.Exif()
        exif[0x0112] = turn
        image.save(path, exif=exif)
        monkeypatch.setattr(pixels, "_PIECE", 2**20)
        whole = read_pixels(path, channels)
        assert whole.flags.c_contiguous
        for piece in (1, 10, 40, 17 * 5):
            monkeypatch.setattr(pixels, "_PIECE", piece)
            assert np.array_equal(read_pixels(path, channels), whole)


def test_turned_as_pillow_turns(tmp_path):
    """Guards against a picture mirrored or turned the wrong way, by Pillow's own transposition of it."""
    from PIL import ImageOps

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8))
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        image.save(tmp_path / "a.png", exif=exif)
        with Image.open(tmp_path / "a.png") as opened:
            assert np.array_equal(read_pixels(tmp_path / "a.png"), np.asarray(ImageOps.exif_transpose(opened))), turn


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """Guards against a bare PermissionError; who may read everything (root) is refused by hand."""
    path = tmp_path / "a.png"
    nasty_files.one_pixel(path)
    path.chmod(0)
    if os.access(path, os.R_OK):

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
        monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(TlxError, match=r"a\.png: there is no permission to read it"):
        read_pixels(path)
    facts = examine(str(path))
    assert (facts.key, facts.reason, facts.lasting) == (None, "Permission denied", False)
