"""Find image files by their extensions. Only the standard library."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tlx.base.errors import TlxError, closest
from tlx.data.files.walk import files_below, folders_in, is_left_out

# The extensions that torchvision's ImageFolder accepts, and further formats of one still picture. No .gif: in labelled
# folders these are mostly animations and placeholders ("image not found"), and ImageFolder, with which users compare
# counts, omits them too. DICOM files without an extension are omitted because README and DICOMDIR have none either.
DICOM = {".dcm", ".dicom"}
INSTALL_DICOM = "pip install 'tlx[dicom]'"
PILLOWS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".bmp", ".dib", ".tif", ".tiff"),
    *(".webp", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
}
EXTENSIONS = PILLOWS | DICOM


def images_below(folder: Path) -> list[Path]:
    """Return the image files below `folder` at any depth, sorted; links are followed, hidden files omitted."""
    return sorted(some_images_below(folder))


def ignored_below(folder: Path) -> list[Path]:
    """Return the files below `folder` that are neither hidden nor have an image extension, sorted."""
    return sorted(p for p in _files_below(folder) if p.suffix.lower() not in EXTENSIONS)


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand files, folders (all images below them) and glob patterns into image files, in the order given.

    A file that is named directly is used whatever its extension.

    Raises:
        TlxError: An entry does not exist, or matches no image.
    """
    found: list[Path] = []
    for entry in paths:
        path = Path(entry).expanduser()
        if path.is_dir():
            images = images_below(path)
        elif path.exists():
            images = [path]
        else:
            matches = (Path(m) for m in sorted(glob.glob(str(path), recursive=True)))
            matching = [p for p in matches if p.is_file() and p.suffix.lower() in EXTENSIONS]
            # Thumbnails below `@eaDir` are skipped, unless the pattern itself names that folder.
            images = [p for p in matching if not any(is_left_out(part) for part in {*p.parts} - {*path.parts})]
        if not images:
            raise TlxError(f"expected an image, a folder of images or a pattern that matches some, got '{entry}'")
        found += images
    return found


def why_no_folder(path: Path) -> str:
    """Return why `path` is not a folder, and the existing folder whose name is closest to the first missing part."""
    if path.exists():
        return "is a file"
    missing = path.absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    near = closest(missing.name, (p.name for p in folders_in(missing.parent)))
    return f"does not exist; did you mean '{missing.parent / near}'?" if near else "does not exist"


def closest_file(path: Path) -> str:
    """Return a hint at the file in the same folder whose name is closest to that of a missing file, or ''."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"{folder} {why_no_folder(folder)}"
    near = closest(path.name, (p.name for p in folder.iterdir() if p.is_file()))
    return f"did you mean '{folder / near}'?" if near else ""


def some_images_below(folder: Path) -> Iterator[Path]:
    """Yield the image files below `folder` as they are found."""
    return (p for p in _files_below(folder) if p.suffix.lower() in EXTENSIONS)


def _files_below(folder: Path) -> Iterator[Path]:
    return (Path(here, name) for here, name in files_below(folder))
