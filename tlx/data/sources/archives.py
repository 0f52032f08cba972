"""Archives are unpacked without leaving their folder, whichever version of torchvision unpacks them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from tlx.base.errors import TlxError


@contextmanager
def unpacking_safely() -> Iterator[None]:
    """Refuse tar members that lead out of the folder: `..`, links to elsewhere, devices; absolute names lose the root.

    Zip archives need nothing: zipfile drops roots and `..` from names, and writes a link as a small file.

    Raises:
        TlxError: This Python cannot refuse them (PEP 706, before 3.11.4).
    """
    if not hasattr(tarfile, "data_filter"):
        raise TlxError("expected Python 3.11.4 or newer, which unpacks archives safely; unpack the data set by hand")
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
