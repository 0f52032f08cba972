"""DICOM files arrive with the grey levels that a viewer shows; values are computed by hand from the standard."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the package pydicom: pip install 'tlx[dicom]'")

import pydicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    CTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.data.dicom_files import item, lut, palette, write
from tlx.base.errors import MissingPackage, TlxError
from tlx.data import folder, load_checked
from tlx.data.catalog import source_of
from tlx.data.reading import windows
from tlx.data.reading.facts import examine
from tlx.data.reading.images import read_image
from tlx.data.reading.inspection import decoding, file_facts
from tlx.data.reading.pixels import is_dicom, read_pixels, verify

HU = np.array([[-1000, -160, -60, 40, 140, 240, 1000]], dtype=np.int16)


def levels(path: Path, **keys) -> list[int]:
    return read_pixels(path, 1, **keys).flatten().tolist()


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, RLELossless])
def test_a_window_of_the_file_is_that_of_the_standard(tmp_path, syntax):
    """Guards against Hounsfield units without rescaling, or a window half a value off (PS3.3 C.11.2.1.2.1)."""
    stored = (HU + 1024).astype(np.uint16)
    keys = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "WindowCenter": "40", "WindowWidth": "400"}
    path = write(tmp_path / "a.dcm", stored, bits=12, **keys)
    if syntax == RLELossless:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    elif syntax is not None:
        write(path, stored, bits=12, syntax=syntax, **keys)
    # y = ((x - 39.5) / 399 + 0.5) * 255
    assert levels(path) == [0, 0, 64, 128, 192, 255, 255]
    assert [round(((x - 39.5) / 399 + 0.5) * 255) for x in (-60, 40, 140)] == [64, 128, 192]


def test_of_several_windows_the_first(tmp_path):
    """Guards against a list of windows, which most scanners write, taken for none."""
    keys = {"WindowCenter": ["40", "-600"], "WindowWidth": ["400", "1500"]}
    assert levels(write(tmp_path / "a.dcm", HU, **keys)) == [0, 0, 64, 128, 192, 255, 255]


@pytest.mark.parametrize(
    ("function", "width", "expected"),
    [
        ("LINEAR_EXACT", "400", [0, 0, 64, 128, 191, 255, 255]),
        ("SIGMOID", "400", [0, 30, 69, 128, 186, 225, 255]),
        (None, "1", [0, 0, 0, 255, 255, 255, 255]),
        (None, "0.5", [0, 0, 0, 128, 255, 255, 255]),
    ],
)
def test_functions_of_windows(tmp_path, function, width, expected):
    """Guards against one function for all, and against narrow windows of files that break the standard refused."""
    keys = {"WindowCenter": "40", "WindowWidth": width} | ({"VOILUTFunction": function} if function else {})
    assert levels(write(tmp_path / "a.dcm", HU, **keys)) == expected
    if function == "SIGMOID":
        assert [round(255 / (1 + np.exp(-4 * (x - 40) / 400))) for x in (-160, -60, 40, 140)] == expected[1:5]


def test_a_window_that_is_asked_for_counts_before_the_files_own(tmp_path):
    """Guards against files that are each shown in the window some technician liked."""
    keys = {"WindowCenter": "0", "WindowWidth": "10", "VOILUTSequence": [lut([2, 0, 8], [0, 255])]}
    path = write(tmp_path / "a.dcm", HU, **keys)
    assert levels(path, window=(40.0, 400.0)) == [0, 0, 64, 128, 191, 255, 255]
    keys |= {"RescaleSlope": "2", "RescaleIntercept": "10"}
    assert levels(write(path, HU, **keys), window=(90.0, 800.0)) == [0, 0, 64, 128, 191, 255, 255]


def test_signed_values_with_unused_bits(tmp_path):
    """Guards against negative values of 12 bits that are read as large ones, and garbage above the bits stored."""
    stored = np.array([[-2048, -1, 0, 2047]], dtype=np.int16)
    path = write(tmp_path / "a.dcm", (stored & 0x0FFF).astype(np.int16), bits=12)
    assert levels(path) == [0, 127, 128, 255]
    stored = np.array([[0, 100, 4095]], dtype=np.uint16) | np.uint16(0xF000)
    assert levels(write(tmp_path / "b.dcm", stored, bits=12)) == [0, 6, 255]


def test_without_a_window_from_the_least_to_the_greatest(tmp_path):
    """Guards against images of magnetic resonance, whose values have no unit, that arrive black."""
    stored = np.array([[20, 120, 220]], dtype=np.uint16)
    assert levels(write(tmp_path / "a.dcm", stored)) == [0, 128, 255]
    assert levels(write(tmp_path / "b.dcm", stored, RescaleSlope="-1", RescaleIntercept="0")) == [255, 128, 0]
    assert levels(write(tmp_path / "c.dcm", stored * 0 + 7)) == [0, 0, 0]
    bad = {"WindowCenter": "40", "WindowWidth": "0"}
    assert levels(write(tmp_path / "d.dcm", stored, **bad)) == [0, 128, 255]


def test_padding_is_no_part_of_the_range(tmp_path):
    """Guards against the -2000 around the circle of a scan making all of it light grey."""
    stored = np.array([[-2000, 0, 500, 1000]], dtype=np.int16)
    path = write(tmp_path / "a.dcm", stored, PixelPaddingValue=-2000)
    assert levels(path) == [0, 0, 128, 255]
    dataset = pydicom.dcmread(path)
    del dataset.PixelPaddingValue
    dataset.add_new("PixelPaddingValue", "US", 63536)  # as some files write it
    dataset.save_as(path)
    assert levels(path) == [0, 0, 128, 255]


def test_eight_bits_stay_as_they_are(tmp_path):
    """Guards against photographs and screenshots, each stretched by itself."""
    stored = np.array([[20, 120, 220, 221]], dtype=np.uint8)
    assert levels(write(tmp_path / "a.dcm", stored)) == [20, 120, 220, 221]
    same = {"RescaleSlope": "1", "RescaleIntercept": "0"}
    assert levels(write(tmp_path / "b.dcm", stored // 4, bits=6, **same)) == [20, 121, 223, 223]


def test_low_values_that_are_bright_are_inverted(tmp_path):
    """Guards against radiographs whose bones are black."""
    keys = {"kind": "MONOCHROME1", "WindowCenter": "40", "WindowWidth": "400"}
    path = write(tmp_path / "a.dcm", HU, **keys)
    assert levels(path) == [255, 255, 191, 127, 63, 0, 0]
    assert levels(path, window=(40, 400)) == [255, 255, 191, 127, 64, 0, 0]


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
def test_lookup_tables(tmp_path, sequence):
    """Guards against tables passed over, or indexed with the width of their entries, where 12 bits wrap around at 8."""
    stored = np.array([[0, 99, 100, 101, 400, 5000]], dtype=np.uint16)
    table = lut([301, 100, 8], [min(i, 255) for i in range(301)])
    path = write(tmp_path / "a.dcm", stored, **{sequence: [table]})
    assert levels(path) == [0, 0, 0, 1, 255, 255]
    # A table of 12 bits in words, whose file says 16.
    path = write(path, stored, **{sequence: [lut([3, 99, 16], [0, 2048, 4095])]})
    assert levels(path) == [0, 0, 128, 255, 255, 255]


def test_a_lookup_table_comes_before_a_window_and_after_rescaling(tmp_path):
    """Guards against a table that is given stored values in the place of rescaled ones."""
    keys = {"RescaleSlope": "1", "RescaleIntercept": "-100.0", "WindowCenter": "0", "WindowWidth": "9"}
    table = lut([3, 0, 8], [0, 51, 255])
    path = write(tmp_path / "a.dcm", np.array([[99, 100, 101, 102]], dtype=np.uint16), VOILUTSequence=[table], **keys)
    assert levels(path) == [0, 0, 51, 255]


def test_rules_of_enhanced_files_stand_elsewhere(tmp_path):
    """Guards against rescaling and windows of enhanced CT and MR, in functional groups, passed over without a word."""
    shared = item(PixelValueTransformationSequence=[item(RescaleSlope="1", RescaleIntercept="-1024")])
    own = [item(FrameVOILUTSequence=[item(WindowCenter=c, WindowWidth="400")]) for c in ("0", "40", "9")]
    keys = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": own, "NumberOfFrames": 3}
    stored = np.stack([HU, HU + 1024, HU]).astype(np.int16)
    assert levels(write(tmp_path / "a.dcm", stored, **keys)) == [0, 0, 64, 128, 192, 255, 255]


@pytest.mark.parametrize(("frames", "middle"), [(1, 0), (2, 1), (5, 2)])
def test_of_frames_the_middle_one(tmp_path, frames, middle):
    """Guards against the first slice of a volume, which shows air."""
    stored = np.zeros((frames, 2, 3), dtype=np.uint8)
    stored[middle] = 9
    path = write(tmp_path / "a.dcm", stored, NumberOfFrames=frames)
    assert levels(path) == [9] * 6
    assert verify(path) == (3, 2, 0, "", 1)


def test_colours(tmp_path):
    """Guards against colours that are swapped, of planes, of YBR, of more than 8 bits."""
    rgb = np.array([[[255, 0, 0], [10, 20, 30], [0, 255, 0], [1, 2, 3]]], dtype=np.uint8)
    path = write(tmp_path / "a.dcm", rgb, kind="RGB")
    assert read_pixels(path, 3).tolist() == rgb.tolist()
    assert read_pixels(path, 3, window=(1.0, 1.0)).tolist() == rgb.tolist()  # a window is one of grey
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    write(path, rgb, kind="RGB", PlanarConfiguration=1, PixelData=planes.tobytes())
    assert read_pixels(path, 3).tolist() == rgb.tolist()
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    found = read_pixels(write(path, ybr, kind="YBR_FULL"), 3).astype(int)
    assert abs(found - rgb).max() <= 2
    write(path, (rgb.astype(np.uint16) * 16), kind="RGB", bits=12)
    assert abs(read_pixels(path, 3).astype(int) - rgb).max() <= 1
    with pytest.raises(TlxError, match="its pixels are HSV, which is neither"):
        read_pixels(write(path, rgb, kind="HSV"))


def test_palettes(tmp_path):
    """Guards against indices shown as grey, entries of 16 bits cut off, and indices that wrap around."""
    stored = np.array([[0, 1, 2, 9]], dtype=np.uint8)
    keys = palette([0, 65535, 257], [0, 0, 514], [65535, 0, 0])
    path = write(tmp_path / "a.dcm", stored, kind="PALETTE COLOR", **keys)
    assert read_pixels(path, 3)[0].tolist() == [[0, 0, 255], [255, 0, 0], [1, 2, 0], [1, 2, 0]]
    keys = palette([0, 255, 1], [0, 0, 2], [255, 0, 0])  # 8 bits in words of 16
    write(path, stored, kind="PALETTE COLOR", **keys)
    assert read_pixels(path, 3)[0].tolist() == [[0, 0, 255], [255, 0, 0], [1, 2, 0], [1, 2, 0]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_channels(tmp_path, channels):
    """Guards against a number of channels that grey or coloured DICOM does not come in."""
    gray = write(tmp_path / "g.dcm", np.full((4, 5), 70, np.uint8))
    colour = write(tmp_path / "c.dcm", np.full((4, 5, 3), (255, 0, 9), np.uint8), kind="RGB")
    expected = [70, *([255] if channels == 2 else [70, 70, 255][: channels - 1])] + [70] * (channels - 4)
    image = read_image(gray, channels)
    assert image.shape == (channels, 4, 5)
    assert image[:, 0, 0].tolist() == (expected if channels < 6 else [70] * 6)
    assert read_image(colour, channels).shape == (channels, 4, 5)
    assert read_image(colour, 4)[:, 1, 1].tolist() == [255, 0, 9, 255]


def test_floats_and_other_orders_of_bytes(tmp_path):
    """Guards against parametric maps, whose pixels are floats, and old files that begin with the high byte."""
    path = write(tmp_path / "f.dcm", np.zeros((1, 3), np.uint16), bits=16)
    dataset = pydicom.dcmread(path)
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated = 32
    dataset.FloatPixelData = np.array([0.25, 0.5, 0.75], dtype="<f4").tobytes()
    dataset.save_as(path)
    assert levels(path) == [0, 128, 255]
    assert levels(path, window=(0.25, 0.5)) == [128, 255, 255]
    stored = np.array([[0, 1000, 4000]], dtype=">u2")
    path = write(tmp_path / "b.dcm", stored, bits=12, syntax=ExplicitVRBigEndian, WindowCenter="1000", WindowWidth="1")
    assert levels(path) == [0, 255, 255]


@pytest.mark.parametrize(("syntax", "kind", "off"), [(JPEGBaseline8Bit, "JPEG", 4), (JPEG2000Lossless, "JPEG2000", 0)])
def test_what_pillow_decompresses(tmp_path, syntax, kind, off):
    """Guards against compressed files refused for which everything needed is there."""
    stored = np.asarray(Image.linear_gradient("L").resize((16, 16)))
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, kind, **({} if off else {"irreversible": False, "no_jp2": True}))
    path = write(tmp_path / "a.dcm", stored, syntax=syntax, PixelData=encapsulate([buffer.getvalue()]))
    assert abs(read_pixels(path, 1).astype(int) - stored).max() <= off


def broken(path: Path) -> str:
    facts = examine(str(path))
    assert facts.decoded
    assert facts.key
    with pytest.raises(TlxError) as caught:
        read_pixels(path)
    assert str(caught.value) == f"cannot read image {path}: {facts.reason}"
    assert "\n" not in facts.reason
    return facts.reason


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        (JPEGLosslessSV1, "pip install pylibjpeg pylibjpeg-libjpeg"),
        (
            JPEGLSLossless,
            "compressed as JPEG-LS Lossless Image Compression, which no installed package decompresses",
        ),
        (MPEG2MPML, "No pixel data decoders have been implemented"),
    ],
)
def test_what_cannot_be_decompressed_says_what_is_missing(tmp_path, syntax, words):
    """Guards against a list of plugins in place of what to type, and a verdict that outlives the installation."""
    path = write(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8), syntax=syntax, PixelData=encapsulate([b"\0" * 64]))
    if syntax != MPEG2MPML and pydicom.pixels.get_decoder(syntax).is_available:
        pytest.skip("a decoder that this test wants missing is installed")
    assert words in broken(path)
    assert examine(str(path)).lasting == (syntax == MPEG2MPML)


@pytest.mark.parametrize("keep", [131, 200, 300, 700, -1, -2, -64])
def test_truncated_files_are_broken(tmp_path, keep):
    """Guards against a foreign exception, or pixels that were never written shown as black."""
    path = write(tmp_path / "a.dcm", np.arange(900, dtype=np.uint16).reshape(30, 30))
    path.write_bytes(path.read_bytes()[:keep])
    stated = "its pixels do not have the number or type that its header states"
    assert (stated in broken(path)) == (keep > 300 or keep < 0)


def test_files_without_an_image_are_broken(tmp_path):
    """Guards against reports, directories and other files in DICOM's clothes that end a run."""
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8))
    dataset = pydicom.dcmread(path)
    del dataset.Rows, dataset.PixelData
    dataset.save_as(path)
    assert broken(path) == f"it is DICOM without an image ({CTImageStorage.name})"
    path.write_text("no image")
    assert "it lacks DICOM's mark" in broken(path)
    path.write_bytes(b"")
    assert broken(path) == "it is empty"
    path.write_bytes(bytes(128) + b"DICM" + b"junk" * 99)
    assert broken(path)


