"""The verbs `tlx atlas` and `tlx audit`. Importing it imports no torch."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tlx.base.asking import ask_to_replace
from tlx.base.console import logging_to_console, quiet
from tlx.base.errors import TlxError
from tlx.base.interruption import Interruption
from tlx.base.printable import one_line
from tlx.choice.folders import AtlasFolder, AuditFolder
from tlx.choice.request import one_by_one, place_for, requested
from tlx.data.checked import load_ahead
from tlx.data.sources.keys import SourceKeys
from tlx.records.written_folder import WrittenFolder

_OF_ALL_SETS = {spec.name for spec in fields(SourceKeys)} - {"_target_", "name"}


def atlas(args: Sequence[str], known: argparse.Namespace) -> str:
    """Write an atlas and return what to print.

    Args:
        args: The words of the command after its verb.
        known: The parsed ones: `overrides`, `config_dir`, `output`, `overwrite`.
    """
    configs = requested(known.overrides, known.config_dir, "atlas")
    place = _place(configs, args, known, AtlasFolder)
    _load(configs[0])
    with _working() as interruption:
        from tlx.choice.atlas import atlas as make
        from tlx.choice.atlas_text import next_keys

        found = make(*configs, interruption=interruption)
        written = found.save(place, shlex.join(["tlx", "atlas", *args]))
    typed = [*one_by_one(known.overrides)][found.best.number]  # as the configurations of `requested`
    kept = [text for text in typed if not text.startswith(("strategy", "classifier"))]
    train = shlex.join(["tlx", "train", *next_keys(found), *kept])
    lines = [str(found), "", *(f"{one_line(path)}" for path in written)]
    return "\n".join([*lines, "next:", f"  {train}"])


def audit(args: Sequence[str], known: argparse.Namespace) -> str:
    """Write an audit of labels and return what to print; the arguments are those of `atlas`, and `test`."""
    configs = requested(known.overrides, known.config_dir, "audit")
    if len(configs) > 1:
        raise TlxError("audit: expected one backbone, got several; type one command for each")
    place = _place(configs, args, known, AuditFolder)
    _load(configs[0])
    with _working() as interruption:
        from tlx.choice.audit import audit as make

        found = make(configs[0], known.test, interruption)
        written = found.save(place)
    lines = [
        str(found),
        "",
        *(f"{one_line(path)}" for path in written),
        "next:",
        "  look at the pictures of audit.html",
    ]
    if written[-1].name == "labels.csv":
        table = ["dataset=table", f"dataset.path={written[-1]}"]
        table += ["dataset.group_column=group"] if found.pool.grouped else []
        kept = [text for text in known.overrides if not text.startswith("dataset=") and _fits_a_table(text)]
        lines += [
            "  in labels.csv, or in the set itself: correct a label, or remove the row of an image",
            f"  {shlex.join(['tlx', 'train', *table, *kept])}",
        ]
    else:
        lines.append("  correct the labels in the set, or remove the images")
    return "\n".join(lines)


def _fits_a_table(text: str) -> bool:
    """Return whether an override is a key of every set, not of a format."""
    key = text.lstrip("+").partition("=")[0]
    return not key.startswith("dataset.") or key.removeprefix("dataset.") in _OF_ALL_SETS


def _place(
    configs: Sequence[DictConfig], args: Sequence[str], known: argparse.Namespace, kind: type[WrittenFolder]
) -> Path:
    """Return the folder of the results; ask before results of another command in it are replaced.

    Raises:
        TlxError: It cannot be written, it holds files of others, or nobody allows it to be replaced.
    """
    verb = kind.command.partition(" ")[2]
    place = place_for(configs, verb) if known.output is None else Path(known.output).expanduser()
    folder = kind(place)
    folder.refuse()
    if known.output is not None and folder.is_written() and not known.overwrite:
        ask_to_replace(one_line(place), kind.holds, ["tlx", verb, *args])
    return place


def _load(config: DictConfig) -> None:
    """Load the set now: its mistakes are reported before torch is imported."""
    plain: Any = OmegaConf.to_container(config.dataset, resolve=True)
    load_ahead(plain)


@contextmanager
def _working() -> Iterator[Interruption]:
    """Show log lines, and handle signals between batches."""
    interruption = Interruption()
    with logging_to_console(), interruption.watching(), quiet():
        yield interruption
