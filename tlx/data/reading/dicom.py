"""Read a DICOM file into uint8 pixels as a viewer shows them. No torch here; pydicom is imported when a file is read.

What stands between stored values and grey levels is done in the order of PS3.3 C.11: rescaling (or the modality LUT),
the window (or the VOI LUT), inversion where low values are bright. Rescaling and LUTs are not left to pydicom's
`apply_modality_lut` and `apply_voi_lut`: these look for them beside the image only, and not in the functional groups of
enhanced files; and what they look up wraps around where a LUT has more than 256 entries of 8 bits.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tlx.base.errors import MissingPackage
from tlx.data.files.image_files import INSTALL_DICOM
from tlx.data.reading.windows import Window, in_pieces, windowed

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    Values = npt.NDArray[Any]
    Pixels = npt.NDArray[np.uint8]

_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
# By the end of a transfer syntax: 1.2.840.10008.1.2.4.57, …
_DECODERS = {
    **dict.fromkeys(("4.50", "4.51", "4.57", "4.70"), "pylibjpeg pylibjpeg-libjpeg"),
    **dict.fromkeys(("4.80", "4.81"), "pyjpegls"),
    **dict.fromkeys(("4.90", "4.91", "4.201", "4.202", "4.203"), "pylibjpeg pylibjpeg-openjpeg"),
}


def read_dicom(path: str | os.PathLike[str], window: Window | None, most_pixels: int) -> Pixels:
    """Read the image of a DICOM file, the middle frame where it has several.

    Args:
        path: The file.
        window: Centre and width in place of the file's own, of grey images, in rescaled units (Hounsfield for CT).
        most_pixels: Pixels that a frame may have.

    Returns:
        uint8 (H, W) of grey images, (H, W, 3) of coloured ones, R, G and B.

    Raises:
        MissingPackage: pydicom is not installed, or what it needs to decompress this file.
        Exception: Whatever pydicom raises about a file that is broken.
    """
    try:
        import pydicom
        from pydicom.pixels import pixel_array
    except ImportError as error:
        raise MissingPackage(f"it is DICOM, and pydicom is not there to read it; type: {INSTALL_DICOM}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that do not fit the standard, a line each
        header = pydicom.dcmread(path, stop_before_pixels=True)
        _check(header, most_pixels)
        frame = int(header.get("NumberOfFrames") or 1) // 2
        try:
            stored = pixel_array(path, index=frame)
        except RuntimeError as error:  # all decoders failed; one that is not there might not
            raise _undecoded(header, str(error)) or error from error
        except ValueError as error:  # numpy's, which speaks of shapes and buffers
            if header.file_meta.TransferSyntaxUID.is_encapsulated:
                raise
            raise ValueError(f"it has fewer or other pixels than it says: {error}") from error
        kind = str(header.PhotometricInterpretation)
        if kind.startswith("MONOCHROME"):
            return _gray(stored, header, frame, window)
        return _palette(stored, header) if kind == "PALETTE COLOR" else _colour(stored, header)


def _check(header: Dataset, most_pixels: int) -> None:
    """Refuse what has no pixels, too many, or others than can be shown; and what nothing here can decompress."""
    if not header.get("Rows") or not header.get("Columns"):
        what = header.get("SOPClassUID")
        raise ValueError(f"it is DICOM without an image ({getattr(what, 'name', None) or 'of no known kind'})")
    if header.Rows * header.Columns > most_pixels:
        size = f"it has {header.Columns:,} x {header.Rows:,} pixels, more than {most_pixels:,}"
        raise ValueError(f"{size}; TLX_MAX_PIXELS={2 * header.Rows * header.Columns} in the environment allows it")
    kind = str(header.get("PhotometricInterpretation"))
    if kind not in {*_COLOURS, "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}:
        raise ValueError(f"its pixels are {kind}, which is neither grey, a palette, RGB nor a YBR that tlx reads")
    if missing := _undecoded(header):
        raise missing


def _undecoded(header: Dataset, why: str = "") -> MissingPackage | None:
    """An error with the package that would decompress a file; None where none is missing."""
    from pydicom.pixels import get_decoder

    syntax = header.file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax)
    package = next((name for end, name in _DECODERS.items() if syntax.endswith(f".{end}")), "")
    if not package or not decoder.missing_dependencies or (decoder.is_available and not why):
        return None
    got = f": {' '.join(why.split())}" if why else ", which nothing that is installed decompresses"
    return MissingPackage(f"its pixels are compressed as {syntax.name}{got}; type: pip install {package}")


def _gray(stored: Values, header: Dataset, frame: int, window: Window | None) -> Pixels:
    out = np.empty(stored.shape, dtype=np.uint8)
    modality = _Modality(header, frame)
    show = _shown(stored, header, frame, window, modality)
    for rows in in_pieces(stored.shape):
        out[rows] = show(modality(stored[rows]))
    return np.subtract(255, out, out=out) if header.PhotometricInterpretation == "MONOCHROME1" else out


class _Modality:
    """From stored values to those that mean something."""

    def __init__(self, header: Dataset, frame: int) -> None:
        luts = _find(header, frame, "ModalityLUTSequence")
        self.lut = _Lut(luts[0], header) if luts else None
        slope, intercept = (_find(header, frame, f"Rescale{name}") for name in ("Slope", "Intercept"))
        self.slope = 1.0 if slope is None else float(slope)
        self.intercept = 0.0 if intercept is None else float(intercept)

    @property
    def does_nothing(self) -> bool:
        return self.lut is None and (self.slope, self.intercept) == (1.0, 0.0)

    def __call__(self, values: Values) -> Values:
        if self.lut is not None:
            return self.lut(values)
        return values if self.does_nothing else values.astype(np.float64) * self.slope + self.intercept


def _shown(stored: Values, header: Dataset, frame: int, window: Window | None, modality: _Modality) -> Any:
    """A function from rescaled values to grey levels."""
    if window is not None:
        return lambda values: windowed(values, window)
    luts = _find(header, frame, "VOILUTSequence")
    if luts and luts[0].get("LUTData") is not None:
        lut = _Lut(luts[0], header)
        top = max(int(lut.entries.max()), 1)  # the depth stated is often that of the words, not of the LUT
        return lambda values: _levels(lut(values), 0, top)
    centre, width = (_first(_find(header, frame, f"Window{name}")) for name in ("Center", "Width"))
    if centre is not None and width is not None and float(width) > 0:
        return _own_window(centre, width, str(_find(header, frame, "VOILUTFunction") or "LINEAR"))
    bits = int(header.get("BitsStored") or 64)
    if bits <= 8 and stored.dtype.kind == "u" and modality.does_nothing:
        return lambda values: _levels(values, 0, 2**bits - 1)
    low, high = _range(stored, header, modality)
    return lambda values: _levels(values, low, high)


def _own_window(centre: Any, width: Any, function: str) -> Any:
    """PS3.3 C.11.2.1, with output from 0 to 255."""
    from pydicom.dataset import Dataset
    from pydicom.pixels import apply_windowing

    rules = Dataset()
    rules.PhotometricInterpretation, rules.BitsStored, rules.PixelRepresentation = "MONOCHROME2", 8, 0
    rules.WindowCenter, rules.WindowWidth = centre, width
    # By the standard LINEAR starts at a width of 1; smaller ones are of images whose values are no whole numbers.
    rules.VOILUTFunction = "LINEAR_EXACT" if function.upper() == "LINEAR" and float(width) < 1 else function
    return lambda values: apply_windowing(values, rules).round().astype(np.uint8)


def _range(stored: Values, header: Dataset, modality: _Modality) -> tuple[float, float]:
    """The least and the greatest rescaled value, without the padding around an image."""
    padding = header.get("PixelPaddingValue")
    ends = [] if padding is None or stored.dtype.kind == "f" else [padding, header.get("PixelPaddingRangeLimit")]
    # Some files write the padding of signed pixels as if it were unsigned.
    bounds = [int(np.array(end).astype(stored.dtype)) for end in ends if end is not None]
    found: list[float] = []
    for rows in in_pieces(stored.shape):
        piece = stored[rows]
        shown = piece[(piece < min(bounds)) | (piece > max(bounds))] if bounds else piece.ravel()
        values = modality(shown)
        values = values[np.isfinite(values)]
        found += [float(values.min()), float(values.max())] if values.size else []
    return (min(found), max(found)) if found else (0.0, 1.0)


def _levels(values: Values, low: float, high: float) -> Pixels:
    """Grey levels between two values; all 0 where there is nothing between them."""
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low) - low) * 255 / max(high - low, 1e-300)
    return np.clip(scaled.round(), 0, 255).astype(np.uint8)


class _Lut:
    """A lookup table of a sequence: below its first entry stands that one, above its last one that."""

    def __init__(self, item: Dataset, header: Dataset) -> None:
        count, self.first, _ = (int(value) for value in item.LUTDescriptor)
        data = item.LUTData
        if isinstance(data, bytes):
            order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
            size = 1 if len(data) < 2 * (count or 2**16) else 2
            data = np.frombuffer(data, dtype=f"{order}u{size}")
        self.entries = np.atleast_1d(np.asarray(data))[: count or 2**16].astype(np.int64)

    def __call__(self, values: Values) -> Values:
        places = np.nan_to_num(values).round().astype(np.int64) if values.dtype.kind == "f" else values.astype(np.int64)
        return self.entries[np.clip(places - self.first, 0, len(self.entries) - 1)]


def _palette(stored: Values, header: Dataset) -> Pixels:
    from pydicom.pixels import apply_color_lut

    count, first, bits = (int(value) for value in header.RedPaletteColorLookupTableDescriptor)
    count = count or 2**16
    if bits <= 8 and count > 256:  # pydicom would look up the remainder
        raise ValueError(f"its palette has {count:,} colours of 8 bits, more than 256")
    colours = apply_color_lut(np.arange(first, first + count, dtype=np.int32), header)[:, :3]
    wide = colours.max(initial=0) > 255
    table = _levels(colours, 0, 65535) if wide else colours.astype(np.uint8)  # 8 bits, however wide their words
    return table[np.clip(stored.astype(np.int32) - first, 0, len(table) - 1)]


def _colour(stored: Values, header: Dataset) -> Pixels:
    if stored.ndim != 3 or stored.shape[2] != 3:
        raise ValueError(f"its pixels are {header.PhotometricInterpretation} with shape {stored.shape}, not (H, W, 3)")
    bits = int(header.BitsStored)
    if bits == 8 and stored.dtype == np.uint8:
        return np.ascontiguousarray(stored)
    out = np.empty(stored.shape, dtype=np.uint8)
    for rows in in_pieces(stored.shape):
        out[rows] = _levels(stored[rows], 0, 2**bits - 1)
    return out


def _places(header: Dataset, frame: int) -> Iterator[Dataset]:
    """Where the rules of a frame may stand: in its own group, in that of all frames, beside the image."""
    for name, index in zip(_GROUPS, (frame, 0), strict=True):
        items = header.get(name) or []
        if index < len(items):
            yield from (inner for macro in _MACROS for inner in (items[index].get(macro) or [])[:1])
    yield header


def _find(header: Dataset, frame: int, keyword: str) -> Any:
    values = (place.get(keyword) for place in _places(header, frame))
    return next((value for value in values if value is not None and value != "" and value != []), None)


def _first(value: Any) -> Any:
    """The first of several."""
    from pydicom.multival import MultiValue

    return next(iter(value), None) if isinstance(value, MultiValue) else value
