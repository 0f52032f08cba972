"""A part of an image."""

from __future__ import annotations

from hashlib import blake2b

Region = tuple[int, int, int, int]  # top, left, height and width in pixels


def key_of_part(key: bytes, part: object) -> bytes:
    """Return a hash of a part of an image, such as a region or the number of a repeat, from the hash of the image."""
    return blake2b(key + repr(part).encode(), digest_size=len(key)).digest()