def test_large_files_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    """Guards against a file that says it has a million rows, and takes the memory for them."""
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8), Rows=60_000, Columns=60_000)
    assert "it has 60,000 x 60,000 pixels, more than 33,554,432; TLX_MAX_PIXELS=7200000000" in broken(path)
    path = write(tmp_path / "b.dcm", np.zeros((50, 40), np.uint8))
    monkeypatch.setenv("TLX_MAX_PIXELS", "3999")
    assert "more than 1,999; TLX_MAX_PIXELS=4000" in broken(path)
    monkeypatch.setenv("TLX_MAX_PIXELS", "4000")
    assert verify(path) == (40, 50, 0, "", 1)


@pytest.mark.slow
def test_pieces_make_the_whole(tmp_path, monkeypatch):
    """Guards against rows that are left out, or scaled each by itself."""
    stored = np.random.default_rng(0).integers(0, 4000, (23, 31)).astype(np.uint16)
    path = write(tmp_path / "a.dcm", stored, RescaleSlope="2", RescaleIntercept="-5")
    whole = read_pixels(path, 1)
    assert whole.min() == 0
    assert whole.max() == 255
    monkeypatch.setattr(windows, "_PIECE", 100)
    assert np.array_equal(read_pixels(path, 1), whole)


def test_content_decides_not_extension(tmp_path):
    """Guards against files from a scanner, whose names are numbers, and a PNG that somebody called .dcm."""
    stored = np.array([[1, 2]], dtype=np.uint8)
    for name in ("IM000001", "1.2.840.113", "a.IMA", "a.dcm"):
        assert levels(write(tmp_path / name, stored)) == [1, 2]
    Image.fromarray(stored).save(tmp_path / "b.dcm", "PNG")
    assert levels(tmp_path / "b.dcm") == [1, 2]
    assert not is_dicom(tmp_path / "gone.dcm")
    with pytest.raises(TlxError, match="no such file"):
        read_pixels(tmp_path / "gone.dcm")
    (tmp_path / "c.dcm").mkdir()
    with pytest.raises(TlxError, match="it is a folder, not a file"):
        read_pixels(tmp_path / "c.dcm")


