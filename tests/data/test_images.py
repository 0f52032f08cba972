from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tlx.base.errors import TlxError
from tlx.data.reading.images import read_image, to_channels


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("min_side", [None, 1])
def test_every_odd_file_is_read_or_refused_by_name(test_data, min_side):
    """Guards against a crash, a foreign exception, or silence on broken, truncated and exotic files."""
    root = test_data("odd_images")
    with (root / "MANIFEST.csv").open() as file:
        rows = list(csv.DictReader(file))
    read, refused = 0, 0
    for row in rows:
        path = root / row["file"]
        if "rgb=ok" in row["pillow_13.0.0"]:
            for channels in (1, 2, 3, 4):
                image = read_image(path, channels, min_side)
                assert image.dtype == torch.uint8, path
                assert image.shape[0] == channels, path
                assert image.ndim == 3, path
            read += 1
        else:
            with pytest.raises(TlxError, match="cannot read image") as caught:
                read_image(path, min_side=min_side)
            assert str(path) in str(caught.value)
            assert str(caught.value).rpartition(": ")[2]
            refused += 1
    assert (read, refused) == (57, 24)


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_exif_orientations_arrive_upright(test_data, shape):
    """Guards against pictures that lie on their side or are mirrored: telephones write rotated pixels and a flag."""
    root = test_data("exif_orientation")
    upright = read_image(root / f"{shape}_1.jpg")
    assert (upright.shape[2] > upright.shape[1]) == (shape == "Landscape")
    small = torch.nn.functional.interpolate(upright[None].float(), (60, 60), mode="area")
    for flag in range(2, 9):
        turned = read_image(root / f"{shape}_{flag}.jpg")
        assert turned.shape == upright.shape, flag
        difference = torch.nn.functional.interpolate(turned[None].float(), (60, 60), mode="area") - small
        assert difference.abs().mean() < 4, flag  # the printed flag differs; a mirrored picture is over 20 away


