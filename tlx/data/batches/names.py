"""Names of the files in which decoded images are stored. No torch here: what lists and removes them has none."""

from __future__ import annotations

SLOTS, PIXELS = "images.slots", "images.pixels"
