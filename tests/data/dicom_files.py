"""DICOM files, made as scanners and exporters make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the package pydicom: pip install 'tlx[dicom]'")

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write(path: Path, stored: np.ndarray, kind: str = "MONOCHROME2", bits: int | None = None, **elements: Any) -> Path:
    """A file of stored values (H, W), (H, W, 3) or with `NumberOfFrames` (N, H, W); elements are added by keyword."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    colour = stored.ndim == 3 and "NumberOfFrames" not in elements
    dataset.Rows, dataset.Columns = stored.shape[:2] if colour else stored.shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = kind
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if "PixelData" not in elements:
        data = stored.tobytes()
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OW" if stored.itemsize > 1 else "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


def item(**elements: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def lut(descriptor: list[int], entries: list[int]) -> Dataset:
    """An item of a sequence of lookup tables."""
    made = item(LUTDescriptor=descriptor)
    made.add_new("LUTData", "US", entries)
    return made


def palette(*colours: list[int]) -> dict[str, Any]:
    """Elements of a palette of 16-bit entries: red, green, blue."""
    names = ("Red", "Green", "Blue")
    data = {n: np.array(c, dtype="<u2").tobytes() for n, c in zip(names, colours, strict=True)}
    described = {f"{n}PaletteColorLookupTableDescriptor": [len(colours[0]), 0, 16] for n in names}
    return described | {f"{n}PaletteColorLookupTableData": data[n] for n in names}
