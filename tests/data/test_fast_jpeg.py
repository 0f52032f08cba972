from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from tests.data.mask_trees import picture
from tlx.base.errors import TlxError
from tlx.data.reading import fast_jpeg
from tlx.data.reading.pixels import read_pixels


@pytest.fixture
def with_decoder(monkeypatch):
    """Decode with a function, or None, instead of simplejpeg."""

    def use(decode):
        monkeypatch.setattr(fast_jpeg, "_decoder", lambda: decode)

    return use


def test_only_sound_colour_and_grey_jpegs_are_decoded_elsewhere(tmp_path, with_decoder):
    """Guards against another decoder for files that it reads otherwise, refuses, or returns in another size."""
    asked = []

    def decode(content, colours, **how):
        asked.append((colours, how["min_height"], how["min_width"]))
        channels = 3 if colours == "RGB" else 1
        return np.full((how["min_height"], how["min_width"], channels), 7, dtype=np.uint8)

    def refuse(*arguments, **how):
        asked.append("refused")
        raise ValueError("Corrupt JPEG data")

    def large(content, colours, **how):
        return np.zeros((60, 80, 3), dtype=np.uint8)

    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture(0, (80, 64))
    for name, mode, how in (
        ("rgb.jpg", "RGB", {}),
        ("grey.jpg", "L", {}),
        ("cmyk.jpg", "CMYK", {}),
        ("a.png", "RGB", {}),
        ("turned.jpg", "RGB", {"exif": exif}),
    ):
        image.convert(mode).save(tmp_path / name, **how)
    with_decoder(decode)
    assert read_pixels(tmp_path / "rgb.jpg").shape == (64, 80, 3)
    assert read_pixels(tmp_path / "rgb.jpg", 3, 16).shape == (16, 20, 3)
    assert read_pixels(tmp_path / "turned.jpg", 3, 16).shape == (20, 16, 3)
    assert read_pixels(tmp_path / "grey.jpg", 1).shape == (64, 80)
    assert asked == [("RGB", 64, 80), ("RGB", 16, 20), ("RGB", 16, 20), ("GRAY", 64, 80)]
    for name, channels in (("rgb.jpg", 1), ("rgb.jpg", 4), ("grey.jpg", 3), ("cmyk.jpg", 3), ("a.png", 3)):
        read_pixels(tmp_path / name, channels)
    assert len(asked) == 4
    for decoder in (None, refuse, large):
        with_decoder(decoder)
        assert read_pixels(tmp_path / "rgb.jpg", 3, 16).mean() > 100  # Pillow's
    assert asked[4:] == ["refused"]


@pytest.mark.nightly
def test_the_same_pixels_as_pillow(test_data, with_decoder):
    """Guards against images that differ between machines with and without the package, and against odd files."""
    decode = pytest.importorskip("simplejpeg").decode_jpeg
    root, used = test_data("odd_images"), []

    def counted(*arguments, **how):
        found = decode(*arguments, **how)
        used.append(found.shape)
        return found

    with (root / "MANIFEST.csv").open() as file:
        odd = [root / row["file"] for row in csv.DictReader(file)]
    more = [*sorted(test_data("exif_orientation").glob("*.jpg")), *sorted(test_data("raccoon").rglob("*.jpg"))[:20]]
    for path in [*odd, *more]:
        for channels in (1, 3):
            for min_side in (None, 60):
                found = []
                for decoder in (None, counted):
                    with_decoder(decoder)
                    try:
                        found.append(read_pixels(path, channels, min_side))
                    except TlxError as error:
                        found.append(str(error))
                if isinstance(found[0], str):
                    assert found[0] == found[1]
                else:
                    assert np.array_equal(*found), path
    assert len(used) > 80
