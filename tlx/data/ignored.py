"""The value of pixels without a class. Only the standard library."""

from __future__ import annotations

IGNORED = 255  # in a mask; such pixels count in no loss and no metric, and classes are below it