@pytest.mark.parametrize(("min_side", "by"), [(300, 4), (600, 2)])
def test_reduced_pictures_arrive_upright_and_alike(test_data, min_side, by):
    """Guards against a reduced picture on its side, mirrored, or shifted: a pixel stands for a square of pixels."""
    for path in sorted(test_data("exif_orientation").glob("Portrait_*.jpg")):
        full, reduced = read_image(path), read_image(path, 3, min_side)
        assert reduced.shape == (3, full.shape[1] // by, full.shape[2] // by), path
        mean = torch.nn.functional.avg_pool2d(full[None].float(), by)[0]
        assert (mean - reduced).abs().mean() < 1.5, path


def jpeg(tmp_path: Path, mode: str, size: tuple[int, int], **options: object) -> Path:
    gray = Image.radial_gradient("L").resize(size)
    parts = [gray, gray.transpose(Image.Transpose.ROTATE_180), gray.point(lambda v: 255 - v), gray]
    image = gray if mode == "L" else Image.merge(mode, parts[: len(mode)])
    return save(image, tmp_path / "a.jpg", **options)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 90}, {"format": "MPO"}], ids=str
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_jpegs_of_every_kind_are_reduced(tmp_path, mode, options, channels):
    """Guards against a kind of JPEG that is not reduced, or whose colours change with it."""
    path = jpeg(tmp_path, mode, (96, 64), **options)
    full = read_image(path, channels)
    for min_side, by in ((65, 1), (64, 1), (33, 1), (32, 2), (17, 2), (16, 4), (9, 4), (8, 8), (1, 8)):
        reduced = read_image(path, channels, min_side)
        assert reduced.shape == (channels, 64 // by, 96 // by), min_side
        mean = torch.nn.functional.avg_pool2d(full[None].float(), by)[0]
        assert (mean - reduced).abs().mean() < 1.5, min_side


def test_only_what_divides_evenly_is_reduced(tmp_path):
    """Guards against pixels that reach beyond the picture and shift all others by parts of a pixel."""
    for size, by in (((96, 64), 8), ((100, 64), 4), ((96, 66), 2), ((97, 64), 1), ((8, 8), 8), ((1, 1), 1)):
        assert read_image(jpeg(tmp_path, "RGB", size), 3, 1).shape == (3, size[1] // by, size[0] // by)
    large = save(Image.new("RGB", (96, 64)), tmp_path / "a.png")
    assert read_image(large, 3, 1).shape == (3, 64, 96)  # no JPEG


def test_transparency_is_laid_on_white(tmp_path):
    """Guards against the colour that happens to be stored under transparent pixels (mostly black)."""
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0, :, 0] = 200
    pixels[0, :, 3] = [0, 255, 51]
    path = save(Image.fromarray(pixels), tmp_path / "a.png")
    assert read_image(path)[:, 0].T.tolist() == [[255, 255, 255], [200, 0, 0], [244, 204, 204]]
    assert read_image(path, 4)[:, 0].T.tolist() == pixels[0].tolist()


def test_transparent_palette_and_gray(tmp_path):
    """Guards against transparency given by a palette entry or a gray value being drawn in its hidden colour."""
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    path = save(palette, tmp_path / "p.png", transparency=1)
    assert read_image(path)[:, 0].T.tolist() == [[10, 20, 30], [255, 255, 255]]
    gray = Image.fromarray(np.array([[7, 8]], dtype=np.uint8))
    path = save(gray, tmp_path / "l.png", transparency=7)
    assert read_image(path, 1).flatten().tolist() == [255, 8]
    assert read_image(path, 2).flatten(1).T.tolist()[1] == [8, 255]


def test_more_than_eight_bits(tmp_path):
    """Guards against 16-bit images clipped to white, as Pillow's own conversion does."""
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        path = save(Image.fromarray(values), tmp_path / name)
        assert read_image(path, 1).flatten().tolist() == [0, 1, 128, 255]
    path = save(Image.fromarray(np.array([[-5, 0, 65535, 2**20]], dtype=np.int32)), tmp_path / "i.tif")
    assert read_image(path, 1).flatten().tolist() == [0, 0, 255, 255]


def test_floats(tmp_path):
    """Guards against float images in 0..1 turning black, and against NaN."""
    path = save(Image.fromarray(np.array([[0, 0.5, 1, np.nan]], dtype=np.float32)), tmp_path / "unit.tif")
    assert read_image(path, 1).flatten().tolist() == [0, 128, 255, 0]
    path = save(Image.fromarray(np.array([[-3, 0.6, 200, 300]], dtype=np.float32)), tmp_path / "byte.tif")
    assert read_image(path, 1).flatten().tolist() == [0, 1, 200, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16"])
def test_every_mode_gives_every_number_of_channels(tmp_path, mode):
    """Guards against a pair of (mode, channels) that Pillow cannot convert in one step, such as LAB to L."""
    gray = Image.linear_gradient("L").resize((9, 5))
    image = gray.convert("I;16") if mode == "I;16" else Image.merge("RGB", [gray] * 3)
    if mode in ("LAB", "HSV"):
        image = Image.merge(mode, image.split())
    elif mode != "I;16":
        image = image.convert(mode)
    if mode == "HSV":
        image = image.convert("RGB")  # no format stores it
    path = save(image, tmp_path / "image.tif")
    for channels in (1, 2, 3, 4, 5, 7):
        assert read_image(path, channels).shape == (channels, 5, 9)


def test_luma_is_pillows():
    """Guards against two lumas: one for files, another for sets held in memory."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    ours = to_channels(torch.from_numpy(pixels).permute(2, 0, 1), 1)[0].numpy()
    assert np.array_equal(ours, np.asarray(Image.fromarray(pixels).convert("L")))


def test_channels_of_arrays():
    """Guards against a wrong alpha, or channels beyond the third that are not the first three again."""
    gray, colour = torch.tensor([[[7]]], dtype=torch.uint8), torch.tensor([[[1]], [[2]], [[3]]], dtype=torch.uint8)
    assert [to_channels(gray, n).flatten().tolist() for n in (1, 2, 3, 4, 5)] == [
        *([7], [7, 255], [7, 7, 7], [7, 7, 7, 255], [7, 7, 7, 7, 7])
    ]
    assert [to_channels(colour, n).flatten().tolist() for n in (2, 3, 4, 7)] == [
        *([2, 255], [1, 2, 3], [1, 2, 3, 255], [1, 2, 3, 1, 2, 3, 1])
    ]
    batch = torch.zeros(5, 1, 4, 6, dtype=torch.uint8)
    assert to_channels(batch, 3).shape == (5, 3, 4, 6)
    with pytest.raises(TlxError, match="1 or 3 channels, got 2"):
        to_channels(torch.zeros(2, 4, 4, dtype=torch.uint8), 3)


def test_first_frame(tmp_path):
    """Guards against the last frame, or one image a frame."""
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(frames[0], tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert read_image(path)[:, 0, 0].tolist() == [255, 0, 0]


def test_content_decides_not_extension(test_data):
    """Guards against trusting the extension: a PNG named .jpg is common."""
    root = test_data("odd_images")
    assert torch.equal(read_image(root / "made/png_named.jpg"), read_image(root / "pillow/hopper_45.png"))


def test_missing_file(tmp_path):
    """Guards against a bare FileNotFoundError in the middle of a training."""
    with pytest.raises(TlxError, match="no such file"):
        read_image(tmp_path / "nothing.png")
