"""Fill in which labels a data set gives that can give several kinds: those that the task learns from."""

from __future__ import annotations

from contextlib import suppress

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from tlx.building.listed import SOURCES
from tlx.data.catalog import source_class
from tlx.tasks.catalog import kind_of


def fill_labels(config: DictConfig) -> None:
    """Replace `labels: null` in the nodes `dataset` and `target`, in place.

    The value is the kind of labels that the task learns from, or else the first kind that the source gives.
    """
    for part in ("dataset", "target"):
        with suppress(OmegaConfBaseException):  # a reference that does not resolve is reported by the check
            node, task = config.get(part), config.get("task")
            if not OmegaConf.is_dict(node) or node.get("labels") is not None:
                continue
            gives = gives_of(node)
            learned = kind_of(task).labels if OmegaConf.is_dict(task) else None
            if gives:
                with open_dict(node):
                    node["labels"] = learned if learned in gives else gives[0]


def gives_of(node: DictConfig) -> tuple[str, ...]:
    """Return the kinds of labels that the source of a node can give; (): it gives one kind, or it is the user's own."""
    target = str(node.get("_target_"))
    return source_class(target).gives if target in SOURCES else ()
