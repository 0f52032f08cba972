"""The folders that the verbs of this room write."""

from __future__ import annotations

from tlx.records.written_folder import WrittenFolder


class AtlasFolder(WrittenFolder):
    """A folder with the figures of an atlas."""

    command, holds, list_name = "tlx atlas", "figures of an atlas", "atlas.json"


class AuditFolder(WrittenFolder):
    """A folder with an audit of labels."""

    command, holds, list_name = "tlx audit", "an audit of labels", "audit.json"
