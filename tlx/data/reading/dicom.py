"""Read a DICOM file into uint8 pixels as a viewer shows them. Imports no torch, and pydicom when a file is read.

Stored values become grey levels in the order of PS3.3 C.11: rescaling (or the modality LUT), the window (or the VOI
LUT), inversion if low values are bright. pydicom's `apply_modality_lut` and `apply_voi_lut` are not used: they ignore
the functional groups of enhanced files, and their indices wrap around if a LUT of 8 bits has more than 256 entries.
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
    """Return the image of a DICOM file; if it has several frames, the middle one.

    Args:
        path: The file.
        window: For grey images, centre and width in rescaled units (Hounsfield units for CT); None: those of the file.
        most_pixels: Maximum number of pixels of a frame.

    Returns:
        uint8: (H, W) for a grey image, (H, W, 3) in the order RGB for a coloured one.

    Raises:
        MissingPackage: pydicom, or a package that decompresses this file, is not installed.
        ValueError: The file has no image, too large a one, or pixels of a kind that is not supported.
        Exception: Any error of pydicom about a damaged file.
    """
    try:
        import pydicom
        from pydicom.pixels import pixel_array
    except ImportError as error:
        raise MissingPackage(f"it is DICOM, and pydicom is not installed; type: {INSTALL_DICOM}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every value that violates the standard
        header = pydicom.dcmread(path, stop_before_pixels=True)
        _check(header, most_pixels)
        frame = int(header.get("NumberOfFrames") or 1) // 2
        try:
            stored = pixel_array(path, index=frame)
        except RuntimeError as error:  # all installed decoders failed
            raise _undecoded(header, str(error)) or error from error
        except ValueError as error:  # from NumPy, about shapes and buffers
            if header.file_meta.TransferSyntaxUID.is_encapsulated:
                raise
            raise ValueError(f"its pixels do not have the number or type that its header states: {error}") from error
        kind = str(header.PhotometricInterpretation)
        if kind.startswith("MONOCHROME"):
            return _gray(stored, header, frame, window)
        return _palette(stored, header) if kind == "PALETTE COLOR" else _colour(stored, header)


def _check(header: Dataset, most_pixels: int) -> None:
    """Raise an error if a file has no image, too many pixels, an unknown kind of pixels, or cannot be decompressed."""
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
    """Return an error that names the package that decompresses a file; None if it is installed or unknown.

    Args:
        header: The header of the file.
        why: The error of the installed decoders; '': they have not been tried.
    """
    from pydicom.pixels import get_decoder

    syntax = header.file_meta.TransferSyntaxUID
    decoder = get_decoder(syntax)
    package = next((name for end, name in _DECODERS.items() if syntax.endswith(f".{end}")), "")
    if not package or not decoder.missing_dependencies or (decoder.is_available and not why):
        return None
    got = f": {' '.join(why.split())}" if why else ", which no installed package decompresses"
    return MissingPackage(f"its pixels are compressed as {syntax.name}{got}; type: pip install {package}")


def _gray(stored: Values, header: Dataset, frame: int, window: Window | None) -> Pixels:
    out = np.empty(stored.shape, dtype=np.uint8)
    modality = _Modality(header, frame)
    to_levels = _window_of(stored, header, frame, window, modality)
    for rows in in_pieces(stored.shape):
        out[rows] = to_levels(modality(stored[rows]))
    return np.subtract(255, out, out=out) if header.PhotometricInterpretation == "MONOCHROME1" else out


class _Modality:
    """The modality transformation: stored values to rescaled ones, such as Hounsfield units."""

    def __init__(self, header: Dataset, frame: int) -> None:
        luts = _find(header, frame, "ModalityLUTSequence")
        self.lut = _Lut(luts[0], header) if luts else None
        slope, intercept = (_find(header, frame, f"Rescale{name}") for name in ("Slope", "Intercept"))
        self.slope = 1.0 if slope is None else float(slope)
        self.intercept = 0.0 if intercept is None else float(intercept)

    @property
    def is_identity(self) -> bool:
        return self.lut is None and (self.slope, self.intercept) == (1.0, 0.0)

    def __call__(self, values: Values) -> Values:
        if self.lut is not None:
            return self.lut(values)
        return values if self.is_identity else values.astype(np.float64) * self.slope + self.intercept


def _window_of(stored: Values, header: Dataset, frame: int, window: Window | None, modality: _Modality) -> Any:
    """Return the function that maps rescaled values to grey levels.

    It is the given window, the VOI LUT or the window of the file, or the range of the values, in this order.
    """
    if window is not None:
        return lambda values: windowed(values, window)
    luts = _find(header, frame, "VOILUTSequence")
    if luts and luts[0].get("LUTData") is not None:
        lut = _Lut(luts[0], header)
        top = max(int(lut.entries.max()), 1)  # the stated depth is often that of the stored words
        return lambda values: _levels(lut(values), 0, top)
    centre, width = (_first(_find(header, frame, f"Window{name}")) for name in ("Center", "Width"))
    if centre is not None and width is not None and float(width) > 0:
        return _own_window(centre, width, str(_find(header, frame, "VOILUTFunction") or "LINEAR"))
    bits = int(header.get("BitsStored") or 64)
    if bits <= 8 and stored.dtype.kind == "u" and modality.is_identity:
        return lambda values: _levels(values, 0, 2**bits - 1)
    low, high = _range(stored, header, modality)
    return lambda values: _levels(values, low, high)


def _own_window(centre: Any, width: Any, function: str) -> Any:
    """Return the window of a file as a function to grey levels 0 to 255 (PS3.3 C.11.2.1)."""
    from pydicom.dataset import Dataset
    from pydicom.pixels import apply_windowing

    rules = Dataset()
    rules.PhotometricInterpretation, rules.BitsStored, rules.PixelRepresentation = "MONOCHROME2", 8, 0
    rules.WindowCenter, rules.WindowWidth = centre, width
    # LINEAR is defined for widths from 1; images with fractional values may have smaller ones.
    rules.VOILUTFunction = "LINEAR_EXACT" if function.upper() == "LINEAR" and float(width) < 1 else function
    return lambda values: apply_windowing(values, rules).round().astype(np.uint8)


def _range(stored: Values, header: Dataset, modality: _Modality) -> tuple[float, float]:
    """Return the least and the greatest rescaled value, without the padding around an image."""
    padding = header.get("PixelPaddingValue")
    ends = [] if padding is None or stored.dtype.kind == "f" else [padding, header.get("PixelPaddingRangeLimit")]
    # Some files store the padding of signed pixels as an unsigned number.
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
    """Return grey levels, 0 at `low` and 255 at `high`; all 0 if these are equal."""
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low) - low) * 255 / max(high - low, 1e-300)
    return np.clip(scaled.round(), 0, 255).astype(np.uint8)


class _Lut:
    """A lookup table from a DICOM sequence. Values outside its range get its first or last entry."""

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
    if bits <= 8 and count > 256:  # in pydicom the index wraps around
        raise ValueError(f"its palette has {count:,} colours of 8 bits, more than 256")
    colours = apply_color_lut(np.arange(first, first + count, dtype=np.int32), header)[:, :3]
    wide = colours.max(initial=0) > 255
    table = _levels(colours, 0, 65535) if wide else colours.astype(np.uint8)  # 8-bit colours in 16-bit words
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
    """Yield the data sets that may describe a frame: its functional groups, the shared ones, the image itself."""
    for name, index in zip(_GROUPS, (frame, 0), strict=True):
        items = header.get(name) or []
        if index < len(items):
            yield from (inner for macro in _MACROS for inner in (items[index].get(macro) or [])[:1])
    yield header


def _find(header: Dataset, frame: int, keyword: str) -> Any:
    """Return the first value of a keyword that is not empty; None if there is none."""
    values = (place.get(keyword) for place in _places(header, frame))
    return next((value for value in values if value is not None and value != "" and value != []), None)


def _first(value: Any) -> Any:
    """Return the first of several values, or the only one."""
    from pydicom.multival import MultiValue

    return next(iter(value), None) if isinstance(value, MultiValue) else value
