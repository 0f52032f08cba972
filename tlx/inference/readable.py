"""The image files that a prediction is asked for; broken ones are reported before torch is imported."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tlx.base.errors import TlxError
from tlx.data.checked import Broken, broken_files, skipped_folders
from tlx.data.files.image_files import find_images
from tlx.data.files.walk import skipping_unreadable
from tlx.data.reading.inspection import decoding, file_facts
from tlx.data.splits.samples import Sample

log = logging.getLogger("tlx")


def readable(images: Sequence[str | Path], on_bad: Literal["stop", "skip"] = "stop") -> list[Path]:
    """Return the image files that files, folders and globs name.

    Args:
        images: Files, folders and globs.
        on_bad: If files are broken or folders cannot be read, `stop` with an error, or `skip` them with a warning.

    Raises:
        TlxError: A file, folder or glob matches no image, or a file is broken (with `skip`: all are).
    """
    with skipping_unreadable(on_bad == "skip") as unreadable:
        paths = find_images(images)
    if unreadable:
        log.warning("%s", skipped_folders(unreadable))
    with decoding(True):  # name all broken files in one message, before predicting, which may take minutes
        facts = file_facts(paths)
    broken = [Broken(Sample(p, -1, str(p)), "", f.reason) for p, f in zip(paths, facts, strict=True) if f.reason]
    if broken and (on_bad == "stop" or len(broken) == len(paths)):
        raise TlxError(f"{broken_files(broken)}\nrepair them, or leave them out: --on-bad skip")
    if broken:
        log.warning("left out: %s", broken_files(broken))
        left_out = {entry.sample.source for entry in broken}
        paths = [path for path in paths if path not in left_out]
    return paths
