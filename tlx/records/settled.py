"""What `auto` is settled to once and kept: it changes the last digits, so a run that goes on must not measure again.

The others, such as `dataset.num_workers`, change no result and are measured at each start.
"""

from __future__ import annotations

KEPT = ("precision", "channels_last", "compile")  # keys of the trainer node
