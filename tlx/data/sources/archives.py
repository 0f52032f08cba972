"""Prevent archives from writing outside their folder, with any version of torchvision."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from tlx.base.errors import TlxError


@contextmanager
def unpacking_safely() -> Iterator[None]:
    """Refuse tar members that lead out of the folder: `..`, links to elsewhere, devices. Absolute names lose the root.

    Zip archives are safe without this: zipfile drops roots and `..` from names, and writes links as small files.

    Raises:
        TlxError: This Python lacks the filter (PEP 706), so it is older than 3.11.4.
    """
    if not hasattr(tarfile, "data_filter"):
        raise TlxError("expected Python 3.11.4 or newer, which unpacks archives safely; unpack the data set by hand")
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before