@pytest.fixture
def scans(tmp_path) -> Path:
    """Ten files of two classes, each of other pixels."""
    for i in range(20):
        file = tmp_path / "scans" / "ab"[i % 2] / f"{i}.dcm"
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, np.full((12, 8), 10 * i - 100, np.int16), WindowCenter="0", WindowWidth="100")
    return tmp_path / "scans"


def test_a_folder_of_scans_is_a_set(scans, node):
    """Guards against DICOM left out by its extension, or decoded in the processes that check and not elsewhere."""
    (scans / "a" / "0.dcm").write_bytes((scans / "a" / "2.dcm").read_bytes()[:500])
    with decoding(True):
        facts = file_facts(sorted(scans.rglob("*.dcm")))
    assert sorted((f.width, f.height) for f in facts) == [(0, 0), *[(8, 12)] * 19]
    dataset = node("folder", root=str(scans), on_bad="skip")
    assert source_of(dataset).mistakes() == []
    checked = load_checked(dataset)
    assert [entry.sample.name for entry in checked.broken] == ["a/0.dcm"]
    assert sum(len(split) for split in checked.images.splits.values()) == 19


def test_without_pydicom(scans, node, monkeypatch):
    """Guards against ten thousand broken files where one package is missing, remembered after it was installed."""
    path = scans / "a" / "0.dcm"
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingPackage, match=r"pydicom is not installed; type: pip install 'tlx\[dicom\]'"):
        read_pixels(path)
    assert not examine(str(path)).lasting
    (mistake,) = source_of(node("folder", root=str(scans))).mistakes()
    assert "expected pydicom, to read DICOM files such as 0.dcm, got none" in str(mistake)
    assert mistake.hint == "type: pip install 'tlx[dicom]'"
    (scans / "t.csv").write_text("path,label\na/0.dcm,a\nb/1.dcm,b\n")
    assert "such as a/0.dcm" in str(source_of(node("table", path=str(scans / "t.csv"))).mistakes()[0])
    assert sum(len(split) for split in folder(scans).splits.values()) == 20  # splitting needs no pixels


def test_files_without_an_extension_are_not_passed_over_in_silence(scans, node):
    """Guards against an export of a scanner, names without extension, that is called a folder without images."""
    for path in scans.rglob("*.dcm"):
        path.rename(path.with_suffix(""))
    (mistake,) = source_of(node("folder", root=str(scans))).mistakes()
    assert "dataset=table, or add .dcm to DICOM files" in str(mistake)
    for i in (0, 1, 2, 3):
        (scans / "ab"[i % 2] / str(i)).rename(scans / "ab"[i % 2] / f"{i}.dcm")
    assert folder(scans).rule.endswith("left out, by extension: 16 without extension")
